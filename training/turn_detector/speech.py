"""What people and recognisers do to text: fillers, restarts, spelled addresses, numbers in groups."""

from __future__ import annotations

import random

from .cuts import Step, Turn

_FILLERS = ("um", "uh", "er", "well", "like", "so", "you know", "let me see", "i mean")
_DANGLING = ("and", "um", "uh", "so", "but", "or", "and also", "because", "and then", "with", "and um")
_GROUPS: dict[str, tuple[tuple[int, ...], ...]] = {
    "phone": ((3, 3, 4), (3, 3, 4), (3, 3, 2, 2), (1, 3, 3, 4), (3, 4)),
    "card": ((4, 4, 4, 4), (4, 4, 4, 4), (4, 6, 5)),
    "order": ((2, 2, 2, 2), (5,), (4, 4), (3, 3), (3, 3, 3), (6,)),
}
_TENS = ("fifty", "sixty", "seventy", "eighty", "ninety")
_HOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_HOSTS = ("gmail dot com", "yahoo dot com", "outlook dot com", "example dot org", "mail dot net")
_WORDS = {
    "name": "anna ben carla dave emma frank grace henry iris jack kate liam mia noah olga paul rosa sam tina victor",
    "surname": "kowalski mcdonald hofmann nakamura fernandez oconnor fischer johnson williams taylor anderson walker smith jones garcia miller kim novak rossi weber chen singh lopez brown moore clark adams baker",
    "street": "main oak park maple cedar elm washington lake hill pine mission market church spring",
    "item": "milk eggs bread butter apples rice coffee tea cheese bananas onions tomatoes chicken pasta sugar salt",
    "month": "january february march april may june july august september october november december",
}
_NAMES, _SURNAMES, _STREETS, _ITEMS, _MONTHS = (text.split() for text in _WORDS.values())
# How often each kind is drawn: those of many groups are the hardest to see the end of.
_SHARES = {
    "email": 2,
    "phone": 4,
    "card": 5,
    "order": 3,
    "name": 3,
    "date": 2,
    "time": 1,
    "address": 3,
    "list": 3,
}
_LEADS = {
    "email": (
        "my email is",
        "it's",
        "sure it's",
        "the email address is",
        "yes that would be",
        "yeah try",
        "",
    ),
    "phone": (
        "my number is",
        "it's",
        "sure it's",
        "the number is",
        "yeah it is",
        "you can reach me at",
        "his number is",
        "the best one is",
        "area code",
        "",
    ),
    "card": (
        "my card number is",
        "it's",
        "sure it's",
        "the number is",
        "okay that's",
        "yes one moment",
        "alright so",
        "the card number is",
        "it starts with",
        "",
        "",
    ),
    "order": (
        "my number is",
        "it's",
        "sure it's",
        "the number is",
        "i think it was",
        "the order number is",
        "here it is",
        "",
    ),
    "name": ("it's", "sure that's", "yes it's", "my last name is", "my first name is", "that would be", ""),
    "date": ("i was born on", "it's", "on", "my date of birth is", "let's say", ""),
    "time": ("at", "maybe at", "around", "let's say", "any time after", "i'd like to come at", ""),
    "address": ("i live at", "my address is", "it's", "please send it to", ""),
    "list": ("i need", "please add", "i'd like to order", "can i get", "put", ""),
}
_QUESTIONS = {
    "email": ("What is your email address?", "Which email should I send the confirmation to?"),
    "phone": (
        "What is your phone number?",
        "What number can we reach you at?",
        "May I have your phone number?",
        "Which telephone number should I put down?",
        "And his mobile number?",
        "What number are you calling from?",
    ),
    "card": (
        "Could you give me the card number?",
        "What is your credit card number?",
        "What is the long number on your card?",
        "Please tell me the sixteen digits of your card.",
        "Which card would you like to pay with? I need its number.",
        "And the number of the card?",
    ),
    "order": (
        "What is the order number?",
        "What is your account number?",
        "Could I have your booking reference?",
        "Could you tell me the confirmation code?",
        "What does it say on the invoice?",
        "What is your customer number?",
    ),
    "name": (
        "How do you spell your name?",
        "Could you spell your last name for me?",
        "Can you spell that please?",
        "Sorry, how is that written?",
        "And your first name, letter by letter?",
    ),
    "date": ("What is your date of birth?", "On which day would you like to come?", "When were you born?"),
    "time": ("What time would you like to come?", "When should we call you back?", "At what time?"),
    "address": (
        "What is your address?",
        "Where should we deliver it?",
        "And where do you live?",
        "Where do you want to be picked up?",
    ),
    "list": (
        "What would you like to order?",
        "What shall I put on the list?",
        "What do you need?",
        "Which toppings would you like?",
    ),
}


def disturbed(steps: list[Step], rng: random.Random) -> list[Step]:
    """A turn with a filler, a restart or words said after its end, each now and then."""
    found = list(steps)
    if len(found) >= 3 and rng.random() < 0.08:
        at = rng.randrange(len(found))
        # After a filler people pause as they do after a function word.
        found.insert(at, Step(tuple(rng.choice(_FILLERS).split()), cut=4.0))
    if len(found) >= 4 and rng.random() < 0.04:
        at = rng.randrange(1, len(found) - 1)
        again = [
            step._replace(cut=step.cut and 2.0, end=0.0)
            for step in found[max(0, at - rng.randint(1, 3)) : at]
        ]
        found[at:at] = again
    if rng.random() < 0.04:
        found.append(Step(tuple(rng.choice(_DANGLING).split()), cut=4.0))
    return found


