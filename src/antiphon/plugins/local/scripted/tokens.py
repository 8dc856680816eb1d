"""Spoken or typed text as comparable words: case, punctuation, contractions and number words evened out.

Every token remembers where it stood in the original text, so that a slot can be cut out as it was written.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache

from .numbers import read_number, read_ordinal
from .word_list import word_set

_RAW = re.compile(
    r"(?P<date>\d{4}-\d{1,2}-\d{1,2})"
    r"|(?P<time>\d{1,2}:\d{2})"
    r"|(?P<money>[$£€]\s?\d[\d,]*(?:\.\d+)?k?\b)"
    r"|(?P<number>\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?P<suffix>st|nd|rd|th|k)?(?![a-z]*\d)"
    r"|(?P<word>to[- ]morrow\b|[^\W\d_]+(?:['’][^\W\d_]+)*)"
    r"|(?P<stop>[.?!;]+)",
    re.IGNORECASE,
)

_WHOLE = {
    "can't": "can not", "cannot": "can not", "won't": "will not", "shan't": "shall not", "let's": "let us",
    "y'all": "you all", "ma'am": "madam", "o'clock": "oclock",
    "whats": "what is", "wheres": "where is", "whos": "who is", "hows": "how is", "whens": "when is",
    "thats": "that is", "theres": "there is", "im": "i am", "ive": "i have", "dont": "do not",
    "cant": "can not", "wont": "will not", "didnt": "did not", "doesnt": "does not", "isnt": "is not",
    "havent": "have not", "hasnt": "has not", "youre": "you are", "lets": "let us", "wanna": "want to",
    "gonna": "going to", "gimme": "give me", "lemme": "let me", "gotta": "have to", "dunno": "do not know",
    "okay": "ok", "okey": "ok", "alright": "all right", "thankyou": "thank you", "ya": "you",
    "to morrow": "tomorrow", "to-morrow": "tomorrow",
}  # fmt: skip
_IS_AFTER = word_set("what where who how when that there here it he she everything this")
_TAILS = {"m": "am", "re": "are", "ve": "have", "ll": "will", "d": "would"}


@dataclass(frozen=True)
class Token:
    """One word or number.

    Attributes:
        text: lower case, without accents; digits for a number, as in `"125.50"`.
        start, end: where it stood in the original text.
        kind: `"word"`, `"number"`, `"ordinal"`, `"money"`, `"time"`, `"date"` or `"stop"` (the end of a sentence).
        value: the number that it is.
    """

    text: str
    start: int
    end: int
    kind: str = "word"
    value: Decimal | None = None


@lru_cache(maxsize=4096)
def tokenize(text: str) -> tuple[Token, ...]:
    """The tokens of a text, number words read as numbers."""
    return tuple(_join_numbers(_raw_tokens(text)))


@lru_cache(maxsize=4096)
def words(text: str) -> tuple[str, ...]:
    """The texts of the tokens, sentence ends left out."""
    return tuple(token.text for token in tokenize(text) if token.kind != "stop")


def plain(text: str) -> str:
    """Lower case and without accents."""
    decomposed = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _raw_tokens(text: str) -> list[Token]:
    tokens: list[Token] = []
    for match in _RAW.finditer(text):
        start, end = match.span()
        kind = match.lastgroup or "word"
        if match["word"]:
            tokens.extend(Token(word, start, end) for word in _expand(plain(match["word"])))
        elif match["number"]:
            tokens.append(_number_token(match["number"], (match["suffix"] or "").lower(), start, end))
        elif match["money"]:
            tokens.append(_money_token(match["money"], start, end))
        else:
            tokens.append(Token(match[0], start, end, kind))
    return tokens


def _expand(word: str) -> list[str]:
    """`what's` → what is; `mum's` → mum; `don't` → do not."""
    if word in _WHOLE:
        return _WHOLE[word].split()
    head, apostrophe, tail = word.partition("'")
    if not apostrophe:
        return [word]
    if tail == "t" and head.endswith("n"):
        return [head[:-1], "not"]
    if tail == "s":
        return [head, "is"] if head in _IS_AFTER else [head]
    if tail in _TAILS:
        return [head, _TAILS[tail]]
    return [head + tail]


def _number_token(digits: str, suffix: str, start: int, end: int) -> Token:
    value = Decimal(digits.replace(",", ""))
    if suffix == "k":
        value *= 1000
    if suffix in ("st", "nd", "rd", "th"):
        return Token(f"{value}{suffix}", start, end, "ordinal", value)
    return Token(number_text(value), start, end, "number", value)


def _money_token(written: str, start: int, end: int) -> Token:
    digits = re.sub(r"[^\d.]", "", written).rstrip(".")
    value = Decimal(digits) * (1000 if written.lower().endswith("k") else 1)
    return Token(number_text(value), start, end, "money", value)


def number_text(value: Decimal) -> str:
    """Digits without an exponent or needless zeros, as in `"1200"` or `"1200.5"`."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _join_numbers(tokens: list[Token]) -> list[Token]:
    """Replace runs of number words by one number each."""
    texts = [token.text if token.kind in ("word", "number", "money") else "" for token in tokens]
    joined: list[Token] = []
    at = 0
    while at < len(tokens):
        ordinal = read_ordinal(texts, at)
        if ordinal is not None:
            value, after = ordinal
            joined.append(_merged(tokens, at, after, "ordinal", value))
            at = after
            continue
        number = read_number(texts, at)
        if number is not None:
            value, after = number
            kind = "money" if any(t.kind == "money" for t in tokens[at:after]) else "number"
            joined.append(_merged(tokens, at, after, kind, value))
            at = after
            continue
        joined.append(tokens[at])
        at += 1
    return joined


def _merged(tokens: list[Token], start: int, after: int, kind: str, value: Decimal) -> Token:
    if after - start == 1 and tokens[start].kind in ("number", "money"):
        return tokens[start]
    suffix = ordinal_suffix(int(value)) if kind == "ordinal" else ""
    first = tokens[start]
    return replace(first, text=number_text(value) + suffix, end=tokens[after - 1].end, kind=kind, value=value)


def ordinal_suffix(number: int) -> str:
    """`st`, `nd`, `rd` or `th`."""
    if 10 <= number % 100 <= 20:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
