"""The document of one call in the store: made once, then changed by whoever holds its lease.

Changes are written in the order in which they were made, by a task of the record's own, so that nobody waits for the store
who need not. While the store does not answer, changes wait and are tried again; what has piled up is then written as one.
Every write names itself in `last_commit`: one that was cut off, and may have happened, is not done twice.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..store import Conflict, NotFound, Store, StoreError
from ..store import Document as Stored
from .lifecycle_effects import Commit
from .status import TERMINAL, CallStatus

logger = logging.getLogger(__name__)

COLLECTION = "calls"
ACTIVE = (CallStatus.DIALING, CallStatus.RINGING, CallStatus.ANSWERED)
WRITE_TIMEOUT = 10.0  # seconds for one attempt
FIRST_PAUSE = 0.1  # seconds until a failed attempt is repeated; twice as long each time
LONGEST_PAUSE = 3.0

Clock = Callable[[float], float]


def same_clock(at: float) -> float:
    """For who counts in seconds since 1970 already."""
    return at


def wall_clock(store: Store, now: float) -> Clock:
    """From a monotonic clock that shows `now` to seconds since 1970; it does not follow the wall clock when that jumps."""
    offset = store.clock() - now
    return lambda at: at + offset


def fields_of(commit: Commit, clock: Clock = same_clock) -> dict[str, Any]:
    """What a commit changes in the document."""
    fields: dict[str, Any] = {"status": str(commit.status)}
    for name, value in commit.fields.items():
        if isinstance(value, str):
            fields[name] = _text(value)
        elif name.endswith("_at") and value is not None:
            fields[name] = round(clock(value), 3)
        else:
            fields[name] = value
    return fields


def event_of(commit: Commit, clock: Clock = same_clock) -> dict[str, Any]:
    """What a commit appends to the call's events."""
    return {
        "type": commit.event,
        "at": round(clock(commit.at), 3),
        "data": fields_of(commit, clock),
        "webhook": commit.webhook,
    }


async def create_call(
    store: Store,
    fields: Mapping[str, Any],
    commit: Commit,
    *,
    clock: Clock = same_clock,
    id: str | None = None,
    owner: str | None = None,
    lease_seconds: float = 0.0,
) -> Stored:
    """Make the document of a new call, from the first commit of its lifecycle.

    Args:
        fields: what is known of the call.
        commit: what `lifecycle.begin` gave.
        clock: converts the commit's times.
        id: of the document; None: a new one.
        owner: the process that runs the call from now on; None: it waits in the queue.
        lease_seconds: for how long the owner need not renew its claim.

    Raises:
        StoreError: as `Store.create`.
    """
    system: dict[str, Any] = {} if owner is None else {"owner": owner, "lease_seconds": lease_seconds}
    return await store.create(
        COLLECTION,
        {"attempts_failed": 0, "requests": [], **fields, **system, **fields_of(commit, clock)},
        id=id,
        emit=[event_of(commit, clock)],
        owner=owner,
        lease_seconds=lease_seconds,
    )


