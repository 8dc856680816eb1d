"""How documents are chosen: a mapping from paths to what is there.

A plain value must be equal (text, number or boolean; `None` means null or missing). `Range`, `Prefix` and `OneOf` say more.
All conditions must hold. Filters are for single values, not for lists and dicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .documents import check_path, check_text
from .errors import InvalidDocument

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Range:
    """Between two numbers, or between two texts (ordered by code point); leave out what has no limit."""

    gt: str | float | None = None
    gte: str | float | None = None
    lt: str | float | None = None
    lte: str | float | None = None

    def limits(self) -> dict[str, str | float]:
        all_limits = {"gt": self.gt, "gte": self.gte, "lt": self.lt, "lte": self.lte}
        return {name: limit for name, limit in all_limits.items() if limit is not None}


@dataclass(frozen=True, slots=True)
class Prefix:
    """Text that begins with `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """Equal to one of these."""

    values: tuple[str | int | float | bool, ...]


Condition = Scalar | Range | Prefix | OneOf
Where = Mapping[str, Condition]


def check_where(where: Where, secret: tuple[str, ...] = ()) -> None:
    """Raises InvalidDocument for a filter that no document could be compared with."""
    for path, condition in where.items():
        check_path(path)
        if any(path == other or path.startswith(other + ".") for other in secret):
            raise InvalidDocument(f"{path} is secret: it cannot be searched", field=path)
        match condition:
            case Range():
                limits = condition.limits().values()
                kinds = {isinstance(limit, str) for limit in limits}
                if len(kinds) != 1 or any(isinstance(limit, bool) for limit in limits):
                    raise InvalidDocument(f"a range of {path} needs limits of one kind", field=path)
                for limit in limits:
                    _check_scalar(limit, path)
            case Prefix(text):
                check_text(text, path)
            case OneOf(values):
                for value in values:
                    _check_scalar(value, path)
            case _:
                _check_scalar(condition, path)


def _check_scalar(value: object, path: str) -> None:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise InvalidDocument(f"{path} can be compared with text, numbers and booleans only", field=path)
    if isinstance(value, str):
        check_text(value, path)
