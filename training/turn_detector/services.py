"""Turns about things that the dialogues never speak of: what is asked, and what people answer, with names and numbers drawn.

Without them the network would take its few services for the world.
"""

from __future__ import annotations

import random
import re

from .cuts import Turn

# "question | answer": what the agent said, nothing when the user begins. Words in braces are drawn.
_DIALOGUES = """
 | I'd like to send a message to {name}.
 | Can you text {name} that I'll be there at {time}?
What should the message say? | Tell {name} I'm running {number} minutes late.
What should the message say? | Please say that the meeting is moved to {day} at {time}.
Who should I send it to? | Send it to {name} and {name}.
Shall I share your location with {name}? | Yes, for the next {number} hours please.
 | I want to share my location with {name} for an hour.
 | Please send {money} to {name}.
 | I need to pay {name} {money} for the {item}.
How much would you like to send? | {money} please.
How much would you like to send? | Make it {money}, and keep it private.
From which account? | Use my debit card please.
From which account? | The credit card ending in {four}.
 | Can you request {money} from {name} for dinner last {day}?
 | I lost my card and I need a new one.
 | My card was declined at the {shop} this morning.
Which transaction do you mean? | The one for {money} on {date}.
Which transaction do you mean? | It was {money} at the {shop}, on {date}.
Can I have the last four digits of your card? | It's {four}.
Can I have the last four digits of your card? | Sure, they are {four}.
 | Wake me up at {time} tomorrow.
 | Set an alarm for {time}.
 | Set a timer for {number} minutes please.
What time should I set it for? | {time}, and call it {item}.
What should I call the alarm? | Just call it gym.
 | What alarms do I have for {day}?
 | Remind me to buy {item} and {item} when I get home.
 | When is the next train to {city}?
 | I need a train ticket from {city} to {city} on {date}.
Where are you going? | I'm going from {city} to {city}.
Which class would you like? | First class, if it's not too expensive.
How many tickets do you need? | Just one for me, and two for the children.
How many tickets do you need? | We need {number}.
 | Is the {time} train to {city} on time?
 | My order hasn't arrived yet.
 | I want to return the {item} I bought last {day}.
What is your order number? | It's {order}.
What is your order number? | The order number is {order}.
What is your order number? | Let me look, it should be {order}.
 | Where is my package with the tracking number {order}?
Why do you want to return it? | It's too small, and the color is wrong.
Why do you want to return it? | It stopped working after {number} days.
 | I'd like a large pizza with {item}, {item} and extra cheese.
 | Can I get {number} {item} and a bottle of water to go?
Would you like anything else? | Yes, add {number} {item} please.
Would you like anything else? | No, that's everything.
Pickup or delivery? | Delivery please, to {address}.
What is the delivery address? | {address}.
What is the delivery address? | It's {address}, second floor.
What is the delivery address? | {address}, in {city}.
 | I'd like to make an appointment with doctor {surname}.
What seems to be the problem? | I've had a headache since {day} and I feel a bit dizzy.
What seems to be the problem? | My back hurts when I sit for too long.
When did it start? | About {number} days ago.
When did it start? | I think it was on {date}, in the evening.
Are you taking any medication? | Only something for my blood pressure.
 | I need to refill my prescription.
Which pharmacy do you use? | The one on {street} street.
Could I have your date of birth? | {birth}.
Could I have your date of birth? | It's {birth}.
Could I have your date of birth? | My birthday is {birth}.
What is your name? | {name} {surname}.
What is your name? | My name is {name} {surname}.
Can you spell that for me? | Sure, it's {spelled}.
Who am I speaking with? | This is {name} {surname} from {city}.
What is the best number to reach you? | {phone}.
What is the best number to reach you? | You can call me at {phone}.
What is the best number to reach you? | It's {phone}, but only after {time}.
 | My internet has been down since {time}.
 | The wifi is really slow and I can't watch anything.
Have you restarted the router? | Yes, I did that twice already.
Have you restarted the router? | No, how do I do that?
What lights do you see? | The green one is on and the red one is blinking.
 | I want to cancel my subscription.
 | I'd like to upgrade my plan to something with more data.
May I ask why you want to cancel? | It's too expensive, and I don't use it enough.
 | My bill is {money} higher than last month.
 | I think I was charged twice in {month}.
Which bill do you mean? | The one from {month}.
Which bill do you mean? | The last one, it was {money}.
 | Turn off the lights in the kitchen.
 | Set the temperature in the bedroom to {number} degrees.
 | Is the front door locked?
 | Lock the door and turn on the alarm.
 | I had an accident and I need to report it.
Was anybody hurt? | No, everybody is fine, thank god.
Where did it happen? | On {street} street, near the {shop}.
Where did it happen? | In {city}, at the corner of {street} and {street}.
When did it happen? | Yesterday at about {time}.
What is your policy number? | It's {order}.
What is the license plate? | {plate}.
 | I'd like to know if you have a book about {item}.
 | Can I renew the books I borrowed on {date}?
 | How much is the parking for {number} hours?
 | Where can I park near {street} street?
 | I want to sign up for the yoga class on {day} at {time}.
Which class are you interested in? | The one on {day} morning, with {name}.
 | My washing machine is leaking.
 | The heating doesn't work and it's getting cold.
When can the technician come? | {day} after {time} would be best.
When can the technician come? | Any day except {day}.
When can the technician come? | Either {date} or {date}.
Is somebody at home then? | My husband should be there from {time}.
 | I applied for the job in {city} and I wanted to ask how it's going.
 | Could you put me through to {name} in sales?
 | Hi, this is {name}, I'm calling about the apartment on {street} street.
How can I help you? | I have a question about my last bill.
How can I help you? | I'd like to change my address.
How can I help you? | I forgot my password and I can't log in.
How can I help you? | Someone called me from this number.
What is your new address? | {address}.
What is the zip code? | {zip}.
What is the zip code? | {zip} I think.
What is your email address? | It's {name} dot {surname} at gmail dot com.
Is that correct? | Yes, that's correct.
Is that correct? | No, it's {number}, not {number}.
Is that correct? | Almost, the last digit is {digit}.
Can I do anything else for you? | No thanks, have a nice day.
Can I do anything else for you? | Yes, what time do you close on {day}?
How would you rate our service? | I'd give it a {digit}.
For how many people? | For {number}.
For how many people? | There will be {number} of us.
For which day? | {date}.
For which day? | {day} the {ordinal}.
For which day? | On {date} if possible.
At what time? | {time}.
At what time? | Around {time}, or a bit later.
How long will you stay? | From {date} to {date}.
How long will you stay? | {number} nights.
What is your budget? | Up to {money}.
What is your budget? | Somewhere between {money} and {money}.
How much do you weigh? | {weight} pounds.
What is the flight number? | {plate}.
What is your seat? | {number} {letter}.
Who am I speaking with? | {name}.
Who am I speaking with? | It's {name}.
May I have your name? | {name}.
May I have your name? | {surname}.
May I have your name? | {name} {surname}.
And your last name? | {surname}.
Which name is the booking under? | {name} {surname}.
Which name is the booking under? | Under {surname}.
Who would you like to talk to? | {name} please.
Which city are you in? | {city}.
Which city are you in? | In {city}.
Which branch do you mean? | The one in {city}.
Which street? | {street} street.
From which account should I take it? | Savings.
From which account should I take it? | Checking.
From which account should I take it? | My savings account.
From which account should I take it? | From savings please.
To which account? | The joint account.
To which account? | Checking please.
How much should I transfer? | {amount}.
How much should I transfer? | {amount} dollars.
How much should I transfer? | {amount} please.
How much should I transfer? | All of it.
How much would you like to withdraw? | {amount}.
How much would you like to withdraw? | About {amount}.
How much was it? | {money}.
How much was it? | {amount} dollars I think.
How old are you? | {number}.
How many would you like? | {number}.
How many would you like? | Just {number}.
How many would you like? | {number} of them.
Which size? | Medium.
Which size? | The large one.
Which color? | Blue.
Which one would you like? | The first one.
Which one would you like? | The {ordinal} one.
Which one would you like? | The second.
Which one would you like? | Both.
Which one would you like? | Either is fine.
Which one would you like? | Neither.
Morning or afternoon? | Morning.
Morning or afternoon? | The afternoon.
Morning or afternoon? | In the morning please.
By phone or by email? | By phone.
By phone or by email? | Email please.
Which day suits you? | {day}.
Which day suits you? | Tomorrow.
Which day suits you? | Next {day}.
Which day suits you? | Today if you can.
Which card is it? | Visa.
Which card is it? | The debit card.
Which card is it? | My credit card.
Should I block it now? | Yes.
Should I block it now? | Yes, block it.
Should I block it now? | Not yet.
Should I block it now? | Go ahead.
Should I block it now? | Do it.
Is that right? | Right.
Is that right? | Yes it is.
Is that right? | No.
Is that right? | Not quite.
Is that right? | Exactly.
Would you like to go on? | Sure.
Would you like to go on? | I don't know.
Would you like to go on? | Maybe later.
How can I help you? | I need some help.
How can I help you? | I have a question about my {month} bill.
How can I help you? | I'd like to talk to a person.
How can I help you? | My {item} didn't come.
What can I do for you? | I want to know my balance.
What can I do for you? | When are you open?
We are open from nine to five on weekdays. | And on {day}?
We are open from nine to five on weekdays. | What about {day}?
We are open from nine to five on weekdays. | And at the weekend?
It costs {money}. | That's too much.
It costs {money}. | And with delivery?
Sorry, I did not get that. | I said {amount}.
Sorry, I did not get that. | My card was stolen.
Are you still there? | I'm here.
Are you still there? | Yes, sorry.
 | Hello, can you hear me?
 | Can you help me?
 | Is anybody there?
 | Can I speak to somebody?
 | I have a problem with my {item}.
 | Good morning.
 | Hi, this is {name}.
"""

