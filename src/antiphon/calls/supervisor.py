"""Ends the calls whose process died: those under way whose lease ran out, and only those.

Several supervisors may share a store. The end is one write that holds only while the lease is as it was found, so that one
of them writes it, and none does when the owner was merely late and has renewed. When the store was away, or everything stood
still, owners could not renew: then each lease counts anew from the moment when the supervisor sees again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..observability.log_context import log_fields
from ..store import Conflict, NotFound, OneOf, Range, Store, StoreError
from ..store import Document as Stored
from .call_record import ACTIVE, COLLECTION, event_of, fields_of
from .call_state import state_of_record
from .lifecycle import step
from .lifecycle_effects import Commit
from .lifecycle_events import ProcessLost
from .recording.info import RecordingState, summary_of

logger = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds between two looks
_LATE = 2.0  # seconds; a look that is later than this means that something stood still
MOST_AT_ONCE = 100
_REPORTED = ("dialing", "ringing", "answered", "agent_ready", "media_path_ready", "media")


class CallSupervisor:
    """Looks for lapsed calls at intervals, in a task of its own from `start` to `aclose`."""

    def __init__(self, store: Store, *, interval: float = INTERVAL) -> None:
        self._store = store
        self._interval = interval
        self._looked_at: float | None = None
        self._sees_since = 0.0
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

    async def sweep(self, *, patient: bool = False) -> int:
        """End all calls that are lapsed now.

        Args:
            patient: leave those whose owner could not renew, and may do so now.

        Returns:
            How many this supervisor ended.

        Raises:
            StoreError: the store failed; the next look finds the rest.
        """
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
            if patient and cursor is None:
                self._note_look(self._store.clock())
            for document in lapsed.items:
                if patient and self._could_not_renew(document):
                    continue
                with log_fields(call_id=document["id"]):
                    ended += await self._end(document)
            if (cursor := lapsed.next_cursor) is None:
                return ended

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep(patient=True)
            except StoreError as error:
                self._looked_at = None
                logger.warning(
                    "calls of dead processes cannot be looked for, the next look is soon: %s", error
                )
            except Exception:
                logger.exception("looking for calls of dead processes failed; the next look is soon")
            await asyncio.sleep(self._interval)

    def _note_look(self, now: float) -> None:
        if self._looked_at is None or now - self._looked_at > self._interval + _LATE:
            self._sees_since = now
        self._looked_at = now

    def _could_not_renew(self, document: Stored) -> bool:
        return self._store.clock() - self._sees_since < float(document.get("lease_seconds") or 0.0)

    async def _end(self, document: Stored) -> bool:
        now = self._store.clock()
        _, effects = step(state_of_record(document), ProcessLost(_last_seen(document)), now)
        commit = next(effect for effect in effects if isinstance(effect, Commit))
        fields = fields_of(commit) | await self._recording(document)
        try:
            await self._store.update(
                COLLECTION,
                document["id"],
                fields,
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

    async def _recording(self, document: Stored) -> dict[str, Any]:
        """What became of the recording, if that is known and not on the call's record."""
        known = document.get("recording") or {}
        if known.get("state") != RecordingState.RECORDING:
            return {}
        stored = await self._store.find_one("recordings", {"id": known["id"]})
        return {} if stored is None else {"recording": summary_of(stored)}


def _last_seen(document: Stored) -> float:
    """When the owner last showed itself: it renewed the lease, or reported something of the call."""
    renewed = document["claimable_at"] - document.get("lease_seconds", 0.0)
    reported = [document.get(f"{name}_at") for name in _REPORTED]
    return float(max(renewed, document["created_at"], *(at for at in reported if at is not None)))
