"""All that the turn-taking machine knows between two steps."""

from __future__ import annotations

from dataclasses import dataclass, field

from .interruption import Overlap
from .options import TurnOptions
from .states import AgentState, UserState


@dataclass(frozen=True, slots=True)
class Reply:
    """Something the agent may say.

    `answers_turn`: it was created by a commit and yields to a newer one. `stopgap`: it yields to whatever is ready first.
    `announced`: something was heard already of it, or of a stopgap for it.
    """

    id: str
    interruptible: bool
    answers_turn: bool = False
    ready: bool = False
    stopgap: bool = False
    announced: bool = False


@dataclass(frozen=True, slots=True)
class Free:
    pass


@dataclass(frozen=True, slots=True)
class Released:
    reply: Reply


@dataclass(frozen=True, slots=True)
class Playing:
    reply: Reply


@dataclass(frozen=True, slots=True)
class Paused:
    reply: Reply


Floor = Free | Released | Playing | Paused


@dataclass(frozen=True, slots=True)
class PendingTurn:
    """What the user has said since the last commit.

    `speech_end` is None while they speak; `scored` is the text that `probability` belongs to, and `answer_due` when the
    detector must have said it. `words_owed`: there was speech since the last final transcript.
    """

    finals: tuple[str, ...] = ()
    interim: str = ""
    speech_end: float | None = None
    probability: float | None = None
    scored: str = ""
    answer_due: float | None = None
    words_owed: bool = False
    speculations: int = 0

    @property
    def text(self) -> str:
        return " ".join(self.finals)


@dataclass(frozen=True, slots=True)
class LastFinal:
    """The last final transcript: its words, the stretch of speech it belongs to, and when it came."""

    words: str
    overlap_started: float | None
    at: float


@dataclass(frozen=True, slots=True)
class TurnState:
    """All that the machine knows. `phase` is `"open"`, `"held"` or `"closed"`."""

    options: TurnOptions = field(default_factory=TurnOptions)
    phase: str = "open"
    floor: Floor = Free()
    replies: tuple[Reply, ...] = ()
    overlap: Overlap | None = None
    pending: PendingTurn = PendingTurn()
    speculation: str | None = None
    running_tools: frozenset[str] = frozenset()
    timers: tuple[tuple[str, float], ...] = ()
    user_is_away: bool = False
    last_final: LastFinal | None = None
    commits: int = 0

    @property
    def user(self) -> UserState:
        if self.overlap is not None and self.overlap.active:
            return UserState.SPEAKING
        return UserState.AWAY if self.user_is_away else UserState.SILENT

    @property
    def agent(self) -> AgentState:
        if self.phase != "open":
            return AgentState.IDLE
        match self.floor:
            case Playing():
                return AgentState.SPEAKING
            case Paused():
                return AgentState.PAUSED
            case Released():
                return AgentState.THINKING
        if self.replies:
            return AgentState.THINKING
        if self.user is UserState.SPEAKING or self.pending.text or self.pending.speech_end is not None:
            return AgentState.LISTENING
        return AgentState.IDLE

    @property
    def floor_is_wanted(self) -> bool:
        """Whether a reply is heard or waits: only then does it matter how long the user goes on speaking."""
        return bool(self.replies) or not isinstance(self.floor, Free)

    def timer(self, name: str) -> float | None:
        """When the timer of that name is due; None when it is not set."""
        return dict(self.timers).get(name)
