"""Numbers, addresses and e-mail addresses as people read them out: where they pause the turn goes on, at the end it is over.

The dialogues hold none that is read out piece by piece. A bar is a pause.
"""

from __future__ import annotations

from .cases import Case

_READINGS = """
telephone numbers
What's the best number to call you back on? | two oh six | five five five | oh one four nine
What's the best number to call you back on? | sure it's | 2 0 6 | 5 5 5 | 0 1 4 9
Can I get your mobile number? | yeah that's six one seven | five five five | zero one | eight two
Can I get your mobile number? | 617 | 555 | 0182
And a number where we can reach your wife? | hers is | nine one nine | five five five | three three four one
card numbers
Please read me the number on the front of your card. | four five three two | seven one one eight | nine nine zero three | two two six one
Please read me the number on the front of your card. | okay it's | 4532 | 7118 | 9903 | 2261
Please read me the number on the front of your card. | 4 5 3 2 | 7 1 1 8 | 9 9 0 3 | 2 2 6 1
orders and bookings
Do you have the order number at hand? | yes | seven seven four | one nine | zero five
Do you have the order number at hand? | it says | 774 | 1905
What's your booking reference? | it's q as in quebec | r as in romeo | seven seven two
May I have your member number? | let me see | 10 | 44 | 83 | 27
e-mail addresses
Which email should I send it to? | my email is | lena dot hofmann | at outlook dot com
Which email should I send it to? | l e n a | dot | h o f m a n n | at gmail dot com
Which email should I send it to? | it's kyle | underscore | ninety two | at yahoo dot com
Could you spell your email for me? | sure | p a t | at | riverside garage dot com
addresses
Where should we send the technician? | it's 42 | sycamore | avenue | apartment 7
Where should we send the technician? | two one nine | harbor view | drive
What is your mailing address? | p o box | 318 | in | tacoma washington
What is your mailing address? | 1180 | north | larkin street | san diego
names spelled
How do you spell your last name? | that's k | o | w a l | s k i
How do you spell your last name? | it's m c | d o n | a l d
dates and times
What's your date of birth? | the 4th of | november | 1987
What's your date of birth? | november | 4th | nineteen eighty seven
When would you like to come in? | maybe tuesday the | 14th | at | half past nine
When would you like to come in? | any time between | ten | and | eleven thirty
lists
What can I get you? | a large coffee | two | croissants | and | an orange juice
What can I get you? | i'd like | a cheeseburger | with | fries | and | a coke
"""


def readings() -> dict[str, list[Case]]:
    """Cases by what is read out: a finished turn for each line, and a cut one for each pause in it."""
    found: dict[str, list[Case]] = {}
    kind = ""
    for line in _READINGS.strip().splitlines():
        if "|" not in line:
            kind = line
            continue
        question, *parts = (part.strip() for part in line.split("|"))
        context = (("assistant", question),)
        for count in range(1, len(parts) + 1):
            text = " ".join(parts[:count])
            found.setdefault(kind, []).append(Case(context, text, int(count == len(parts)), kind, True))
    return found
