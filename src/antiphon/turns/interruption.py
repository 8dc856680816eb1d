"""Whether the user's voice stops the agent: one policy for the evidence of VAD and of the recogniser."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum, auto

from .interjections import Weight
from .options import TurnOptions


class Verdict(Enum):
    CARRY_ON = auto()
    PAUSE = auto()
    INTERRUPT = auto()


@dataclass(frozen=True, slots=True)
class Overlap:
    """One stretch of the user's speech.

    Attributes:
        started: its first sample.
        duration: to its last sample so far.
        ended: when it ended; None while it lasts.
        words: recognised in it so far, interim or final.
        weight: what they mean to the agent's reply.
        by_text: began with a transcript, without voice activity.
    """

    started: float
    duration: float = 0.0
    ended: float | None = None
    words: int = 0
    weight: Weight = Weight.PLAIN
    by_text: bool = False

    @property
    def active(self) -> bool:
        return self.ended is None


def judge(overlap: Overlap, options: TurnOptions) -> Verdict:
    """What an overlap does to a reply that is being heard and may be interrupted.

    Sound alone pauses, where the output can pause, and so does an acknowledgement, if they last long enough. Words alone are
    not enough, unless they insist: a short "ok" is a backchannel, a short "stop" is not.
    """
    if overlap.words < options.min_interruption_words:
        return Verdict.CARRY_ON
    long_enough = overlap.by_text or overlap.duration >= options.interrupting_duration - 1e-6
    if not long_enough and overlap.weight is not Weight.INSISTENT:
        return Verdict.CARRY_ON
    if overlap.weight.yields:
        return Verdict.PAUSE if options.pauses else Verdict.CARRY_ON
    if overlap.words == 0 and options.pauses:
        return Verdict.PAUSE
    return Verdict.INTERRUPT


def count_words(text: str) -> int:
    """Words for the purpose of `min_interruption_words`; scripts without spaces count one per two characters."""
    wide = sum(1 for char in text if unicodedata.east_asian_width(char) in "WF")
    narrow = "".join(" " if unicodedata.east_asian_width(char) in "WF" else char for char in text)
    return len(narrow.split()) + (wide + 1) // 2