_WORDS = {
    "name": """anna ben carla dave emma frank grace henry iris jack kate liam mia noah olga paul rosa sam tina victor amir maria
        sofia chen priya omar fatima hugo nina ivan zoe marcus leila jonas""",
    "surname": """smith jones garcia miller kim novak rossi weber chen singh lopez brown moore clark adams baker nguyen patel okafor
        schmidt johansson tanaka costa murphy cohen""",
    "city": """boston denver austin portland chicago seattle miami atlanta dallas houston phoenix detroit london paris berlin madrid
        rome vienna toronto sydney dublin oslo""",
    "street": "main oak park maple cedar elm washington lake hill pine mission market church spring second fifth king queen river",
    "item": """milk eggs bread butter apples rice coffee tea cheese bananas onions tomatoes chicken pasta sugar salt shoes headphones
        mushrooms olives keyboard jacket flowers batteries soap gardening""",
    "shop": "supermarket|gas station|pharmacy|hardware store|bakery|bookstore|mall|airport|bank|coffee shop",
    "month": "january february march april may june july august september october november december",
    "day": "monday tuesday wednesday thursday friday saturday sunday",
}
_CHOICES = {kind: text.split("|") if "|" in text else text.split() for kind, text in _WORDS.items()}
_NUMBERS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "twelve",
    "fifteen",
    "twenty",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SLOT = re.compile(r"\{(\w+)\}")


