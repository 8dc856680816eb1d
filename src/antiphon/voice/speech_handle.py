"""A handle on something the agent says."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Generator
from typing import Any

from ..models.chat_context import ChatMessage

# The speech whose tool is running in this task: such a tool may wait for what was said before it, not for itself.
running_tool_of: contextvars.ContextVar[SpeechHandle | None] = contextvars.ContextVar(
    "running_tool_of", default=None
)


class SpeechHandle:
    """One reply, announcement or greeting, from its request to its end.

    Awaiting it waits until it has been heard, interrupted or given up.
    """

    def __init__(
        self,
        id: str,
        *,
        allow_interruptions: bool,
        interrupt: Callable[[SpeechHandle, bool], None],
        on_allowed: Callable[[SpeechHandle, bool], None],
    ) -> None:
        self.id = id
        self._allow_interruptions = allow_interruptions
        self._on_allowed = on_allowed
        self._guarded = False
        self.chat_items: list[ChatMessage] = []
        self._interrupt = interrupt
        self._interrupted = False
        self._outcome = ""
        self._done = asyncio.Event()
        self._silent = asyncio.Event()
        self._silent.set()
        self._callbacks: list[Callable[[SpeechHandle], None]] = []

    @property
    def allow_interruptions(self) -> bool:
        return self._allow_interruptions and not self._guarded

    @allow_interruptions.setter
    def allow_interruptions(self, allowed: bool) -> None:
        before, self._allow_interruptions = self.allow_interruptions, allowed
        self._tell_allowed(before)

    @property
    def guarded(self) -> bool:
        """Whether it cannot be interrupted for now, whatever `allow_interruptions` was set to."""
        return self._guarded

    @guarded.setter
    def guarded(self, guarded: bool) -> None:
        before, self._guarded = self.allow_interruptions, guarded
        self._tell_allowed(before)

    def _tell_allowed(self, before: bool) -> None:
        if self.allow_interruptions != before:
            self._on_allowed(self, self.allow_interruptions)

    @property
    def interrupted(self) -> bool:
        return self._interrupted

    @property
    def outcome(self) -> str:
        """Why it ended: `"finished"`, `"interrupted"`, `"superseded"`, `"held"`, `"closed"`, `"empty"`, `"failed"`..."""
        return self._outcome

    def done(self) -> bool:
        return self._done.is_set()

    def interrupt(self, *, force: bool = False) -> SpeechHandle:
        """Stop it.

        Raises:
            RuntimeError: interruptions are not allowed and `force` is not set.
        """
        if not self.done():
            if not self.allow_interruptions and not force:
                raise RuntimeError(f"{self.id} does not allow interruptions; use interrupt(force=True)")
            self._interrupt(self, force)
        return self

    def add_done_callback(self, callback: Callable[[SpeechHandle], None]) -> None:
        """Call `callback(handle)` at its end, at once when that is past."""
        if self.done():
            callback(self)
        else:
            self._callbacks.append(callback)

    async def wait_for_playout(self) -> SpeechHandle:
        """Wait until it is over; inside a tool of this speech, until what came before the tool was heard."""
        await (self._silent if running_tool_of.get() is self else self._done).wait()
        return self

    def __await__(self) -> Generator[Any, None, SpeechHandle]:
        return self.wait_for_playout().__await__()

    def part_started(self) -> None:
        """A part of it is on its way to the listener."""
        self._silent.clear()

    def part_ended(self) -> None:
        self._silent.set()

    def finish(self, outcome: str, *, interrupted: bool = False) -> None:
        """End it; later calls change nothing."""
        if self.done():
            return
        self._outcome = outcome
        self._interrupted = interrupted
        self._silent.set()
        self._done.set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def __repr__(self) -> str:
        return f"SpeechHandle({self.id}, {self._outcome or 'running'})"
