"""What all controllers share: one session, listeners and timers that end with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ..agent_session import AgentSession
from ..events import SessionEvent


class Controller:
    """Watches one session from outside, by its events, and acts by its methods.

    Attach it once, after `session.start`. It lets go by itself when the session closes.
    """

    def __init__(self) -> None:
        self._session: AgentSession[Any] | None = None
        self._listeners: list[tuple[str, Callable[..., Any]]] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._suspended = False

    @property
    def session(self) -> AgentSession[Any]:
        """The session. Raises RuntimeError when not attached."""
        if self._session is None:
            raise RuntimeError(f"{type(self).__name__} is not attached: call attach(session) first")
        return self._session

    @property
    def attached(self) -> bool:
        """Whether it watches a session that is open."""
        return self._session is not None

    @property
    def suspended(self) -> bool:
        return self._suspended

    def attach(self, session: AgentSession[Any]) -> None:
        """Begin to watch `session`.

        Raises:
            RuntimeError: attached before, or the session was not started.
        """
        if self._session is not None:
            raise RuntimeError(f"{type(self).__name__} is attached to a session; each session needs its own")
        _ = session.current_agent  # raises when the session was not started
        if session.closed:
            return
        self._session = session
        self._listen(SessionEvent.CLOSE, lambda _event: self._detach())
        self._attached()

    def suspend(self) -> None:
        """Do nothing until `resume`, as on hold. Safe to call twice."""
        if not self._suspended:
            self._suspended = True
            if self.attached:
                self._suspend()

    def resume(self) -> None:
        """Go on, as if attached anew. Safe to call twice."""
        if self._suspended:
            self._suspended = False
            if self.attached:
                self._resume()

    async def aclose(self) -> None:
        """Let go of the session. Safe to call twice."""
        self._detach()

    # -- for controllers -------------------------------------------------------------------------------------------

    def _attached(self) -> None:
        """Listen and set timers."""
        raise NotImplementedError

    def _suspend(self) -> None:
        """Hold began."""
        self._cancel_timers()

    def _resume(self) -> None:
        """Hold ended."""

    def _detach(self) -> None:
        self._cancel_timers()
        session, self._session = self._session, None
        if session is not None:
            for event, listener in self._listeners:
                session.off(event, listener)
        self._listeners.clear()

    def _listen(self, event: SessionEvent, listener: Callable[..., Any]) -> None:
        self.session.on(event, listener)
        self._listeners.append((event, listener))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _set_timer(self, name: str, at: float, function: Callable[[], None]) -> None:
        """Call `function` at `at` on the loop's clock; replaces the timer of that name."""
        self._cancel_timer(name)

        def fire() -> None:
            self._timers.pop(name, None)
            function()

        self._timers[name] = asyncio.get_running_loop().call_at(at, fire)

    def _cancel_timer(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _cancel_timers(self) -> None:
        for name in tuple(self._timers):
            self._cancel_timer(name)