def dialogue(rng: random.Random) -> Turn:
    """A turn of one of these, after what the agent asked."""
    question, answer = rng.choice(_LINES)
    context = (("assistant", question),) if question else ()
    return Turn("services", context, _SLOT.sub(lambda slot: _drawn(slot[1], rng), answer))


def _drawn(kind: str, rng: random.Random) -> str:
    if kind in _CHOICES:
        return rng.choice(_CHOICES[kind])
    return _DRAWN[kind](rng)


def _figures(rng: random.Random, count: int) -> str:
    return "".join(str(rng.randrange(10)) for _ in range(count))


def _letters(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(count))


def _grouped(rng: random.Random, sizes: tuple[int, ...], between: str) -> str:
    """Figures in groups, as a person says them: with pauses between the groups, or without."""
    return between.join(_figures(rng, size) for size in sizes)


def _ordinal(rng: random.Random) -> str:
    day = rng.randrange(1, 29)
    return f"{day}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(day if day < 4 else day % 10 if day > 20 else 0, 'th') }"


def _time(rng: random.Random) -> str:
    hour, minutes = (
        rng.randrange(1, 13),
        rng.choice(("", "", ":00", ":15", ":30", ":45", f":{rng.randrange(10, 60)}")),
    )
    return (
        f"{hour}{minutes} {rng.choice(('am', 'pm', 'pm', 'in the morning', 'in the evening'))}"
        if rng.random() < 0.8
        else f"{hour}{minutes or ' o clock'}"
    )


