"""English number words as numbers: `one hundred and twenty five` is 125, `twenty first` is the 21st."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from .word_list import word_set

UNITS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
}  # fmt: skip
TEENS = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "tenner": 10, "fiver": 5,
}  # fmt: skip
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fourty": 40, "fifty": 50, "sixty": 60, "seventy": 70,
    "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"thousand": 1000, "grand": 1000, "million": 1_000_000}
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14,
    "fifteenth": 15, "sixteenth": 16, "seventeenth": 17, "eighteenth": 18, "nineteenth": 19,
    "twentieth": 20, "thirtieth": 30,
}  # fmt: skip
# What a recogniser writes for a digit; believed only right before a scale word, or between tens and a currency.
_HOMOPHONES = {"to": 2, "too": 2, "for": 4, "fore": 4, "won": 1, "ate": 8, "tree": 3, "sicks": 6}
_CURRENCY = word_set("dollar dollars buck bucks pound pounds quid euro euros cent cents")
_NOT_A_NUMBER_BEFORE_ONE = word_set(
    "that this which the other another first second third last debit credit no any every some each"
)


def read_ordinal(words: Sequence[str], at: int) -> tuple[Decimal, int] | None:
    """The ordinal that begins at a word, and where it ends; None when there is none."""
    word = words[at]
    if word in TENS and at + 1 < len(words) and 1 <= _ORDINALS.get(words[at + 1], 0) <= 9:
        return Decimal(TENS[word] + _ORDINALS[words[at + 1]]), at + 2
    if word in _ORDINALS:
        return Decimal(_ORDINALS[word]), at + 1
    return None


def read_number(words: Sequence[str], at: int) -> tuple[Decimal, int] | None:
    """The cardinal number that begins at a word, and where it ends; None when there is none."""
    if words[at] == "one" and at > 0 and words[at - 1] in _NOT_A_NUMBER_BEFORE_ONE:
        return None
    group, after = _read_start(words, at)
    if group is None:
        return None
    total = Decimal(0)
    room = _room_after(words[after - 1], group)
    while after < len(words):
        word = words[after]
        if word == "hundred" and 0 < group < 100:
            group, room = group * 100, Decimal(100)
            after += 1
        elif word in _SCALES and 0 < group < 1000:
            total, group, room = total + group * _SCALES[word], Decimal(0), Decimal(1000)
            after += 1
        elif (part := _read_part(words, after, room)) is not None:
            group, after = group + part[0], part[1]
            room = _room_after(words[after - 1], part[0])
        elif room == 10 and word in _HOMOPHONES and after + 1 < len(words) and words[after + 1] in _CURRENCY:
            group, after, room = group + _HOMOPHONES[word], after + 1, Decimal(0)
        elif (fraction := _read_fraction(words, after)) is not None:
            group, after = group + fraction[0], fraction[1]
            room = Decimal(0)
        else:
            break
    return total + group, after


def _read_start(words: Sequence[str], at: int) -> tuple[Decimal | None, int]:
    word = words[at]
    following = words[at + 1] if at + 1 < len(words) else ""
    if (small := _small(word)) is not None:
        return small, at + 1
    if word in ("a", "an") and (
        following == "hundred" or following in _SCALES or following in ("fiver", "tenner")
    ):
        return (Decimal(1), at + 1) if following not in TEENS else (Decimal(TEENS[following]), at + 2)
    if word == "couple" and _is_scale(words, at + 1 + (following == "of")):
        return Decimal(2), at + 1 + (following == "of")
    if word in _HOMOPHONES and (following == "hundred" or following in ("thousand", "grand")):
        return Decimal(_HOMOPHONES[word]), at + 1
    if word in ("hundred", "thousand") and following != "of":
        return Decimal(1), at
    return None, at


def _small(word: str) -> Decimal | None:
    """A number below a hundred in one word, or any number in digits."""
    for table in (UNITS, TEENS, TENS):
        if word in table:
            return Decimal(table[word])
    if word == "zero":
        return Decimal(0)
    if word[:1].isdigit():
        try:
            return Decimal(word)
        except ArithmeticError:
            return None
    return None


def _room_after(word: str, value: Decimal) -> Decimal:
    """What may still be added: a unit after `twenty`, nothing after `five` or after digits."""
    return Decimal(10) if word in TENS and value % 10 == 0 else Decimal(0)


def _read_part(words: Sequence[str], at: int, room: Decimal) -> tuple[Decimal, int] | None:
    if room == 0:
        return None
    after = at
    if words[after] == "and" and room >= 100:
        after += 1
        if after >= len(words):
            return None
    if words[after][:1].isdigit() and room < 100:
        return None
    small = _small(words[after])
    if small is None or not 0 < small < room:
        return None
    return small, after + 1


def _read_fraction(words: Sequence[str], at: int) -> tuple[Decimal, int] | None:
    """`point two five`, or `and a half`."""
    if list(words[at : at + 3]) == ["and", "a", "half"]:
        return Decimal("0.5"), at + 3
    if words[at] != "point":
        return None
    digits = ""
    after = at + 1
    while after < len(words) and (digit := _point_digit(words[after])) is not None:
        digits, after = digits + digit, after + 1
    return (Decimal("0." + digits), after) if digits else None


def _point_digit(word: str) -> str | None:
    if word in UNITS:
        return str(UNITS[word])
    if word in ("zero", "oh", "o"):
        return "0"
    if word in TENS or word in TEENS:
        return str(TENS.get(word) or TEENS.get(word))
    return word if word.isdigit() else None


def _is_scale(words: Sequence[str], at: int) -> bool:
    return at < len(words) and (words[at] == "hundred" or words[at] in _SCALES)
