"""Filters, changes and documents in MongoDB's words."""

from __future__ import annotations

import re
from typing import Any

from .changes import Changes
from .documents import Document
from .filters import Condition, OneOf, Prefix, Range, Where

# What MongoDB gives a meaning in keys, and the sign of our encoding of it.
_SPECIAL = re.compile(r"[%.$\x00]")
_ENCODED = re.compile(r"%([0-9A-F]{2})")


def name(path: str) -> str:
    return "_id" if path == "id" else path


def query(where: Where) -> dict[str, Any]:
    """The query for `where`, which was checked."""
    return {name(path): _condition(condition) for path, condition in where.items()}


def _condition(condition: Condition) -> Any:
    match condition:
        case Range():
            return {f"${limit}": value for limit, value in condition.limits().items()}
        case Prefix(text):
            return {"$regex": "^" + re.escape(text)}
        case OneOf(values):
            return {"$in": list(values)}
        case _:
            return condition


def update(changes: Changes) -> dict[str, Any]:
    """The update for `changes`, which were checked."""
    operators: dict[str, dict[str, Any]] = {
        "$set": {path: encoded(value) for path, value in changes.set.items()},
        "$unset": dict.fromkeys(changes.unset, ""),
        "$inc": dict(changes.increment),
        "$push": {path: {"$each": encoded(list(items))} for path, items in changes.append.items()},
        "$max": dict(changes.raise_to),
    }
    return {operator: fields for operator, fields in operators.items() if fields}


def stored(document: Document) -> dict[str, Any]:
    """`document` as MongoDB keeps it: the id as `_id`, keys without signs that have a meaning there."""
    return {name(key): encoded(value) for key, value in document.items()}


def loaded(stored: dict[str, Any]) -> Document:
    return {"id" if key == "_id" else key: decoded(value) for key, value in stored.items()}


def encoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            _SPECIAL.sub(lambda sign: f"%{ord(sign[0]):02X}", key): encoded(item)
            for key, item in value.items()
        }
    return [encoded(item) for item in value] if isinstance(value, list) else value


def decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            _ENCODED.sub(lambda sign: chr(int(sign[1], 16)), key): decoded(item)
            for key, item in value.items()
        }
    return [decoded(item) for item in value] if isinstance(value, list) else value
