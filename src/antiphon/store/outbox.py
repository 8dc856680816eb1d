"""Events that were written together with the change that caused them: handed out in order, until they are acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from .changes import Changes
from .checked_documents import CheckedDocuments
from .documents import Document
from .errors import NotFound, StoreUnavailable
from .filters import Range

_RACES = 50


class Outbox(CheckedDocuments):
    """The part of `Store` that hands out events."""

    async def pending(self, collection: str) -> int:
        """How many documents have events that wait to be collected now."""
        return await self.backend.count(self._collection(collection), {"outbox_due": Range(lte=self._now())})

    async def claim_outbox(self, collection: str, *, lease_seconds: float) -> Document | None:
        """A document with events in its `outbox`, which nobody else gets for `lease_seconds`; None if there is none.

        Deal with the events in order, then `acknowledge` them. Events that are not acknowledged come again, with the same ids.
        Deleted documents have their events delivered too.
        """
        kind = self._collection(collection)
        now = self._now()
        due = Changes(set={"outbox_due": now + lease_seconds}, increment={"version": 1})
        claimed = await self.backend.modify(kind, {"outbox_due": Range(lte=now)}, due, order_by="outbox_due")
        return None if claimed is None else self._shown(kind, claimed, reveal=False)

    async def acknowledge(self, collection: str, id: str, event_ids: Iterable[str]) -> None:
        """Take events out of a document's outbox; those of them that are not there are no error. Raises NotFound."""
        kind = self._collection(collection)
        gone = set(event_ids)
        for _ in range(_RACES):
            document = await self.backend.fetch(kind, id)
            if document is None:
                raise NotFound(collection, id)
            left = [event for event in document.get("outbox", []) if event["id"] not in gone]
            if left:
                changes = Changes(set={"outbox": left, "outbox_due": self._now()}, increment={"version": 1})
            else:
                changes = Changes(unset=["outbox", "outbox_due"], increment={"version": 1})
            if await self.backend.modify(kind, {"id": id, "version": document["version"]}, changes):
                return
            await asyncio.sleep(0.01)
        raise StoreUnavailable(f"{collection} {id} changes too often to acknowledge its events; try again")