@dataclass
class _Batch:
    """Changes that are written together.

    Attributes:
        expected: the status that the store must hold; None: whichever.
        status: the status afterwards; None: as it is.
    """

    expected: CallStatus | None = None
    status: CallStatus | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    written: list[asyncio.Future[bool]] = field(default_factory=list)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class CallRecord:
    """The document of a call whose lease this process holds.

    Attributes:
        document: as it was last written or read.
        refused: the end that somebody else wrote, once a change was refused; then nothing is written any more.
    """

    def __init__(self, store: Store, document: Stored, *, clock: Clock = same_clock) -> None:
        self.document = document
        self.refused: CallStatus | None = None
        self._store = store
        self._clock = clock
        self._pending = _Batch()
        self._filled = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def id(self) -> str:
        return str(self.document["id"])

    @property
    def token(self) -> str:
        """Of the lease; empty when nobody holds one any more."""
        return str((self.document.get("lease") or {}).get("token", ""))

    # -- changes ---------------------------------------------------------------------------------------------------

    def commit(self, commit: Commit, fields: Mapping[str, Any] | None = None) -> asyncio.Future[bool]:
        """Write one change of the lifecycle, after those before it.

        Args:
            commit: what to write; its status follows that of the commit before.
            fields: what else changes in the document, its times in seconds since 1970.

        Returns:
            Whether it was written: False once somebody else has ended the call. It waits as long as the store is down, and
            is cancelled with the record.
        """
        batch = self._pending
        if batch.status is None:
            batch.expected = commit.expected
        batch.status = commit.status
        batch.fields |= {**(fields or {}), **fields_of(commit, self._clock)}
        batch.events.append(event_of(commit, self._clock))
        return self._enqueue(batch)

    def note(self, event: str, at: float, data: Mapping[str, Any]) -> asyncio.Future[bool]:
        """Append an event that changes nothing in the document."""
        self._pending.events.append(
            {"type": event, "at": round(self._clock(at), 3), "data": dict(data), "webhook": None}
        )
        return self._enqueue(self._pending)

    def set(self, fields: Mapping[str, Any]) -> asyncio.Future[bool]:
        """Change fields without an event."""
        self._pending.fields |= fields
        return self._enqueue(self._pending)

    async def renew(self, lease_seconds: float) -> None:
        """Hold the lease for `lease_seconds` from now. Raises LeaseLost, StoreUnavailable."""
        async with asyncio.timeout(WRITE_TIMEOUT):
            await self._store.renew(COLLECTION, self.document, lease_seconds)

    async def read(self) -> Stored:
        """The document as it is now."""
        async with asyncio.timeout(WRITE_TIMEOUT):
            self.document = await self._store.get(COLLECTION, self.id)
        return self.document

    async def aclose(self) -> None:
        """Write nothing any more; what waits is cancelled. Safe to call twice."""
        self._closed = True
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        for future in self._pending.written:
            future.cancel()

    # -- writing ---------------------------------------------------------------------------------------------------

    def _enqueue(self, batch: _Batch) -> asyncio.Future[bool]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        batch.written.append(future)
        if self._closed:
            future.cancel()
        elif self._writer is None:
            self._writer = loop.create_task(self._write_all(), name=f"record of {self.id}")
        self._filled.set()
        return future

    async def _write_all(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            batch, self._pending = self._pending, _Batch()
            if not batch.written:
                continue
            try:
                written = await self._write_until_done(batch)
            except asyncio.CancelledError:
                for future in batch.written:
                    future.cancel()
                raise
            for future in batch.written:
                if not future.done():
                    future.set_result(written)

    async def _write_until_done(self, batch: _Batch) -> bool:
        """Returns whether it was written; False: it was refused."""
        pause = FIRST_PAUSE
        while self.refused is None:
            try:
                async with asyncio.timeout(WRITE_TIMEOUT):
                    return await self._write(batch)
            except (StoreError, TimeoutError) as error:
                logger.warning(
                    "call %s: a change could not be written and will be tried again: %s",
                    self.id,
                    error or "the store took too long",
                )
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)
        return False

    async def _write(self, batch: _Batch) -> bool:
        where: dict[str, Any] = {"lease.token": self.token}
        if batch.expected is not None:
            where["status"] = str(batch.expected)
        try:
            self.document = await self._store.update(
                COLLECTION,
                self.id,
                {**batch.fields, "last_commit": batch.id},
                where=where,
                emit=batch.events,
                complete=batch.status in TERMINAL,
            )
            return True
        except NotFound:
            self.refused = CallStatus.FAILED
            return False
        except Conflict:
            stored = await self._store.get(COLLECTION, self.id)
        self.document = stored
        if stored.get("last_commit") == batch.id:  # an attempt before this one did it
            return True
        status = CallStatus(stored["status"])
        # Also when the new holder of the lease has not written the end yet.
        self.refused = status if status in TERMINAL else CallStatus.FAILED
        return False


def _text(value: str) -> str:
    """What any database can hold: a reason phrase may be anything."""
    return str(value).encode("utf-8", "replace").decode()[:2000]
