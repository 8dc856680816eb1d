"""What a sentence says about the things an intent needs: amounts, names, choices, dates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Literal, get_args

from .answers import yes_or_no
from .calendar_words import find_date, find_day, find_time
from .phonetics import similarity
from .tokens import Token, tokenize
from .word_list import word_set

SlotType = Literal["money", "number", "choice", "day", "date", "time", "yes_no", "text"]
SLOT_TYPES: tuple[str, ...] = get_args(SlotType)
Value = str | bool | Decimal

_CURRENCY = word_set("dollar dollars buck bucks quid pound pounds euro euros usd gbp eur")
_CENTS = word_set("cent cents penny pennies pence")
_ORDER = ("date", "time", "day", "choice", "money", "number", "yes_no", "text")
_LEAD_INS = word_set("""it is that the a an my our to for of in at on about with please i would like want say said mean meant him her um
    uh no not actually well ok yes yeah make be name called person someone send pay give lets let us try should use
    change instead sorry by""")
_POSSESSIVES = word_set("their his her its s")
_NOT_NAMES = _POSSESSIVES | word_set("""be go come do get have know see hear find look take complete finish arrive receive reach happen
    process work help talk speak use know them they someone somebody anyone anybody everyone nobody
    wait hang hold never forget cancel minus both""")
_TRAILERS = word_set("please thanks thank you today tomorrow tonight now ok instead cheers right then mate")
_ENDS_TEXT = word_set("on at for from with to by about in")
_JOINERS = word_set("and or also plus")
_FUZZY, _FUZZY_UNASKED = 0.7, 0.82


@dataclass(frozen=True)
class Slot:
    """One thing to find out.

    Attributes:
        name: as in the script.
        type: how it is read from speech.
        ask: questions for it.
        hint: what to say when the answer was not understood, before asking again.
        values: for a choice, each value and other ways to say it.
        labels: how to say a value, where not as it is written.
        after: words that introduce it, as `to` before a payee.
        open: a choice that also takes a name it does not know.
    """

    name: str
    type: SlotType
    ask: tuple[str, ...] = ()
    hint: str = ""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    open: bool = False

    def phrases(self) -> list[tuple[str, str]]:
        """Every way to say each value, with the value."""
        return [(phrase, value) for value, ways in self.values.items() for phrase in (value, *ways)]


@dataclass(frozen=True)
class Extraction:
    """The values found in a sentence, and the words that belong to none of them."""

    values: Mapping[str, Value]
    leftover: tuple[str, ...]


@dataclass(frozen=True)
class _Rivals:
    """What the other slots of an intent claim: words that introduce them, and values."""

    after: set[str]
    values: set[str]


class SlotReader:
    """Reads slots from sentences.

    Args:
        slots: by name.
        known_words: words of the assistant's commands, which are no unknown names.
    """

    def __init__(self, slots: Mapping[str, Slot], known_words: frozenset[str]) -> None:
        self._slots = slots
        self._known_words = known_words
        # A conversation is replayed for each reply, so the same sentences come again and again.
        self.read = lru_cache(maxsize=4096)(self._read)

    def _read(self, text: str, names: tuple[str, ...], asked: str | None, today: dt.date) -> Extraction:
        """Find what a sentence says about some slots.

        Args:
            text: the sentence.
            names: the slots to look for.
            asked: the slot that the caller was just asked for; its answer may be bare.
            today: the date that "tomorrow" counts from.
        """
        slots = [self._slots[name] for name in names]
        tokens = [token for token in tokenize(text) if token.kind != "stop"]
        free = [True] * len(tokens)
        values: dict[str, Value] = {}
        for slot in sorted(slots, key=lambda s: (_ORDER.index(s.type), s.name != asked)):
            others = [other for other in slots if other.name != slot.name]
            rivals = _Rivals(
                {word for other in others for word in other.after} - set(slot.after),
                {value for other in others for value in other.values},
            )
            found = self._find(text, tokens, free, slot, slot.name == asked, rivals, today)
            if found is None:
                continue
            value, first, after = found
            values[slot.name] = value
            free[first:after] = [False] * (after - first)
        leftover = tuple(t.text for t, unused in zip(tokens, free, strict=True) if unused)
        return Extraction(values, leftover)

    def _find(
        self,
        text: str,
        tokens: list[Token],
        free: list[bool],
        slot: Slot,
        asked: bool,
        rivals: _Rivals,
        today: dt.date,
    ) -> tuple[Value, int, int] | None:
        available = [t if f else Token("", t.start, t.end, "used") for t, f in zip(tokens, free, strict=True)]
        match slot.type:
            case "day":
                return find_day(available)
            case "date":
                return find_date(available, today)
            case "time":
                return find_time(available)
            case "money":
                return _find_money(available, asked)
            case "number":
                return _find_number(available, asked)
            case "yes_no":
                answer = yes_or_no(text) if asked else None
                return None if answer is None else (answer, 0, len(tokens))
            case "choice":
                return self._find_choice(text, available, slot, asked, rivals)
            case "text":
                return self._find_text(text, available, slot, asked)

    def _find_choice(
        self, text: str, tokens: list[Token], slot: Slot, asked: bool, rivals: _Rivals
    ) -> tuple[Value, int, int] | None:
        found = _choices(tokens, slot, asked)
        found = [f for f in found if not _introduced_by(tokens, f[1], rivals.after)]
        found = [f for f in found if not _introduced_by(tokens, f[1], {"not"})] or found
        for value in reversed(found if slot.open else []):
            owner = self._owner(tokens, value, slot)
            if owner is not None:
                if owner[0] == owner[1]:
                    return None
                listed = next((name for name, first, _ in found if first == owner[0]), None)
                named = listed or _cut(text, tokens, *owner)[0]
                return named, min(owner[0], value[1]), max(owner[1], value[2])
        if slot.open and not asked:
            own = set(slot.after)
            found = [f for f in found if f[0] not in rivals.values or _introduced_by(tokens, f[1], own)]
        if found:
            introduced = [f for f in found if _introduced_by(tokens, f[1], set(slot.after))]
            # The last one said counts: what comes before it was corrected.
            return max(introduced or found, key=lambda f: f[1])
        return self._find_name(text, tokens, slot, asked) if slot.open else None

    def _find_name(
        self, text: str, tokens: list[Token], slot: Slot, asked: bool
    ) -> tuple[Value, int, int] | None:
        """A name that the script does not list: after its introducing word, or as the bare answer."""
        for at, token in enumerate(tokens[:-1]):
            if token.text in slot.after:
                start = at + 1
                while start < len(tokens) - 1 and tokens[start].text in ("my", "the", "our", "a"):
                    start += 1
                if self._is_name(tokens[start]):
                    return _cut(text, tokens, start, self._name_end(tokens, start))
        if not asked:
            return None
        first = next(
            (at for at, t in enumerate(tokens) if t.text not in _LEAD_INS and t.kind == "word"), None
        )
        if first is None or not self._is_name(tokens[first]) or len(tokens) - first > 4:
            return None
        return _cut(text, tokens, first, self._name_end(tokens, first))

    def _owner(self, tokens: list[Token], value: tuple[str, int, int], slot: Slot) -> tuple[int, int] | None:
        """Whose a value is, as in "to Diego's savings" or "to the savings of Diego": first token of the name and token
        after, the same for "their savings"; None for the caller's own."""
        _, first, after = value
        of = next((at for at in (after, after + 1) if at + 1 < len(tokens) and tokens[at].text == "of"), None)
        if (
            of is not None
            and self._is_name(tokens[of + 1])
            and _introduced_by(tokens, first, set(slot.after))
        ):
            return of + 1, self._name_end(tokens, of + 1)
        start = first
        while start > 0 and (tokens[start - 1].text in _POSSESSIVES or self._is_name(tokens[start - 1])):
            start -= 1
        if start == first or start == 0 or tokens[start - 1].text not in slot.after:
            return None
        end = first
        while end > start and tokens[end - 1].text in _POSSESSIVES:
            end -= 1
        return start, end

    def _is_name(self, token: Token) -> bool:
        text = token.text
        unusable = (
            text in _LEAD_INS or text in _NOT_NAMES or text in _CURRENCY or text in _TRAILERS or len(text) < 2
        )
        return token.kind == "word" and not unusable and text not in self._known_words

    def _name_end(self, tokens: list[Token], start: int) -> int:
        after = start + 1
        while (
            after < len(tokens)
            and after - start < 3
            and self._is_name(tokens[after])
            and tokens[after].text not in _ENDS_TEXT
        ):
            after += 1
        return after

    def _find_text(
        self, text: str, tokens: list[Token], slot: Slot, asked: bool
    ) -> tuple[Value, int, int] | None:
        """What follows an introducing word, up to the next one; or, when asked for, the whole answer."""
        for at, token in enumerate(tokens[:-1]):
            if token.text in slot.after and tokens[at + 1].kind != "used":
                found = _cut_text(text, tokens, at + 1, stop_at_words=True)
                if found is not None:
                    return found
        if not asked:
            return None
        start = 0
        while start < len(tokens) - 1 and tokens[start].text in _LEAD_INS:
            start += 1
        return _cut_text(text, tokens, start, stop_at_words=False)


