"""Documents and collections: what may be stored, which fields are indexed, unique or secret.

A document is a dict of JSON values. Beside its own fields it has those of `RESERVED`, which only the store changes:

- `id`, `version` (1, then one more with each change), `created_at`, `updated_at`, `deleted_at`: in every document.
  Times are seconds since 1970, as floats.
- `claimable_at`, `lease`, `attempts`, `completed_at`: in collections whose documents are work to be claimed.
- `outbox`, `outbox_due`: in documents whose changes emitted events that nobody has collected yet.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import InvalidDocument

Document = dict[str, Any]

# Holds copies of the unique fields of a document that is not deleted, so that a deleted one does not block its number.
UNIQUE = "_unique"

RESERVED = frozenset(
    {
        "id",
        "version",
        "created_at",
        "updated_at",
        "deleted_at",
        "claimable_at",
        "lease",
        "attempts",
        "completed_at",
        "outbox",
        "outbox_due",
        UNIQUE,
    }
)

# Letters first, so that no path addresses an element of a list by its number or one of MongoDB's operators.
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*")
_LARGEST_INTEGER = 2**63
_DEEPEST = 60


@dataclass(frozen=True)
class Collection:
    """What the store must know of a collection.

    Attributes:
        prefix: what the ids of its documents begin with, as in `call_0193…`.
        unique: top-level fields of which no two documents may have the same value; several may have none.
        indexed: paths by which documents are found quickly, and listed in the order of their creation.
        narrowed: paths by which such lists are narrowed further; the indexes carry them along.
        queues: paths of which work with one value is claimed or counted, in the order of `claimable_at`.
        secret: paths of values that are encrypted at rest and masked when read.
        leased: whether documents are work that is claimed for a time, and then completed.
    """

    name: str
    prefix: str
    unique: tuple[str, ...] = ()
    indexed: tuple[str, ...] = ()
    narrowed: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    leased: bool = False
    system_indexed: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        system = ("outbox_due", "expires_at", "deleted_at", *(("claimable_at",) if self.leased else ()))
        object.__setattr__(self, "system_indexed", system)


def new_id(prefix: str, now: float) -> str:
    """A new id that sorts by time of creation (milliseconds, then chance)."""
    return f"{prefix}_{int(now * 1000):012x}{uuid.uuid4().hex[:20]}"


def check_path(path: str) -> None:
    """Raises InvalidDocument unless `path` is names joined by dots."""
    if not _PATH.fullmatch(path):
        raise InvalidDocument(
            f"{path!r} is not a path of a field: names of letters, digits, _ and -, joined by dots",
            field=path,
        )


def check_value(value: object, path: str, depth: int = 0) -> None:
    """Raises InvalidDocument, naming the place, for what JSON or one of the databases cannot hold."""
    match value:
        case None | bool():
            return
        case int():
            if not -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
                raise InvalidDocument(f"{path} is an integer of more than 64 bits", field=path)
        case float():
            if not math.isfinite(value):
                raise InvalidDocument(f"{path} is {value}, which JSON does not have", field=path)
        case str():
            check_text(value, path)
        case list() | dict() if depth >= _DEEPEST:
            raise InvalidDocument(f"{path} is nested more than {_DEEPEST} levels deep", field=path)
        case list():
            for index, item in enumerate(value):
                check_value(item, f"{path}.{index}", depth + 1)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str):
                    raise InvalidDocument(f"{path} has the key {key!r}, which is not text", field=path)
                check_text(key, path)
                check_value(item, f"{path}.{key}", depth + 1)
        case _:
            raise InvalidDocument(f"{path} is a {type(value).__name__}, not a JSON value", field=path)


def check_text(text: str, path: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidDocument(f"{path} is not valid Unicode text", field=path) from None


def check_fields(fields: Mapping[str, object], *, allowed: frozenset[str] = frozenset()) -> None:
    """Raises InvalidDocument unless `fields` may be the own fields of a document."""
    for name, value in fields.items():
        if not isinstance(name, str) or "." in name:
            raise InvalidDocument(f"{name!r} is not the name of a field", field=str(name))
        check_path(name)
        if name in RESERVED - allowed:
            raise InvalidDocument(f"{name} is set by the store only", field=name)
        check_value(value, name)
