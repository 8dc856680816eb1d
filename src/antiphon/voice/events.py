"""What an `AgentSession` tells its listeners."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from ..models.chat_context import ChatMessage, ToolCall
from ..turns import AgentState, UserState

if TYPE_CHECKING:
    from .latency import TurnLatency
    from .speech_handle import SpeechHandle


class SessionEvent(StrEnum):
    """Names for `AgentSession.on`; each listener is called with the event class named alike."""

    AGENT_STATE_CHANGED = "agent_state_changed"
    USER_STATE_CHANGED = "user_state_changed"
    USER_INPUT_TRANSCRIBED = "user_input_transcribed"
    CONVERSATION_ITEM_ADDED = "conversation_item_added"
    FUNCTION_TOOLS_EXECUTED = "function_tools_executed"
    RUNNING_TOOLS_CHANGED = "running_tools_changed"
    SPEECH_CREATED = "speech_created"
    FALSE_INTERRUPTION = "agent_false_interruption"
    BACKCHANNEL = "backchannel"
    METRICS_COLLECTED = "metrics_collected"
    ERROR = "error"
    CLOSE = "close"


class CloseReason(StrEnum):
    """Why a session closed.

    `AGENT_HANGUP`, `TRANSFERRED`, `SILENCE_TIMEOUT` and `MAX_DURATION` are those of calls that the agent's side ends.
    """

    USER_INITIATED = "user_initiated"
    PARTICIPANT_LEFT = "participant_left"
    ROOM_CLOSED = "room_closed"
    SHUTDOWN = "shutdown"
    ERROR = "error"
    AGENT_HANGUP = "agent_hangup"
    TRANSFERRED = "transferred"
    SILENCE_TIMEOUT = "silence_timeout"
    MAX_DURATION = "max_duration"


@dataclass(frozen=True)
class AgentStateChanged:
    old_state: AgentState
    new_state: AgentState


@dataclass(frozen=True)
class UserStateChanged:
    old_state: UserState
    new_state: UserState


@dataclass(frozen=True)
class UserInputTranscribed:
    """What the recogniser heard; interim results are replaced by the next one."""

    transcript: str
    is_final: bool
    language: str | None = None


@dataclass(frozen=True)
class ConversationItemAdded:
    """A message is complete: a user's turn at its commit, an assistant's when it was heard or interrupted."""

    item: ChatMessage


@dataclass(frozen=True)
class ToolExecuted:
    """One tool ran; `output` is what the model reads, `started_at` is in seconds of session time."""

    call: ToolCall
    output: str
    is_error: bool
    duration: float
    started_at: float = 0.0


@dataclass(frozen=True)
class FunctionToolsExecuted:
    """The tools that one model answer asked for have run; `reply` names the answer as its `TurnLatency` does."""

    tools: list[ToolExecuted]
    reply: str = ""


@dataclass(frozen=True)
class RunningToolsChanged:
    """A tool began or ended; `running` counts those that run now. An interruption ends none of them."""

    running: int


@dataclass(frozen=True)
class SpeechCreated:
    """The agent is about to say something; `latency` fills with times until the handle is done."""

    speech_handle: SpeechHandle
    source: Literal["turn", "say", "generate_reply"]
    latency: TurnLatency | None = None


@dataclass(frozen=True)
class FalseInterruption:
    """A pause turned out to be noise and the reply went on."""

    resumed: bool = True


@dataclass(frozen=True)
class Backchannel:
    """Words that did not take the turn, like "mhm"."""

    text: str


@dataclass(frozen=True)
class MetricsCollected:
    """The latency of one reply, when its first audio was heard."""

    latency: TurnLatency


@dataclass(frozen=True)
class ErrorOccurred:
    """Something failed; `recoverable` says that the session goes on."""

    error: BaseException
    source: str
    recoverable: bool = True


@dataclass(frozen=True)
class SessionClosed:
    reason: CloseReason
    error: BaseException | None = None
    details: dict[str, Any] = field(default_factory=dict)
