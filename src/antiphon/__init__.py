"""Antiphon: self-hosted voice agents.

`from antiphon import Agent, AgentSession, JobContext, WorkerOptions, cli` is all that an agent's file needs. Every name is
imported when it is first used, so that `import antiphon` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import api, cli
    from .audio import AudioFrame
    from .models import llm, stt, tts, vad
    from .models.chat_context import ChatContext, ChatMessage
    from .models.errors import AntiphonError, ConfigurationError, StopResponse, ToolError
    from .models.tools import FunctionTool, RunContext, function_tool
    from .voice import room_io
    from .voice.agent import Agent, ModelSettings
    from .voice.agent_session import AgentSession
    from .voice.events import (
        AgentStateChanged,
        CloseReason,
        ConversationItemAdded,
        ErrorOccurred,
        FunctionToolsExecuted,
        MetricsCollected,
        SessionClosed,
        SessionEvent,
        UserInputTranscribed,
        UserStateChanged,
    )
    from .voice.room_io import AudioInputOptions, RoomOptions
    from .voice.speech_handle import SpeechHandle
    from .worker import (
        AgentServer,
        JobContext,
        JobProcess,
        JobRequest,
        WorkerOptions,
        get_job_context,
    )

# Where each public name lives; a name that stands for a whole module has no second part.
_HOME = {
    "Agent": "voice.agent:Agent",
    "AgentServer": "worker:AgentServer",
    "AgentSession": "voice.agent_session:AgentSession",
    "AgentStateChanged": "voice.events:AgentStateChanged",
    "AntiphonError": "models.errors:AntiphonError",
    "AudioFrame": "audio:AudioFrame",
    "AudioInputOptions": "voice.room_io:AudioInputOptions",
    "ChatContext": "models.chat_context:ChatContext",
    "ChatMessage": "models.chat_context:ChatMessage",
    "CloseReason": "voice.events:CloseReason",
    "ConfigurationError": "models.errors:ConfigurationError",
    "ConversationItemAdded": "voice.events:ConversationItemAdded",
    "ErrorOccurred": "voice.events:ErrorOccurred",
    "FunctionTool": "models.tools:FunctionTool",
    "FunctionToolsExecuted": "voice.events:FunctionToolsExecuted",
    "JobContext": "worker:JobContext",
    "JobProcess": "worker:JobProcess",
    "JobRequest": "worker:JobRequest",
    "MetricsCollected": "voice.events:MetricsCollected",
    "ModelSettings": "voice.agent:ModelSettings",
    "RoomOptions": "voice.room_io:RoomOptions",
    "RunContext": "models.tools:RunContext",
    "SessionClosed": "voice.events:SessionClosed",
    "SessionEvent": "voice.events:SessionEvent",
    "SpeechHandle": "voice.speech_handle:SpeechHandle",
    "StopResponse": "models.errors:StopResponse",
    "ToolError": "models.errors:ToolError",
    "UserInputTranscribed": "voice.events:UserInputTranscribed",
    "UserStateChanged": "voice.events:UserStateChanged",
    "WorkerOptions": "worker:WorkerOptions",
    "api": "api",
    "cli": "cli",
    "function_tool": "models.tools:function_tool",
    "get_job_context": "worker:get_job_context",
    "llm": "models.llm",
    "room_io": "voice.room_io",
    "stt": "models.stt",
    "tts": "models.tts",
    "vad": "models.vad",
}

__all__ = [
    "Agent",
    "AgentServer",
    "AgentSession",
    "AgentStateChanged",
    "AntiphonError",
    "AudioFrame",
    "AudioInputOptions",
    "ChatContext",
    "ChatMessage",
    "CloseReason",
    "ConfigurationError",
    "ConversationItemAdded",
    "ErrorOccurred",
    "FunctionTool",
    "FunctionToolsExecuted",
    "JobContext",
    "JobProcess",
    "JobRequest",
    "MetricsCollected",
    "ModelSettings",
    "RoomOptions",
    "RunContext",
    "SessionClosed",
    "SessionEvent",
    "SpeechHandle",
    "StopResponse",
    "ToolError",
    "UserInputTranscribed",
    "UserStateChanged",
    "WorkerOptions",
    "__version__",
    "api",
    "cli",
    "function_tool",
    "get_job_context",
    "llm",
    "room_io",
    "stt",
    "tts",
    "vad",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("antiphon")
    elif name in _HOME:
        module, _, attribute = _HOME[name].partition(":")
        value = importlib.import_module(f"{__name__}.{module}")
        value = getattr(value, attribute) if attribute else value
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