def spelled(rng: random.Random) -> tuple[Turn, list[Step]]:
    """A turn that gives an e-mail address, a number, a date, an address or a list, as people say them."""
    (kind,) = rng.choices(tuple(_SHARES), tuple(_SHARES.values()))
    body = _number(rng, _GROUPS[kind]) if kind in _GROUPS else _BODIES[kind](rng)
    lead = rng.choice(_LEADS[kind]).split()
    found = [Step((word,), cut=3.0) for word in lead] + [Step(part, cut=2.0) for part in body]
    found[-1] = Step(found[-1].words, end=1.0)
    context = (("assistant", rng.choice(_QUESTIONS[kind])),)
    return Turn("spelled", context, ""), found


def _email(rng: random.Random) -> list[tuple[str, ...]]:
    name = rng.choice(_NAMES)
    if rng.random() < 0.5:
        name += rng.choice(_SURNAMES)
        parts = [tuple(name)] if rng.random() < 0.3 else [(letter,) for letter in name]
        if rng.random() < 0.4:
            parts += [tuple(_read(rng, str(rng.randrange(10, 100))))]
    else:
        parts = [(name,), (rng.choice(("dot", "underscore", "dash")),), (rng.choice(_SURNAMES),)]
    return [*parts, ("at",), tuple(rng.choice(_HOSTS).split())]


def _number(rng: random.Random, sizes: tuple[tuple[int, ...], ...]) -> list[tuple[str, ...]]:
    groups = rng.choice(sizes)
    as_figures = rng.random() < 0.5
    digits = (rng.choice(("zero", "oh")), *_DIGITS[1:])
    parts: list[tuple[str, ...]] = []
    for size in groups:
        figures = "".join(str(rng.randrange(10)) for _ in range(size))
        if as_figures:
            parts.append((figures,) if rng.random() < 0.6 else tuple(figures))
        else:
            parts.append(tuple(digits[int(figure)] for figure in figures))
    # Some stop anywhere, most between groups.
    return parts if rng.random() < 0.75 else [(word,) for part in parts for word in part]


def _name(rng: random.Random) -> list[tuple[str, ...]]:
    letters = rng.choice(_SURNAMES if rng.random() < 0.6 else _NAMES)
    parts: list[tuple[str, ...]] = []
    whole = [(letters,)] if rng.random() < 0.25 else []  # "Novak, N O V A K"
    while letters:
        size = rng.choice((1, 1, 2, 3, 4, len(letters)))
        parts.append(tuple(letters[:size]))
        letters = letters[size:]
    return [*whole, *parts]


def _time(rng: random.Random) -> list[tuple[str, ...]]:
    hour = rng.choice((str(rng.randrange(1, 13)), rng.choice(_HOURS)))
    parts: list[tuple[str, ...]] = rng.choice(
        (
            [("half",), ("past",), (hour,)],
            [("quarter",), (rng.choice(("to", "past")),), (hour,)],
            [(hour,), (rng.choice(("fifteen", "thirty", "forty", "15", "30", "45")),)],
            [(hour,), ("o'clock",)],
            [(hour,), (rng.choice(("am", "pm")),)],
        )
    )
    if rng.random() < 0.3:
        parts = [*parts, ("in", "the"), (rng.choice(("morning", "afternoon", "evening")),)]
    return parts


def _read(rng: random.Random, figures: str) -> list[str]:
    return [figures] if rng.random() < 0.5 else [_DIGITS[int(figure)] for figure in figures]


def _date(rng: random.Random) -> list[tuple[str, ...]]:
    day = str(rng.randrange(1, 29))
    parts: list[tuple[str, ...]] = [(rng.choice(_MONTHS),), (day + rng.choice(("", "th")),)]
    if rng.random() < 0.2:
        parts = [("the",), parts[1], ("of",), parts[0]]
    if rng.random() < 0.7:
        year = str(rng.randrange(1940, 2026))
        said = (
            [(year,)],
            [(year[:2],), (year[2:],)],
            [("nineteen",), (rng.choice(_TENS), rng.choice(_HOURS[:9]))],
        )
        parts += rng.choice(said)
    return parts


def _address(rng: random.Random) -> list[tuple[str, ...]]:
    number = str(rng.randrange(1, 2000))
    kind = rng.choice(("street", "avenue", "road", "drive", "lane"))
    parts: list[tuple[str, ...]] = [tuple(_read(rng, number)), (rng.choice(_STREETS),), (kind,)]
    if rng.random() < 0.4:
        parts.append(("apartment", str(rng.randrange(1, 60))))
    if rng.random() < 0.5:
        parts.append((rng.choice(("springfield", "oakland", "boston", "denver", "austin", "portland")),))
        if rng.random() < 0.5:
            parts.append((str(rng.randrange(10000, 99999)),))
    return parts


def _list(rng: random.Random) -> list[tuple[str, ...]]:
    items = rng.sample(_ITEMS, rng.randint(2, 5))
    parts: list[tuple[str, ...]] = [(item,) for item in items[:-1]]
    if rng.random() < 0.5:
        parts = [
            (*rng.choice(("a", "some", "two", "three", "a large", "a small")).split(), *part)
            for part in parts
        ]
    return [*parts, ("and",), (items[-1],)] if rng.random() < 0.8 else [*parts, ("and", items[-1])]


_BODIES = {"email": _email, "name": _name, "date": _date, "time": _time, "address": _address, "list": _list}
