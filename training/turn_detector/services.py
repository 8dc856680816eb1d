"""Turns about things that the dialogues never speak of: what is asked, and what people answer, with names and numbers drawn.

Without them the network would take its few services for the world.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from .cuts import Turn

# Lines of "question | answer": what the agent said, nothing when the user begins. Words in braces are drawn.
_DIALOGUES = Path(__file__).with_name("services.txt").read_text(encoding="utf-8")

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