def _choices(tokens: list[Token], slot: Slot, asked: bool) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    texts = [token.text for token in tokens]
    for phrase, value in slot.phrases():
        parts = [token.text for token in tokenize(phrase)]
        starts = range(len(texts) - len(parts) + 1)
        found += [(value, at, at + len(parts)) for at in starts if texts[at : at + len(parts)] == parts]
    if found:
        longest = max(after - first for _, first, after in found)
        return [f for f in found if f[2] - f[1] == longest] if longest > 1 else found
    return _near_choices(tokens, slot, asked)


def _near_choices(tokens: list[Token], slot: Slot, asked: bool) -> list[tuple[str, int, int]]:
    """Words that sound like a value: a recogniser may have missed a name."""
    best: tuple[float, str, int] | None = None
    for phrase, value in slot.phrases():
        if " " in phrase:
            continue
        for at, token in enumerate(tokens):
            if token.kind != "word" or token.text in _LEAD_INS:
                continue
            alike = similarity(token.text, phrase.lower())
            likely = asked or _introduced_by(tokens, at, set(slot.after))
            if alike >= (_FUZZY if likely else _FUZZY_UNASKED) and (best is None or alike > best[0]):
                best = (alike, value, at)
    return [(best[1], best[2], best[2] + 1)] if best else []


