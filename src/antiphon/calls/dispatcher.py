"""Takes queued calls, one after the other, and has them dialled: not too many, not too fast, each exactly once.

Several dispatchers may share a store. A call is claimed with a lease before anything else, so one dispatcher has it; what
is dialled is on record as `dialing` under that lease before anything is sent. A dispatcher that dies in between leaves a
queued call whose lease runs out, and another one takes it. An attempt is repeated only if nothing was sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ..models.errors import AntiphonError
from ..observability.log_context import log_fields
from ..store import Conflict, NotFound, OneOf, Prefix, Store, StoreError
from ..store import Document as Stored
from ..store.filters import Condition
from ..telephony import Dialler
from .call_capacity import count_places, reserve_pace
from .call_parts import DialFailure
from .call_record import COLLECTION
from .call_requests import RequestType, end_queued
from .lifecycle_events import CancelRequested, Errored
from .status import CallStatus

logger = logging.getLogger(__name__)

_EVERYWHERE = ""  # in place of a trunk's id: all calls together
_COLLISION = (0.05, 0.3)  # seconds until the next try when two may have given way to each other
_LONGEST_FAILURE_PAUSE = 30.0
_STOP_PATIENCE = 5.0


class OutboundHost(Protocol):
    """Runs the calls; see `call_host.CallHost`."""

    process_id: str

    async def run_outbound(self, claimed: Stored, dialler: Dialler) -> Stored:
        """Dial a claimed call, and return its document when it is over. Raises DialFailure if nothing was sent."""


@dataclass(frozen=True, slots=True)
class DispatcherOptions:
    """How the queue is worked off.

    Attributes:
        max_concurrent: calls at once over all processes, whatever their direction; trunks have limits of their own.
        max_here: calls at once that this dispatcher has under way.
        poll_seconds: how often calls are looked for that other processes queued or that are due now.
        lease_seconds: after so long a dead dispatcher's call is taken by another one.
        max_attempts: attempts that could not begin, until the call has failed.
        first_retry_seconds, longest_retry_seconds: the wait after the first of them; it doubles with each.
    """

    max_concurrent: int = 100
    max_here: int = 100
    poll_seconds: float = 1.0
    lease_seconds: float = 30.0
    max_attempts: int = 5
    first_retry_seconds: float = 2.0
    longest_retry_seconds: float = 300.0


class OutboundDispatcher:
    """Works in a task of its own from `start` to `stop`.

    When the process ends: `stop` this, close the host, which ends the calls, then `aclose` this.
    """

    def __init__(
        self,
        store: Store,
        host: OutboundHost,
        diallers: Mapping[str, Dialler],
        options: DispatcherOptions | None = None,
    ) -> None:
        """Prepare; nothing runs yet.

        Args:
            store: where the queue is.
            host: runs the calls.
            diallers: by a trunk's `provider`; calls over trunks of others are left to other dispatchers.
            options: how the queue is worked off.
        """
        self.options = options or DispatcherOptions()
        self._store = store
        self._host = host
        self._diallers = dict(diallers)
        self._trunks: dict[str, Stored] = {}
        self._full: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._attempts: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        """The calls that this dispatcher has claimed and that are not over."""
        return len(self._attempts)

    def start(self) -> None:
        if self._task is None and not self._stopping.is_set():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="outbound dispatcher")

    def poke(self) -> None:
        """A call was queued, or a place is free: look now. Call it in the loop's own thread."""
        self._wanted.set()

    async def stop(self) -> None:
        """Claim no more calls; those under way go on. Safe to call twice."""
        self._stopping.set()
        self._wanted.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task], timeout=_STOP_PATIENCE)
            task.cancel()
            await asyncio.wait([task])

    async def aclose(self) -> None:
        """Stop, and let go of the calls under way; the host still has them."""
        await self.stop()
        attempts = list(self._attempts)
        if attempts:
            await asyncio.wait(attempts, timeout=_STOP_PATIENCE)
        for attempt in attempts:
            attempt.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)

    # -- rounds ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._wanted.clear()
            pause = self.options.poll_seconds * random.uniform(0.8, 1.2)
            try:
                await self.work()
                failures = 0
            except Exception as error:
                failures = min(failures + 1, 10)
                pause = min(_LONGEST_FAILURE_PAUSE, self.options.poll_seconds * 2.0**failures)
                known = isinstance(error, StoreError)
                logger.error(
                    "no calls can be dispatched, next try in %.1f s: %s",
                    pause,
                    error,
                    exc_info=None if known else error,
                )
            await self._rest(pause, listen=not failures)

    async def _rest(self, pause: float, *, listen: bool) -> None:
        """Until somebody wants something, if we listen; at most for `pause` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await (self._wanted if listen else self._stopping).wait()

    async def work(self) -> int:
        """Dispatch all calls that may be dispatched now; returns how many there were. Raises StoreError."""
        dispatched = 0
        await self._look()
        while not self._stopping.is_set() and len(self._attempts) < self.options.max_here:
            where = self._claimable()
            if where is None:
                break
            call = await self._store.claim(
                COLLECTION,
                where,
                owner=self._host.process_id,
                lease_seconds=self.options.lease_seconds,
                order_by="claimable_at",
            )
            if call is None:
                break
            with log_fields(call_id=call["id"]):
                dispatched += await self._dispatch(call)
        return dispatched

    async def _look(self) -> None:
        """Read the trunks anew, and see whether those that were full still are."""
        # Deleted ones too: calls over them are still to be ended.
        self._trunks = {
            trunk["id"]: trunk async for trunk in self._store.each("trunks", include_deleted=True)
        }
        self._full = {trunk_id for trunk_id in self._full if await self._is_full(trunk_id)}

    async def _is_full(self, trunk_id: str, already: int = 0) -> bool:
        """Whether one more call were too many. `already`: 1 if that call has its place and is counted."""
        if trunk_id == _EVERYWHERE:
            limit: int | None = self.options.max_concurrent
        else:
            limit = self._trunks.get(trunk_id, {}).get("max_concurrent")
        if limit is None:
            return False
        return await count_places(self._store, trunk_id or None) + 1 - already > limit

    def _claimable(self) -> dict[str, Condition] | None:
        """Which calls may be claimed now; None: none."""
        if _EVERYWHERE in self._full:
            return None
        chosen = tuple(id for id, trunk in self._trunks.items() if self._is_open(trunk))
        # As a prefix, because SQLite would sort all queued calls for an equality; so it walks along those that are due.
        where: dict[str, Condition] = {"status": Prefix(str(CallStatus.QUEUED))}
        if len(chosen) == len(self._trunks):
            return where  # also calls whose trunk is not known any more, to be ended
        return {**where, "trunk_id": OneOf(chosen)} if chosen else None

    def _is_open(self, trunk: Stored) -> bool:
        if trunk.get("deleted_at") is not None:
            return True
        return (
            bool(trunk.get("active", True))
            and trunk.get("provider", "generic") in self._diallers
            and trunk["id"] not in self._full
            and self._not_before.get(trunk["id"], 0.0) <= self._store.clock()
        )

    # -- one call --------------------------------------------------------------------------------------------------

    async def _dispatch(self, call: Stored) -> bool:
        """Have a claimed call dialled, or give it back; returns whether it is under way."""
        trunk = self._trunks.get(call.get("trunk_id") or "")
        if _to_be_ended(call):
            await self._end(call, CancelRequested())
        elif trunk is None or trunk.get("deleted_at") is not None:
            await self._end(call, Errored("the trunk was deleted"))
        elif not self._is_open(trunk):  # it was made after the trunks were read
            await self._give_back(call)
        else:
            for place in (_EVERYWHERE, trunk["id"]):
                if await self._is_full(place, already=1):
                    self._full.add(place)
                    self._wake_in(random.uniform(*_COLLISION))
                    await self._give_back(call)
                    return False
            pace = float(trunk.get("calls_per_second") or 3.0)
            next_at = await reserve_pace(self._store, trunk["id"], pace)
            if next_at is None:
                attempt = self._attempt(call, self._diallers[trunk.get("provider", "generic")])
                task = asyncio.get_running_loop().create_task(attempt, name=f"dispatch {call['id']}")
                self._attempts.add(task)
                task.add_done_callback(self._attempts.discard)
                return True
            self._not_before[trunk["id"]] = next_at
            self._wake_in(next_at - self._store.clock())
            await self._give_back(call)
        return False

    async def _attempt(self, call: Stored, dialler: Dialler) -> None:
        try:
            await self._host.run_outbound(call, dialler)
        except DialFailure as failure:
            await self._try_later(failure)
        except AntiphonError as error:
            logger.info("call %s goes back into the queue: %s", call["id"], error)
            await self._give_back(call, delay=self.options.poll_seconds)
        except Exception:
            # Nothing is known of what was done, so it is not done again; the supervisor ends what was begun.
            logger.exception("call %s: dispatching failed", call["id"])
        finally:
            self.poke()

    async def _try_later(self, failure: DialFailure) -> None:
        """Nothing was sent: wait longer each time, and give up in the end."""
        call, options = failure.call, self.options
        if not call.get("lease"):
            logger.info("call %s: somebody else has it now: it is %s", call["id"], call["status"])
            return
        failed = int(call.get("attempts_failed") or 0) + 1
        delay = min(options.longest_retry_seconds, options.first_retry_seconds * 2.0 ** min(failed - 1, 30))
        delay *= random.uniform(0.8, 1.2)
        changes = {"attempts_failed": failed, "detail": str(failure)[:2000]}
        give_up = failed >= options.max_attempts
        logger.warning(
            "call %s could not be dialled, attempt %d of %d, %s: %s",
            call["id"],
            failed,
            options.max_attempts,
            "it is given up" if give_up else f"next one in {delay:.1f} s",
            failure,
        )
        if not give_up:
            self._wake_in(delay)
            await self._give_back(call, changes, delay)
            return
        try:
            mine = {"lease.token": (call.get("lease") or {}).get("token", "")}
            call = await self._store.update(COLLECTION, call["id"], changes, where=mine)
            await end_queued(self._store, call, Errored(f"given up after {failed} attempts: {failure}"))
        except (Conflict, NotFound) as error:
            logger.info("call %s: somebody else has it now: %s", call["id"], error)
        except StoreError as error:
            logger.warning("call %s cannot be given up now; its lease runs out: %s", call["id"], error)

    async def _give_back(
        self, call: Stored, changes: Mapping[str, object] | None = None, delay: float = 0.0
    ) -> None:
        """Into the queue; if somebody asked meanwhile for its end, it ends now."""
        queued = {"status": str(CallStatus.QUEUED), "dialing_at": None, **(changes or {})}
        try:
            released = await self._store.release(
                COLLECTION,
                call,
                queued if changes is not None else None,
                # Its place in the queue, unless it is to wait: not behind those that came later.
                retry_at=self._store.clock() + delay if delay else call["created_at"],
            )
            if _to_be_ended(released):
                await end_queued(self._store, released, CancelRequested())
        except (Conflict, NotFound) as error:
            logger.info("call %s: somebody else has it now: %s", call["id"], error)
        except StoreError as error:
            logger.warning("call %s cannot be given back now; its lease runs out: %s", call["id"], error)

    async def _end(self, call: Stored, event: CancelRequested | Errored) -> None:
        try:
            await end_queued(self._store, call, event)
        except (Conflict, NotFound) as error:
            logger.info("call %s: somebody else has it now: %s", call["id"], error)

    def _wake_in(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(max(0.0, seconds), self.poke)


def _to_be_ended(call: Stored) -> bool:
    return any(request.get("type") == RequestType.HANG_UP for request in call.get("requests") or ())
