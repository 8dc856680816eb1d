"""What the turn-taking machine is told. Times are seconds on the session's audio clock."""

from __future__ import annotations

from dataclasses import dataclass

from .interjections import Weight


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Voice activity began; `at` is the first sample of speech, not when it was noticed."""

    at: float


@dataclass(frozen=True, slots=True)
class SpeechContinues:
    """Speech has lasted `duration` up to its last sample; `silence` has followed since."""

    duration: float
    silence: float = 0.0


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """Voice activity ended; `at` is the last sample of speech."""

    at: float


@dataclass(frozen=True, slots=True)
class Interim:
    """What the user seems to be saying, so far; `weight` is what it means to a reply that is being heard."""

    text: str
    weight: Weight = Weight.PLAIN


@dataclass(frozen=True, slots=True)
class Final:
    """What the user said in one utterance; `end_at` is where it ended, when the recogniser knows."""

    text: str
    end_at: float | None = None
    weight: Weight = Weight.PLAIN


@dataclass(frozen=True, slots=True)
class EndOfTurnScored:
    """The detector's probability that `text`, the pending transcript, is a finished turn; None: it cannot say."""

    probability: float | None
    text: str


@dataclass(frozen=True, slots=True)
class ReplyQueued:
    """Speech that no user turn asked for (a greeting, an announcement) wants its turn.

    A `stopgap` only fills a pause: it goes ahead of what waits, and is dropped if that is ready first.
    """

    reply: str
    interruptible: bool = True
    stopgap: bool = False


@dataclass(frozen=True, slots=True)
class ReplyReady:
    """The first audio of a reply, or of its next part, is there."""

    reply: str


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """A reply that is not playing is over: it had nothing (more) to say, was declined, or failed."""

    reply: str
    reason: str = "empty"


@dataclass(frozen=True, slots=True)
class PlayoutStarted:
    """The first sample of a released reply left for the listener."""

    reply: str


@dataclass(frozen=True, slots=True)
class PlayoutFinished:
    """The last sample queued left; `more` says that the reply goes on later, after a tool."""

    reply: str
    position: float = 0.0
    more: bool = False


@dataclass(frozen=True, slots=True)
class ToolStarted:
    call: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    call: str


@dataclass(frozen=True, slots=True)
class TimerFired:
    name: str


@dataclass(frozen=True, slots=True)
class Hold:
    """The call was put on hold (`on`) or taken back."""

    on: bool


@dataclass(frozen=True, slots=True)
class TextInput:
    """The user typed a turn."""

    text: str


@dataclass(frozen=True, slots=True)
class CommitRequested:
    """The application ends the user's turn now, whatever the endpointing says."""


@dataclass(frozen=True, slots=True)
class InterruptRequested:
    """The application stops the agent; `force` also stops what must not be interrupted."""

    force: bool = False


@dataclass(frozen=True, slots=True)
class InterruptionsAllowed:
    """From now on this reply may, or may not, be interrupted."""

    reply: str
    allowed: bool


@dataclass(frozen=True, slots=True)
class Close:
    """The session ends."""


Event = (
    SpeechStarted
    | SpeechContinues
    | SpeechEnded
    | Interim
    | Final
    | EndOfTurnScored
    | ReplyQueued
    | ReplyReady
    | ReplyEnded
    | PlayoutStarted
    | PlayoutFinished
    | ToolStarted
    | ToolFinished
    | TimerFired
    | Hold
    | TextInput
    | CommitRequested
    | InterruptRequested
    | InterruptionsAllowed
    | Close
)
