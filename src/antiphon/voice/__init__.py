"""Voice sessions: agents, what they hear and say, and the events of a conversation.

`AgentSession` is the way in; everything else here is a part of one.
"""

from .agent import Agent, ModelSettings
from .agent_session import AgentSession
from .events import (
    AgentStateChanged,
    Backchannel,
    CloseReason,
    ConversationItemAdded,
    ErrorOccurred,
    FalseInterruption,
    FunctionToolsExecuted,
    MetricsCollected,
    RunningToolsChanged,
    SessionClosed,
    SessionEvent,
    SpeechCreated,
    ToolExecuted,
    UserInputTranscribed,
    UserStateChanged,
)
from .latency import ModelRequest, TurnLatency
from .options import SessionOptions
from .room_io import AudioInputOptions, NoiseCancellationParams, RoomOptions
from .speech_handle import SpeechHandle

__all__ = [
    "Agent",
    "AgentSession",
    "AgentStateChanged",
    "AudioInputOptions",
    "Backchannel",
    "CloseReason",
    "ConversationItemAdded",
    "ErrorOccurred",
    "FalseInterruption",
    "FunctionToolsExecuted",
    "MetricsCollected",
    "ModelRequest",
    "ModelSettings",
    "NoiseCancellationParams",
    "RoomOptions",
    "RunningToolsChanged",
    "SessionClosed",
    "SessionEvent",
    "SessionOptions",
    "SpeechCreated",
    "SpeechHandle",
    "ToolExecuted",
    "TurnLatency",
    "UserInputTranscribed",
    "UserStateChanged",
]
