"""Opaque cursors: where a page of a list ended, as text for a URL.

A cursor names the last document by its place in the order (`created_at`, then `id`), not by a count, so documents that are
created or deleted in the meantime make no other document appear twice or never.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from .documents import Document
from .errors import InvalidCursor

_LATEST = 1e15  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a list: after the document with this time and id."""

    created_at: float
    id: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some documents of a list, and the cursor of the next page unless this is the last."""

    items: list[Document]
    next_cursor: str | None


def encode(collection: str, newest_first: bool, last: Document) -> str:
    place = [collection, newest_first, last["created_at"], last["id"]]
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def decode(cursor: str, collection: str, newest_first: bool) -> Place:
    """The place that `cursor` names; raises InvalidCursor unless a list of this collection and order gave it out."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        match json.loads(text):
            case [str(name), bool(order), int() | float() as created_at, str(id)] if (
                (name, order) == (collection, newest_first)
                and not isinstance(created_at, bool)
                and -_LATEST < created_at < _LATEST  # neither is NaN nor infinite, which JSON does not have
                and id.isprintable()  # so it is text that both databases can compare
            ):
                return Place(float(created_at), id)
    except (binascii.Error, ValueError, RecursionError):
        pass
    raise InvalidCursor(f"not a cursor of this list of {collection}: use next_cursor of the page before")
