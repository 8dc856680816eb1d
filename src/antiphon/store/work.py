"""Work: documents that one worker takes for a time, and completes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .changes import Changes
from .document_access import DocumentAccess
from .documents import Document
from .errors import Conflict, LeaseLost
from .filters import Range, Where
from .lease import lease


class Work(DocumentAccess):
    """The part of `Store` that hands out leased claims."""

    async def claim(
        self,
        collection: str,
        where: Where | None = None,
        *,
        owner: str,
        lease_seconds: float,
        order_by: str = "created_at",
        reveal: bool = False,
    ) -> Document | None:
        """Take one document that nobody works on, for `lease_seconds`; None if there is none.

        A document can be claimed when it is not complete and nobody holds a lease that still runs: so also when its last
        holder died. `attempts` counts the claims. Hand the returned document to `renew`, `release` or `complete`.
        """
        kind = self._work(collection)
        now = self._now()
        where = {"claimable_at": Range(lte=now), **self._where(kind, where)}
        changes = Changes(
            set={"lease": lease(owner, now), "claimable_at": now + lease_seconds, "updated_at": now},
            increment={"version": 1, "attempts": 1},
        )
        claimed = await self.backend.modify(kind, where, changes, order_by=order_by)
        return None if claimed is None else self._shown(kind, claimed, reveal=reveal)

    async def renew(self, collection: str, claimed: Document, lease_seconds: float) -> Document:
        """Hold a claimed document for `lease_seconds` from now; raises LeaseLost if somebody else has it."""
        return await self._as_holder(
            collection, claimed, Changes(set={"claimable_at": self._now() + lease_seconds})
        )

    async def release(
        self,
        collection: str,
        claimed: Document,
        changes: Changes | Mapping[str, Any] | None = None,
        *,
        retry_at: float | None = None,
        emit: Sequence[Mapping[str, Any]] = (),
    ) -> Document:
        """Give a claimed document back, to be claimed again, not before `retry_at`; raises LeaseLost."""
        free = Changes(set={"claimable_at": self._now() if retry_at is None else retry_at}, unset=["lease"])
        return await self._as_holder(collection, claimed, free, changes, emit)

    async def complete(
        self,
        collection: str,
        claimed: Document,
        changes: Changes | Mapping[str, Any] | None = None,
        *,
        emit: Sequence[Mapping[str, Any]] = (),
    ) -> Document:
        """Finish a claimed document: nobody can claim it any more; raises LeaseLost."""
        return await self._as_holder(collection, claimed, self._completion(), changes, emit)

    async def reopen(
        self,
        collection: str,
        id: str,
        changes: Changes | Mapping[str, Any] | None = None,
        *,
        where: Where | None = None,
        emit: Sequence[Mapping[str, Any]] = (),
    ) -> Document:
        """Make finished work claimable again, at once.

        Raises:
            NotFound: no such document.
            Conflict: it is not finished, or `where` does not hold; nothing was changed.
        """
        kind = self._work(collection)
        where = {**self._where(kind, where), "id": id, "completed_at": Range(gte=0)}
        again = Changes(set={"claimable_at": self._now()}, unset=["completed_at"])
        changed = await self.backend.modify(
            kind, where, self._changes(kind, id, changes or {}, emit).plus(again)
        )
        if changed is None:
            await self.get(collection, id)
            raise Conflict(f"{collection} {id} is not finished, or not as expected")
        return self._shown(kind, changed, reveal=False)

    async def _as_holder(
        self,
        collection: str,
        claimed: Document,
        system: Changes,
        changes: Changes | Mapping[str, Any] | None = None,
        emit: Sequence[Mapping[str, Any]] = (),
    ) -> Document:
        kind = self._work(collection)
        id = claimed["id"]
        where = {"id": id, "lease.token": claimed["lease"]["token"]}
        merged = self._changes(kind, id, changes or {}, emit).plus(system)
        changed = await self.backend.modify(kind, where, merged)
        if changed is None:
            raise LeaseLost(f"the lease of {claimed['lease']['owner']} on {collection} {id} is over")
        return self._shown(kind, changed, reveal=False)
