"""One step of the turn-taking machine in the making: what every rule changes state and timers with."""

from __future__ import annotations

from dataclasses import replace

from .effects import CancelSpeculation, CancelTimer, Effect, SetTimer
from .state import TurnState

# Timers. Each name is one deadline; setting it again moves it.
COMMIT = "commit"  # the pending turn is over
BARGE_IN = "barge_in"  # speech that goes on will have lasted long enough to interrupt
RESUME = "resume"  # no word came after the speech that paused the reply, or holds one back
WORDS = "words"  # speech has ended and its transcript is still to come
AWAY = "away"  # both sides have been silent for long
TEXT_END = "text_end"  # a turn that began with a transcript alone got no final one


class Transition:
    """The state as changed so far, and the effects so far."""

    def __init__(self, state: TurnState, now: float) -> None:
        self.state = state
        self.now = now
        self.effects: list[Effect] = []

    def change(self, **fields: object) -> None:
        self.state = replace(self.state, **fields)  # type: ignore[arg-type]

    def change_pending(self, **fields: object) -> None:
        self.change(pending=replace(self.state.pending, **fields))  # type: ignore[arg-type]

    def set_timer(self, name: str, at: float) -> None:
        at = max(at, self.now)
        if self.state.timer(name) == at:
            return
        others = tuple(timer for timer in self.state.timers if timer[0] != name)
        self.change(timers=(*others, (name, at)))
        self.effects.append(SetTimer(name, at))

    def cancel_timer(self, name: str) -> None:
        if self.state.timer(name) is not None:
            self.change(timers=tuple(timer for timer in self.state.timers if timer[0] != name))
            self.effects.append(CancelTimer(name))

    def cancel_speculation(self) -> None:
        if self.state.speculation is not None:
            self.change(speculation=None)
            self.effects.append(CancelSpeculation())