def _date(rng: random.Random) -> str:
    month = rng.choice(_CHOICES["month"])
    return f"{month} {_ordinal(rng)}" if rng.random() < 0.6 else f"the {_ordinal(rng)} of {month}"


def _birth(rng: random.Random) -> str:
    return f"{_date(rng)} {rng.randrange(1940, 2010)}"


def _money(rng: random.Random) -> str:
    amount = rng.choice((rng.randrange(5, 100), rng.randrange(1, 20) * 50, rng.randrange(100, 5000)))
    return rng.choice(
        (f"${amount:,}", f"{amount} dollars", f"{amount} dollars and {rng.randrange(1, 100)} cents")
    )


def _amount(rng: random.Random) -> str:
    """A sum in words or figures."""
    if rng.random() < 0.4:
        return str(rng.choice((rng.randrange(5, 100), rng.randrange(1, 20) * 50, rng.randrange(100, 5000))))
    hundreds = f"{rng.choice(_NUMBERS[:9])} hundred"
    tens = rng.choice(_TENS)
    return rng.choice(
        (
            tens,
            hundreds,
            f"{hundreds} {tens}",
            f"{hundreds} and {tens}",
            f"{rng.choice(_NUMBERS[:9])} thousand",
        )
    )


def _address(rng: random.Random) -> str:
    place = f"{rng.randrange(1, 4000)} {rng.choice(_CHOICES['street'])} {rng.choice(('street', 'avenue', 'road', 'drive', 'lane'))}"
    return f"{place}, apartment {rng.randrange(1, 60)}" if rng.random() < 0.3 else place


_DRAWN = {
    "address": _address,
    "amount": _amount,
    "birth": _birth,
    "date": _date,
    "digit": lambda rng: str(rng.randrange(1, 10)),
    "four": lambda rng: _figures(rng, 4) if rng.random() < 0.6 else " ".join(_figures(rng, 4)),
    "letter": lambda rng: rng.choice("abcdef"),
    "money": _money,
    "number": lambda rng: str(rng.randrange(2, 40)) if rng.random() < 0.5 else rng.choice(_NUMBERS),
    "order": lambda rng: _grouped(rng, rng.choice(((4, 4), (3, 3), (2, 2, 2), (3, 3, 3), (8,), (6,))), " "),
    "ordinal": _ordinal,
    "phone": lambda rng: _grouped(rng, (3, 3, 4), rng.choice((" ", "-"))),
    "plate": lambda rng: f"{_letters(rng, rng.randint(1, 3))} {_figures(rng, rng.randint(2, 4))}",
    "spelled": lambda rng: " ".join(rng.choice(_CHOICES["surname"])),
    "time": _time,
    "weight": lambda rng: str(rng.randrange(110, 260)),
    "zip": lambda rng: _figures(rng, 5) if rng.random() < 0.6 else " ".join(_figures(rng, 5)),
}
_LINES = [
    (question.strip(), answer.strip())
    for line in _DIALOGUES.strip("\n").splitlines()
    for question, answer in [line.split("|", 1)]
]
