"""What the turn-taking machine asks for. Whoever runs it carries these out, in order."""

from __future__ import annotations

from dataclasses import dataclass

from .states import AgentState, UserState


@dataclass(frozen=True, slots=True)
class CommitTurn:
    """The user's turn is over: log it and generate the reply named `reply`.

    `spoken_end` is the end of speech on the audio clock; None for a typed turn.
    """

    text: str
    reply: str
    spoken_end: float | None = None


@dataclass(frozen=True, slots=True)
class DropTurn:
    """A turn gets no reply and does not enter the conversation."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class LogBackchannel:
    """Words that neither interrupted nor began a turn: for the record, not for the model."""

    text: str


@dataclass(frozen=True, slots=True)
class Speculate:
    """Generate a reply to `text` without any side effect; it may be adopted by `CommitTurn`."""

    text: str


@dataclass(frozen=True, slots=True)
class SynthesizeSpeculation:
    """The turn is very likely over: synthesise the beginning of the speculative reply as well."""


@dataclass(frozen=True, slots=True)
class CancelSpeculation:
    pass


@dataclass(frozen=True, slots=True)
class ScoreEndOfTurn:
    """Ask the detector about `text`; answer with `EndOfTurnScored`."""

    text: str


@dataclass(frozen=True, slots=True)
class ReleaseReply:
    """Let the listener hear this reply."""

    reply: str


@dataclass(frozen=True, slots=True)
class DropReply:
    """This reply, which is not playing, will never be heard."""

    reply: str
    reason: str


@dataclass(frozen=True, slots=True)
class PausePlayout:
    pass


@dataclass(frozen=True, slots=True)
class ResumePlayout:
    pass


@dataclass(frozen=True, slots=True)
class InterruptPlayout:
    """Stop this reply for good; what was heard of it stays in the conversation."""

    reply: str


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Send `TimerFired(name)` at `at`; replaces a timer of that name."""

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    name: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    agent: AgentState
    user: UserState


Effect = (
    CommitTurn
    | DropTurn
    | LogBackchannel
    | Speculate
    | SynthesizeSpeculation
    | CancelSpeculation
    | ScoreEndOfTurn
    | ReleaseReply
    | DropReply
    | PausePlayout
    | ResumePlayout
    | InterruptPlayout
    | SetTimer
    | CancelTimer
    | StateChanged
)
