"""Runs the turn-taking machine: gives it events and the time, carries out timers, hands on the other effects."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..turns import CancelTimer, Close, Effect, Event, SetTimer, TimerFired, TurnOptions, TurnState, step
from .session_clock import SessionClock


class TurnDriver:
    """The asyncio shell of `turns.machine`."""

    def __init__(
        self, options: TurnOptions, clock: SessionClock, carry_out: Callable[[Effect], None]
    ) -> None:
        self.state = TurnState(options=options)
        self._clock = clock
        self._carry_out = carry_out
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._events: deque[Event] = deque()
        self._running = False

    @property
    def closed(self) -> bool:
        return self.state.phase == "closed"

    def dispatch(self, event: Event) -> None:
        """Take an event. One that arises while effects are carried out waits until they all are."""
        self._events.append(event)
        if self._running:
            return
        self._running = True
        try:
            while self._events:
                self.state, effects = step(self.state, self._events.popleft(), self._clock.now())
                for effect in effects:
                    self._perform(effect)
        finally:
            self._running = False

    def close(self) -> None:
        self.dispatch(Close())
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SetTimer(name, at):
                self._cancel(name)
                self._timers[name] = self._loop.call_at(self._clock.loop_time(at), self._fire, name)
            case CancelTimer(name):
                self._cancel(name)
            case _:
                self._carry_out(effect)

    def _cancel(self, name: str) -> None:
        if (handle := self._timers.pop(name, None)) is not None:
            handle.cancel()

    def _fire(self, name: str) -> None:
        self._timers.pop(name, None)
        self.dispatch(TimerFired(name))
