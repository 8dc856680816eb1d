"""What was said in a conversation, when, and where the time of each answer went."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..models.chat_context import ChatMessage
from ..voice import (
    AgentSession,
    ConversationItemAdded,
    ErrorOccurred,
    FunctionToolsExecuted,
    MetricsCollected,
    SessionClosed,
    SessionEvent,
    ToolExecuted,
    TurnLatency,
)


@dataclass
class Turn:
    """A user's turn with its answer; the greeting, which answers nobody, is one without a user's message."""

    user: ChatMessage | None = None
    answers: list[ChatMessage] = field(default_factory=list)
    latency: TurnLatency | None = None
    tools: list[ToolExecuted] = field(default_factory=list)

    @property
    def agent_text(self) -> str:
        return " ".join(message.content for message in self.answers)

    @property
    def interrupted(self) -> bool:
        return any(message.interrupted for message in self.answers)


class ConversationReport:
    """Listens to the sessions of one conversation."""

    def __init__(self) -> None:
        self.greeting = Turn()
        self.turns: list[Turn] = []
        self.errors: list[ErrorOccurred] = []
        self.closes: list[SessionClosed] = []
        self._loop_time: Callable[[float], float] = lambda at: at

    def attach(self, session: AgentSession[Any]) -> None:
        """Take in what happens in `session`; call it before the session starts."""
        session.on(SessionEvent.CONVERSATION_ITEM_ADDED, self._item_added)
        session.on(SessionEvent.FUNCTION_TOOLS_EXECUTED, self._tools_executed)
        session.on(SessionEvent.ERROR, self.errors.append)
        session.on(SessionEvent.CLOSE, self.closes.append)

        def measured(event: MetricsCollected) -> None:
            self._loop_time = session.conversation.clock.loop_time
            turn = self.current
            if turn.latency is None:
                turn.latency = event.latency

        session.on(SessionEvent.METRICS_COLLECTED, measured)

    @property
    def current(self) -> Turn:
        """The turn that is being answered."""
        return self.turns[-1] if self.turns else self.greeting

    def _item_added(self, event: ConversationItemAdded) -> None:
        if event.item.role == "user":
            self.turns.append(Turn(event.item))
        elif event.item.role == "assistant":
            self.current.answers.append(event.item)

    def _tools_executed(self, event: FunctionToolsExecuted) -> None:
        self.current.tools.extend(event.tools)

    def speech_start(self, turn: Turn, origin: float) -> float | None:
        """When the answer was first heard, in seconds since `origin` on the event loop's clock."""
        heard = turn.latency.marks.get("first_audio_out") if turn.latency is not None else None
        return None if heard is None else self._loop_time(heard) - origin

    def as_dict(self, origin: float) -> dict[str, Any]:
        """The report for a file.

        Args:
            origin: the event loop's time that counts as 0 s.
        """
        greeting = self._turn(self.greeting, origin)
        return {
            "greeting": {key: greeting[key] for key in ("agent_text", "agent_speech_start", "interrupted")}
            if self.greeting.answers
            else None,
            "turns": [self._turn(turn, origin) for turn in self.turns],
            "errors": [f"{event.source}: {event.error}" for event in self.errors],
            "closed": len(self.closes) == 1,
            "close_reason": str(self.closes[0].reason) if self.closes else None,
        }

    def _turn(self, turn: Turn, origin: float) -> dict[str, Any]:
        latency = turn.latency
        spoken = latency.end_of_speech if latency is not None else None
        return {
            "user_text": turn.user.content if turn.user is not None else "",
            "agent_text": turn.agent_text,
            "user_speech_end": _seconds(None if spoken is None else self._loop_time(spoken) - origin),
            "agent_speech_start": _seconds(self.speech_start(turn, origin)),
            "response_latency": _seconds(latency.total if latency is not None else None),
            "interrupted": turn.interrupted,
            "stages": latency.as_dict() if latency is not None else {},
            "tools": [_tool(tool) for tool in turn.tools],
        }


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _tool(tool: ToolExecuted) -> dict[str, Any]:
    try:
        arguments = json.loads(tool.call.arguments)
    except ValueError:
        arguments = tool.call.arguments
    return {"name": tool.call.name, "arguments": arguments, "result": tool.output, "ok": not tool.is_error}