def _introduced_by(tokens: Sequence[Token], at: int, introducing: set[str]) -> bool:
    """Whether one of some words stands before a place, articles and the like aside."""
    before = at - 1
    while before >= 0 and tokens[before].text in ("my", "the", "our", "a"):
        before -= 1
    return before >= 0 and tokens[before].text in introducing


def _find_money(tokens: list[Token], asked: bool) -> tuple[Value, int, int] | None:
    found: list[tuple[Decimal, int, int, bool]] = []
    at = 0
    while at < len(tokens):
        amount = _amount_at(tokens, at, asked)
        if amount is None:
            at += 1
            continue
        found.append(amount)
        at = amount[2]
    found = [f for f in found if not _introduced_by(tokens, f[1], {"not"})] or found
    found = [f for f in found if f[3]] or found
    return found[-1][:3] if found else None


def _amount_at(tokens: list[Token], at: int, asked: bool) -> tuple[Decimal, int, int, bool] | None:
    """An amount that begins at a token: value, first token, token after, whether a currency was said."""
    token = tokens[at]
    if token.kind not in ("number", "money") or token.value is None:
        return None
    value, after, first = token.value, at + 1, at
    currency = token.kind == "money"
    following = _value_at(tokens, after)
    if following is not None and tokens[after].start - token.end > 1:
        following = None  # a comma between them: two amounts
    if following is not None and not currency and value == int(value) and 10 <= following < 100:
        # "twelve fifty" is 12.50, but "two fifty" is 250.
        value = value * 100 + following if value < 10 else value + following / 100
        after += 1
    word = tokens[after].text if after < len(tokens) else ""
    if word == "k":
        value, after = value * 1000, after + 1
        word = tokens[after].text if after < len(tokens) else ""
    if word in _CENTS:
        return value / 100, first, after + 1, True
    if word in _CURRENCY:
        currency, after = True, after + 1
    if currency:
        value, after = _with_cents(tokens, value, after)
    pronoun = token.value == 1 and token.end - token.start == 3 and not currency
    if pronoun and not (asked and len(tokens) <= 2):
        return None
    return value, first, after, currency


def _with_cents(tokens: list[Token], value: Decimal, after: int) -> tuple[Decimal, int]:
    """Add `and fifty cents`, or `fifty` right after the currency."""
    at = after + 1 if after < len(tokens) and tokens[after].text == "and" else after
    cents = _value_at(tokens, at)
    if cents is None or not 0 < cents < 100 or value != int(value):
        return value, after
    if at + 1 < len(tokens) and tokens[at + 1].text in _CENTS:
        return value + cents / 100, at + 2
    return (value + cents / 100, at + 1) if cents >= 10 and at + 1 == len(tokens) else (value, after)


def _find_number(tokens: list[Token], asked: bool) -> tuple[Value, int, int] | None:
    for at, token in enumerate(tokens):
        if token.kind in ("number", "money") or (asked and token.kind == "ordinal"):
            pronoun = token.value == 1 and token.end - token.start == 3 and not asked
            if token.value is not None and not pronoun:
                return token.value, at, at + 1
    return None


def _value_at(tokens: list[Token], at: int) -> Decimal | None:
    return tokens[at].value if at < len(tokens) and tokens[at].kind == "number" else None


def _cut(text: str, tokens: list[Token], start: int, after: int) -> tuple[Value, int, int]:
    return text[tokens[start].start : tokens[after - 1].end], start, after


def _cut_text(
    text: str, tokens: list[Token], start: int, *, stop_at_words: bool
) -> tuple[Value, int, int] | None:
    after = start
    while after < len(tokens) and tokens[after].kind != "used":
        if stop_at_words and after > start and tokens[after].text in _ENDS_TEXT:
            break
        after += 1
    while after > start and tokens[after - 1].text in _TRAILERS | _ENDS_TEXT | _JOINERS:
        after -= 1
    while (
        start < after
        and tokens[start].text in ("the", "a", "an", "my")
        and after - start > 1
        and stop_at_words
    ):
        start += 1
    return _cut(text, tokens, start, after) if after > start else None
