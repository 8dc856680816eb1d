"""A lease: who works on a document, and since when."""

from __future__ import annotations

import uuid

from .documents import Document


def lease(owner: str, now: float) -> Document:
    """A new lease of `owner`; its token tells it from every other one."""
    return {"owner": owner, "token": uuid.uuid4().hex, "since": now}
