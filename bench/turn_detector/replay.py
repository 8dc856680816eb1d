"""What was heard once, decided again under other settings: the turn-taking machine alone, on the times of the recording."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from antiphon.turns import (
    CancelTimer,
    CommitTurn,
    EndOfTurnScored,
    Event,
    ReplyEnded,
    ScoreEndOfTurn,
    SetTimer,
    SpeechEnded,
    SpeechStarted,
    TimerFired,
    TurnOptions,
    TurnState,
    step,
)

from ..signals import RATE
from .listening import Heard

PRE_SPEECH = 0.5  # seconds before the first word that an audio detector hears


@dataclass(frozen=True)
class Question:
    """What a detector could be asked when words have come.

    Attributes:
        context: the turns before, as (role, text), with what was committed of this one.
        text: the pending transcript.
        sound: the turn so far, 16 kHz; None while the user speaks.
    """

    context: tuple[tuple[str, str], ...]
    text: str
    sound: NDArray[np.int16] | None


Judge = Callable[[Question], float | None]


@dataclass(frozen=True)
class Outcome:
    """What a setting made of a turn.

    Attributes:
        cut_off: the agent took it for finished before it was.
        delay: seconds from its last sample to the decision that it is over; None if it never came.
    """

    cut_off: bool
    delay: float | None


def outcome(heard: Heard, commits: list[float]) -> Outcome:
    """Cut off or not, and how late, from the times at which turns were taken."""
    after = [at - heard.over for at in commits if at >= heard.over]
    return Outcome(len(after) < len(commits), after[0] if after else None)


def replay(heard: Heard, options: TurnOptions, judge: Judge | None, *, takes: float = 0.0) -> Outcome:
    """Decide the end of a turn again.

    Args:
        heard: the recording.
        options: the settings.
        judge: the detector; None: silence alone decides.
        takes: seconds that it needs for an answer.
    """
    return outcome(heard, _Replay(heard, options, judge, takes).run())


class _Replay:
    def __init__(self, heard: Heard, options: TurnOptions, judge: Judge | None, takes: float) -> None:
        self._heard = heard
        self._judge, self._takes = judge, takes
        self._state = TurnState(options=options)
        self._timers: dict[str, float] = {}
        self._queue: list[tuple[float, int, Event]] = []
        self._context = list(heard.spoken.context)
        self._begun: float | None = None
        self._ended: float | None = None
        self._commits: list[float] = []
        for at, event in heard.events:
            self._push(at, event)

    def run(self) -> list[float]:
        """The times at which a turn was taken for finished."""
        while self._queue or self._timers:
            due = min(self._timers, key=lambda name: self._timers[name], default=None)
            if due is not None and (not self._queue or self._timers[due] < self._queue[0][0]):
                self._take(TimerFired(due), self._timers.pop(due))
            else:
                at, _, event = heapq.heappop(self._queue)
                self._take(event, at)
        return self._commits

    def _push(self, at: float, event: Event) -> None:
        heapq.heappush(self._queue, (at, len(self._queue) + 1000 * len(self._commits), event))

    def _take(self, event: Event, now: float) -> None:
        self._state, effects = step(self._state, event, now)
        match event:
            case SpeechStarted(at):
                self._begun, self._ended = at if self._begun is None else self._begun, None
            case SpeechEnded(at):
                self._ended = at
        for effect in effects:
            match effect:
                case SetTimer(name, at):
                    self._timers[name] = at
                case CancelTimer(name):
                    self._timers.pop(name, None)
                case ScoreEndOfTurn(text):
                    self._ask(text, now)
                case CommitTurn(text, reply, _):
                    self._commits.append(now)
                    self._context.append(("user", text))
                    self._begun = None
                    self._push(now, ReplyEnded(reply))
        if isinstance(event, SpeechEnded) and (text := self._state.pending.text):
            self._ask(text, now)

    def _ask(self, text: str, now: float) -> None:
        question = Question(tuple(self._context), text, self._sound())
        answer = None if self._judge is None else self._judge(question)
        self._push(now + (0.0 if answer is None else self._takes), EndOfTurnScored(answer, text))

    def _sound(self) -> NDArray[np.int16] | None:
        if self._begun is None or self._ended is None:
            return None
        shift = self._heard.over - self._heard.spoken.seconds  # session time to position
        first = round(max(0.0, self._begun - shift - PRE_SPEECH) * RATE)
        return self._heard.spoken.sound[first : round((self._ended - shift) * RATE)]
