"""Sentences with fields: `Your {account} account has {balance|money}.`"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from .speech import (
    spelled,
    spoken_date,
    spoken_list,
    spoken_money,
    spoken_number,
    spoken_ordinal,
    spoken_time,
)

_FIELD = re.compile(r"\{(\w+)(?:\|(\w+))?\}")


class MissingField(Exception):
    """A sentence names a field that is not there."""


def _text(value: Any, currency: str) -> str:
    if isinstance(value, list | tuple):
        return spoken_list([str(item) for item in value])
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return spoken_number(value)
    return str(value).replace("_", " ") if re.fullmatch(r"[a-z_]+", str(value)) else str(value)


def _number(value: Any, currency: str) -> str:
    return spoken_number(Decimal(str(value)))


_FILTERS: dict[str, Callable[[Any, str], str]] = {
    "text": _text,
    "money": lambda value, currency: spoken_money(Decimal(str(value)), currency),
    "number": _number,
    "spell": lambda value, _: spelled(str(value)),
    "list": lambda value, currency: spoken_list([_text(item, currency) for item in value]),
    "or": lambda value, currency: spoken_list([_text(item, currency) for item in value], "or"),
    "ordinal": lambda value, _: spoken_ordinal(int(value)),
    "date": lambda value, _: spoken_date(dt.date.fromisoformat(str(value))),
    "time": lambda value, _: spoken_time(dt.time.fromisoformat(str(value))),
}
FILTERS = tuple(_FILTERS)


def fields_of(template: str) -> list[tuple[str, str]]:
    """The fields of a sentence, each with its filter (`""` for none)."""
    return [(name, how or "") for name, how in _FIELD.findall(template)]


def render(
    template: str, fields: Mapping[str, Any], currency: str = "dollars", *, capital: bool = True
) -> str:
    """Fill in a sentence; with `capital` it begins with one.

    Raises:
        MissingField: a field is not given, or its filter does not fit its value.
    """

    def fill(match: re.Match[str]) -> str:
        name, how = match[1], match[2] or "text"
        if fields.get(name) is None:
            raise MissingField(name)
        try:
            return _FILTERS[how](fields[name], currency)
        except (ValueError, TypeError, InvalidOperation) as error:
            raise MissingField(f"{name}|{how}: {error}") from error

    filled = _FIELD.sub(fill, template)
    return sentence_case(filled) if capital else filled


@lru_cache(maxsize=1024)
def as_pattern(template: str) -> re.Pattern[str]:
    """A pattern that finds a filled-in sentence in a text; each field is a group."""
    seen: set[str] = set()
    parts: list[str] = []
    at = 0
    for match in _FIELD.finditer(template):
        parts.append(re.escape(template[at : match.start()]))
        parts.append(".+?" if match[1] in seen else f"(?P<{match[1]}>.+?)")
        seen.add(match[1])
        at = match.end()
    parts.append(re.escape(template[at:]))
    return re.compile("".join(parts) + (r"(?=$|\s)" if parts[-1] else r"$"), re.IGNORECASE)


def sentence_case(text: str) -> str:
    """Capitals where sentences begin."""
    return re.sub(r"(?:^|(?<=[.!?] ))[a-z]", lambda match: match[0].upper(), text.strip())
