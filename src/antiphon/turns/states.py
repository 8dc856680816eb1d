"""The states of a conversation that the outside sees."""

from __future__ import annotations

from enum import StrEnum


class AgentState(StrEnum):
    """What the agent is doing. `idle`: nobody speaks and nothing is pending, or the call is held."""

    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    PAUSED = "paused"


class UserState(StrEnum):
    SILENT = "silent"
    SPEAKING = "speaking"
    AWAY = "away"
