"""Ends the calls whose process died: those under way whose lease ran out, and only those.

Several supervisors may share a store. The end is one write that holds only while the lease is as it was found, so that one
of them writes it, and none does when the owner was merely late and has renewed.
"""

from __future__ import annotations

import asyncio
import logging

from ..observability.log_context import log_fields
from ..store import Conflict, NotFound, OneOf, Range, Store, StoreError
from ..store import Document as Stored
from .call_record import ACTIVE, COLLECTION, event_of, fields_of
from .call_state import state_of_record
from .lifecycle import step
from .lifecycle_effects import Commit
from .lifecycle_events import ProcessLost

logger = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds between two looks
MOST_AT_ONCE = 100
_REPORTED = ("dialing", "ringing", "answered", "agent_ready", "media_path_ready", "media")


class CallSupervisor:
    """Looks for lapsed calls at intervals, in a task of its own from `start` to `aclose`."""

    def __init__(self, store: Store, *, interval: float = INTERVAL) -> None:
        self._store = store
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="call supervisor")

    async def aclose(self) -> None:
        """Stop; safe to call twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def sweep(self) -> int:
        """End all calls that are lapsed now; returns how many this supervisor ended. Raises StoreError."""
        ended = 0
        cursor = None
        while True:
            lapsed = await self._store.find(
                COLLECTION,
                {
                    "status": OneOf(tuple(str(status) for status in ACTIVE)),
                    "claimable_at": Range(lte=self._store.clock()),
                },
                limit=MOST_AT_ONCE,
                cursor=cursor,
            )
            for document in lapsed.items:
                with log_fields(call_id=document["id"]):
                    ended += await self._end(document)
            if (cursor := lapsed.next_cursor) is None:
                return ended

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                logger.warning(
                    "calls of dead processes cannot be looked for, the next look is soon: %s", error
                )
            except Exception:
                logger.exception("looking for calls of dead processes failed; the next look is soon")
            await asyncio.sleep(self._interval)

    async def _end(self, document: Stored) -> bool:
        now = self._store.clock()
        _, effects = step(state_of_record(document), ProcessLost(_last_seen(document)), now)
        commit = next(effect for effect in effects if isinstance(effect, Commit))
        try:
            await self._store.update(
                COLLECTION,
                document["id"],
                fields_of(commit),
                where={
                    "status": document["status"],
                    "lease.token": (document.get("lease") or {}).get("token"),
                    "claimable_at": Range(lte=now),
                },
                emit=[event_of(commit)],
                complete=True,
            )
        except (Conflict, NotFound):
            return False  # its owner is alive, or another supervisor was here
        logger.warning(
            "call %s: its process %s died; it is %s", document["id"], document.get("owner"), commit.status
        )
        return True


def _last_seen(document: Stored) -> float:
    """When the owner last showed itself: it renewed the lease, or reported something of the call."""
    renewed = document["claimable_at"] - document.get("lease_seconds", 0.0)
    reported = [document.get(f"{name}_at") for name in _REPORTED]
    return float(max(renewed, document["created_at"], *(at for at in reported if at is not None)))
