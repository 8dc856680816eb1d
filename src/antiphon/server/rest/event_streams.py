"""The events of calls as they happen: what is stored is replayed, then followed until the call is over.

Events are read from the store, so it does not matter which process runs the call; `publish` only makes those of this process
faster than the next look.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

from ...calls.status import TERMINAL
from ...store import Document, NotFound, Store, StoreUnavailable

HEARTBEAT = 15.0  # seconds of silence after which a comment keeps proxies from closing the connection
LOOK_EVERY = 1.0  # seconds
LONGEST = 3600.0  # seconds; then the client comes again, with its key
RETRY = 2000  # milliseconds that a client waits before it comes again
# A call that is over is followed so long for events that are still on their way.
_LAST_EVENTS_WITHIN = 60.0


class TooManyStreams(Exception):
    """No more clients can follow events now."""


async def _always() -> bool:
    return True


class EventStreams:
    """All event streams of this process."""

    def __init__(
        self,
        *,
        most: int = 500,
        most_per_key: int = 100,
        heartbeat: float = HEARTBEAT,
        look_every: float = LOOK_EVERY,
        longest: float = LONGEST,
    ) -> None:
        self._most = most
        self._most_per_key = most_per_key
        self._heartbeat = heartbeat
        self._look_every = look_every
        self._longest = longest
        self._open: Counter[str] = Counter()
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._closed = asyncio.Event()

    @property
    def count(self) -> int:
        """Streams that are open now."""
        return self._open.total()

    def publish(self, event: Document) -> None:
        """An event was filed in `call_events`: those who follow its call look at once."""
        for waker in self._waiting.get(event["call_id"], ()):
            waker.set()

    def close(self) -> None:
        """End all streams, so that the server can shut down; clients come again elsewhere."""
        self._closed.set()
        for wakers in self._waiting.values():
            for waker in wakers:
                waker.set()

    def reserve(self, key_id: str) -> Callable[[], None]:
        """Count a stream; returns what ends it. Raises TooManyStreams."""
        if self.count >= self._most or self._open[key_id] >= self._most_per_key:
            raise TooManyStreams
        self._open[key_id] += 1
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                self._open[key_id] -= 1
                if not self._open[key_id]:
                    del self._open[key_id]

        return release

    async def follow(
        self,
        store: Store,
        call_id: str,
        last_event_id: str | None,
        allowed: Callable[[], Awaitable[bool]] = _always,
    ) -> AsyncIterator[str]:
        """The text of a stream: the events after `last_event_id`, those that come, and heartbeats.

        An id that is not known replays everything: twice is better than never. While the store is away there are heartbeats
        only.

        Args:
            allowed: asked as often as there are heartbeats whether the stream may go on.
        """
        loop = asyncio.get_running_loop()
        ends_at, said_at, asked_at = loop.time() + self._longest, loop.time(), loop.time()
        sent: set[str] = set()
        over_since: float | None = None
        yield f"retry: {RETRY}\n\n"
        with self._waker(call_id) as waker:
            while not self._closed.is_set() and loop.time() < ends_at:
                waker.clear()
                if loop.time() - asked_at >= self._heartbeat:
                    asked_at = loop.time()
                    if not await allowed():
                        return
                if loop.time() - said_at >= self._heartbeat:
                    said_at = loop.time()
                    yield ": still here\n\n"
                try:
                    call, events = await _read(store, call_id)
                except StoreUnavailable:
                    await self._pause(waker)
                    continue
                if not sent and last_event_id is not None:
                    sent.update(_up_to(events, last_event_id))
                    last_event_id = None
                for event in events:
                    if event["event_id"] not in sent:
                        sent.add(event["event_id"])
                        said_at = loop.time()
                        yield _message(event)
                if call is None or _complete(call, events):
                    return
                if call["status"] in TERMINAL:
                    over_since = loop.time() if over_since is None else over_since
                    if loop.time() - over_since > _LAST_EVENTS_WITHIN:
                        return
                await self._pause(waker)

    async def _pause(self, waker: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._look_every):
                await waker.wait()
        except TimeoutError:
            pass

    @contextmanager
    def _waker(self, call_id: str) -> Iterator[asyncio.Event]:
        waker = asyncio.Event()
        self._waiting.setdefault(call_id, set()).add(waker)
        try:
            yield waker
        finally:
            wakers = self._waiting[call_id]
            wakers.discard(waker)
            if not wakers:
                del self._waiting[call_id]


async def _read(store: Store, call_id: str) -> tuple[Document | None, list[Document]]:
    """The call, read before its events: a call that is over then has all of them, or in its outbox."""
    call: Document | None
    try:
        call = await store.get("calls", call_id)
    except NotFound:
        call = None
    return call, [event async for event in store.each("call_events", {"call_id": call_id})]


def _up_to(events: list[Document], last_event_id: str) -> list[str]:
    ids = [event["event_id"] for event in events]
    return ids[: ids.index(last_event_id) + 1] if last_event_id in ids else []


def _complete(call: Document, events: list[Document]) -> bool:
    """Whether nothing comes any more: the call is over, and all of its events are filed."""
    if call["status"] not in TERMINAL:
        return False
    filed = {event["event_id"] for event in events}
    return all(event["id"] in filed for event in call.get("outbox") or ())


def _message(event: Document) -> str:
    """One event. Source: WHATWG HTML, server-sent events; JSON has no line breaks of its own."""
    data = {name: event.get(name) for name in ("event_id", "call_id", "type", "at", "data")}
    return f"id: {event['event_id']}\nevent: {event['type']}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"
