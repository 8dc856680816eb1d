"""Writes down what was said in a call, while it is said.

The conversation never waits: what is to be written waits in a bounded queue, and a task of its own writes it in order, again
and again while the store does not answer. An entry has an id made of the call's and its number, so that none is filed twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Any

from ..store import AlreadyExists, InvalidDocument, Store, StoreError, check_value
from ..voice import (
    AgentSession,
    ConversationItemAdded,
    FunctionToolsExecuted,
    MetricsCollected,
    SessionEvent,
    TurnLatency,
)

logger = logging.getLogger(__name__)

COLLECTION = "transcripts"
MOST_WAITING = 1000  # entries; what comes after them is lost, and says so in the log
WRITE_TIMEOUT = 10.0  # seconds for one attempt
FIRST_PAUSE = 0.1  # seconds until a failed attempt is repeated; twice as long each time
LONGEST_PAUSE = 3.0


class TranscriptWriter:
    """The transcript of one call."""

    def __init__(
        self, store: Store, call_id: str, now: Callable[[], float], *, on_hold: Callable[[], bool]
    ) -> None:
        """Prepare.

        Args:
            store: where it is kept.
            call_id: whose transcript it is.
            now: seconds since 1970.
            on_hold: whether the call is on hold now; then nothing is written down.
        """
        self._store = store
        self._call_id = call_id
        self._now = now
        self._on_hold = on_hold
        self._seq = 0
        self._lost = 0
        self._waiting: deque[dict[str, Any]] = deque()
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._writer: asyncio.Task[None] | None = None
        self._latency: TurnLatency | None = None
        self._heard_at: float | None = None
        self._closed = False

    def attach(self, session: AgentSession[Any]) -> None:
        """Write down what is said in a session."""
        session.on(SessionEvent.CONVERSATION_ITEM_ADDED, self._on_item)
        session.on(SessionEvent.FUNCTION_TOOLS_EXECUTED, self._on_tools)
        session.on(SessionEvent.METRICS_COLLECTED, self._on_latency)

    async def flush(self, timeout: float) -> bool:
        """Wait until all is written; returns whether it is."""
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            return False
        return not self._lost

    async def aclose(self) -> None:
        """Write nothing any more; safe to call twice."""
        self._closed = True
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])

    # -- what was said ---------------------------------------------------------------------------------------------

    def _on_latency(self, event: MetricsCollected) -> None:
        self._heard_at = self._now()
        self._latency = event.latency if event.latency.answers_turn else None

    def _on_item(self, event: ConversationItemAdded) -> None:
        item = event.item
        if item.role == "user":
            self._add("user", item.content)
        elif item.role == "assistant" and item.content:
            latency, self._latency = self._latency, None
            started_at, self._heard_at = self._heard_at, None
            entry: dict[str, Any] = {"interrupted": item.interrupted}
            if started_at is not None:
                entry |= {"started_at": round(started_at, 3), "ended_at": round(self._now(), 3)}
            if latency is not None and latency.total is not None:
                entry["latency"] = {**latency.as_dict(), "seconds": round(latency.total, 4)}
            self._add("assistant", item.content, **entry)

    def _on_tools(self, event: FunctionToolsExecuted) -> None:
        for tool in event.tools:
            self._add(
                "tool",
                "",
                tool={
                    "name": _text(tool.call.name),
                    "arguments": _arguments(tool.call.arguments),
                    "output": _text(tool.output),
                    "is_error": tool.is_error,
                    "duration": round(tool.duration, 4),
                },
            )

    def _add(self, role: str, text: str, **more: Any) -> None:
        if self._closed or self._on_hold():
            return
        if len(self._waiting) >= MOST_WAITING:
            self._lost += 1
            if self._lost == 1:
                logger.error(
                    "call %s: the store does not take the transcript; parts of it are lost", self._call_id
                )
            return
        self._seq += 1
        entry = {"call_id": self._call_id, "seq": self._seq, "role": role, "text": _text(text)}
        self._waiting.append({**entry, "at": round(self._now(), 3), "interrupted": False, **more})
        self._empty.clear()
        self._filled.set()
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_task(
                self._write_all(), name=f"transcript of {self._call_id}"
            )

    # -- writing ---------------------------------------------------------------------------------------------------

    async def _write_all(self) -> None:
        while True:
            while self._waiting:
                await self._write_until_done(self._waiting[0])
                self._waiting.popleft()
            self._filled.clear()
            self._empty.set()
            await self._filled.wait()

    async def _write_until_done(self, entry: dict[str, Any]) -> None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await self._store.create(COLLECTION, entry, id=f"turn_{self._call_id}_{entry['seq']:06d}")
                return
            except AlreadyExists:  # an attempt before this one did it
                return
            except InvalidDocument as error:
                logger.error("call %s: an entry of the transcript cannot be stored: %s", self._call_id, error)
                return
            except (StoreError, TimeoutError) as error:
                logger.warning("call %s: the transcript waits for the store: %s", self._call_id, error)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)


def _text(text: str) -> str:
    """What any database can hold: models may write anything."""
    return text.encode("utf-8", "replace").decode()


def _arguments(text: str) -> Any:
    """A tool's arguments as they were meant, or as they were written if that is no JSON."""
    try:
        arguments = json.loads(_text(text))
        check_value(arguments, "arguments")
    except (ValueError, RecursionError, InvalidDocument):
        return _text(text)
    return arguments
