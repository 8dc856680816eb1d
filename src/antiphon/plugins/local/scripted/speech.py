"""Values as a voice should say them: amounts in words, identifiers letter by letter, lists with "and"."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from .word_list import word_list

_ONES = word_list(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_TENS = word_list("zero ten twenty thirty forty fifty sixty seventy eighty ninety")
_SCALES = ((1_000_000_000, "billion"), (1_000_000, "million"), (1000, "thousand"), (100, "hundred"))
CURRENCIES = {
    "dollars": ("dollar", "dollars", "cent", "cents"),
    "pounds": ("pound", "pounds", "penny", "pence"),
    "euros": ("euro", "euros", "cent", "cents"),
}
_ORDINALS = {1: "first", 2: "second", 3: "third", 5: "fifth", 8: "eighth", 9: "ninth", 12: "twelfth"}


def spoken_integer(number: int) -> str:
    """A whole number in words, as in `one hundred twenty-five`."""
    if number < 0:
        return "minus " + spoken_integer(-number)
    if number < 20:
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    for size, name in _SCALES:
        if number >= size:
            count, rest = divmod(number, size)
            return f"{spoken_integer(count)} {name}" + (f" {spoken_integer(rest)}" if rest else "")
    raise AssertionError(number)


def spoken_number(number: Decimal) -> str:
    """A number in words; decimals digit by digit, as in `two point five`."""
    if number == number.to_integral_value():
        return spoken_integer(int(number))
    whole, _, decimals = format(abs(number), "f").partition(".")
    sign = "minus " if number < 0 else ""
    return f"{sign}{spoken_integer(int(whole))} point {' '.join(_ONES[int(d)] for d in decimals.rstrip('0'))}"


def spoken_money(amount: Decimal, currency: str = "dollars") -> str:
    """An amount in words, as in `one hundred twenty dollars and fifty cents`."""
    one, many, small_one, small_many = CURRENCIES[currency]
    cents = int((abs(amount) * 100).to_integral_value(ROUND_HALF_UP))
    whole, rest = divmod(cents, 100)
    parts = []
    if whole or not rest:
        parts.append(f"{spoken_integer(whole)} {one if whole == 1 else many}")
    if rest:
        parts.append(f"{spoken_integer(rest)} {small_one if rest == 1 else small_many}")
    return ("minus " if amount < 0 else "") + " and ".join(parts)


def spoken_ordinal(number: int) -> str:
    """`1` is first, `21` is twenty-first."""
    if number in _ORDINALS:
        return _ORDINALS[number]
    if 20 < number < 100 and number % 10:
        return f"{_TENS[number // 10]}-{spoken_ordinal(number % 10)}"
    words = spoken_integer(number)
    return words[:-1] + "ieth" if words.endswith("y") else words + "th"


def spoken_date(date: dt.date, *, year: bool = False) -> str:
    """`Saturday, November twenty-first`."""
    text = f"{date:%A}, {date:%B} {spoken_ordinal(date.day)}"
    return f"{text}, {date.year}" if year else text


def spoken_time(time: dt.time) -> str:
    """`nine thirty in the morning`, `noon`."""
    if (time.hour, time.minute) in ((12, 0), (0, 0)):
        return "noon" if time.hour else "midnight"
    part = "in the morning" if time.hour < 12 else "in the afternoon" if time.hour < 18 else "in the evening"
    hour = spoken_integer(time.hour % 12 or 12)
    if not time.minute:
        return f"{hour} {part}"
    minute = ("oh " if time.minute < 10 else "") + spoken_integer(time.minute)
    return f"{hour} {minute} {part}"


def spoken_list(items: Sequence[str], conjunction: str = "and") -> str:
    """`a`, `a and b`, `a, b, and c`."""
    if len(items) <= 1:
        return "".join(items)
    if len(items) == 2:
        return f"{items[0]} {conjunction} {items[1]}"
    return f"{', '.join(items[:-1])}, {conjunction} {items[-1]}"


def spelled(identifier: str) -> str:
    """Letter by letter and digit by digit, as in `T, X, four, one`."""
    marks = [_ONES[int(c)] if c.isdigit() else c.upper() for c in identifier if c.isalnum()]
    return ", ".join(marks)
