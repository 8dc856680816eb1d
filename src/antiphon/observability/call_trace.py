"""Spans of one call, built from recorded times: call → turn → recogniser, language model, voice, tools.

A span is made when its end is known, with explicit times, so nothing is held open while people speak, but for the call's own.
Attributes follow OpenTelemetry's conventions for generative AI where they have a name for it; the others begin with `antiphon.`.
Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..models.chat_context import ChatMessage
from ..models.errors import describe
from ..voice import (
    AgentSession,
    ConversationItemAdded,
    ErrorOccurred,
    FunctionToolsExecuted,
    SessionEvent,
    SpeechCreated,
    ToolExecuted,
    TurnLatency,
)
from ..voice.latency import ModelRequest

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

logger = logging.getLogger(__name__)

# When a call reached a status, as its document says it.
_MILESTONES = (
    "queued_at",
    "dialing_at",
    "ringing_at",
    "answered_at",
    "agent_ready_at",
    "media_path_ready_at",
    "media_at",
)

Attributes = dict[str, str | bool | int | float]


class CallTrace:
    """The spans of one call.

    Args:
        tracer: where spans come from.
        call_id: the call.
        call: its document at the start.
        content: whether spans may hold what was said, and what tools got and gave.
    """

    def __init__(self, tracer: Tracer, call_id: str, call: Mapping[str, Any], *, content: bool) -> None:
        self._tracer = tracer
        self._content = content
        self._session: AgentSession[Any] | None = None
        # Offset from the event loop's clock to the wall's; fixed, so that spans of a call fit together.
        self._wall = time.time() - asyncio.get_running_loop().time()
        self._said: ChatMessage | None = None
        self._tools: dict[str, list[ToolExecuted]] = {}
        self._open: dict[str, _OpenTurn] = {}
        began = [call[name] for name in ("dialing_at", "ringing_at", "answered_at") if call.get(name)]
        self.span: Span = tracer.start_span(
            f"call {call.get('direction') or ''}".strip(),
            start_time=_nanoseconds(min(began, default=time.time())),
            attributes=_given(
                {
                    "gen_ai.conversation.id": call_id,
                    "gen_ai.agent.id": call.get("assistant_id"),
                    "gen_ai.agent.name": call.get("assistant_name"),
                    "antiphon.call.id": call_id,
                    "antiphon.call.direction": call.get("direction"),
                    "antiphon.call.service": call.get("service"),
                    "antiphon.call.room": call.get("room"),
                }
            ),
        )

    # -- what happens --------------------------------------------------------------------------------------------------

    def attach(self, session: AgentSession[Any]) -> None:
        """Follow a session, before it starts."""
        self._session = session
        session.on(SessionEvent.SPEECH_CREATED, self._speech_created)
        session.on(SessionEvent.CONVERSATION_ITEM_ADDED, self._item_added)
        session.on(SessionEvent.FUNCTION_TOOLS_EXECUTED, self._tools_executed)
        session.on(SessionEvent.ERROR, self._failed)

    def finish(self, call: Mapping[str, Any]) -> None:
        """End the call's span as its document says. Turns that are still open end with it."""
        from opentelemetry.trace import Status, StatusCode

        for turn in tuple(self._open.values()):
            self._turn_done(turn)
        for name in _MILESTONES:
            if at := call.get(name):
                self.span.add_event(name.removesuffix("_at"), timestamp=_nanoseconds(at))
        for key, value in _given(
            {
                "antiphon.call.status": call.get("status"),
                "antiphon.call.end_reason": call.get("end_reason"),
                "antiphon.call.billed_seconds": call.get("billed_seconds"),
                "antiphon.call.sip_code": call.get("sip_code"),
            }
        ).items():
            self.span.set_attribute(key, value)
        if call.get("status") == "failed":
            self.span.set_status(Status(StatusCode.ERROR, str(call.get("end_reason") or "failed")))
        self.span.end(_nanoseconds(call.get("ended_at") or time.time()))

    # -- listeners -----------------------------------------------------------------------------------------------------

    def _speech_created(self, event: SpeechCreated) -> None:
        if event.latency is None:
            return
        turn = _OpenTurn(event.source, event.latency, event.speech_handle, self._now())
        if event.source == "turn":
            turn.user, self._said = self._said, None
        self._open[event.latency.reply] = turn
        event.speech_handle.add_done_callback(lambda _handle: self._safely_done(turn))

    def _item_added(self, event: ConversationItemAdded) -> None:
        if event.item.role == "user":
            self._said = event.item

    def _tools_executed(self, event: FunctionToolsExecuted) -> None:
        if event.reply in self._open:
            self._tools.setdefault(event.reply, []).extend(event.tools)
        else:  # the reply was cut short while its tools went on
            for tool in event.tools:
                self._tool_span(tool, self.span)

    def _failed(self, event: ErrorOccurred) -> None:
        self.span.add_event(
            "exception",
            {
                "exception.type": type(event.error).__qualname__,
                "exception.message": str(event.error) if self._content else describe(event.error),
                "antiphon.error.source": event.source,
            },
            timestamp=_nanoseconds(self._wall_of(self._now())),
        )

    def _safely_done(self, turn: _OpenTurn) -> None:
        """Called in the middle of the conversation's work, which must go on."""
        try:
            self._turn_done(turn)
        except Exception:
            logger.exception("a turn could not be traced")

    # -- spans ---------------------------------------------------------------------------------------------------------

    def _turn_done(self, turn: _OpenTurn) -> None:
        latency, handle = turn.latency, turn.handle
        if self._open.pop(latency.reply, None) is None:
            return
        end = self._now()
        start = min(turn.began, latency.start if latency.start is not None else turn.began)
        attributes = {
            "antiphon.turn.source": turn.source,
            "antiphon.turn.interrupted": handle.interrupted,
            "antiphon.turn.outcome": handle.outcome or "closed",
            "antiphon.turn.latency": latency.total,
            **{f"antiphon.turn.{stage}": seconds for stage, seconds in latency.as_dict().items()},
        }
        if self._content:
            attributes |= self._words(turn)
        span = self._start("turn", self.span, start, attributes)
        if latency.end_of_speech is not None and (final := latency.marks.get("transcript")) is not None:
            self._recogniser_span(span, latency.end_of_speech, final)
        for request in latency.requests:
            self._request_span(request, span, end)
        for tool in self._tools.pop(latency.reply, ()):
            self._tool_span(tool, span)
        if (heard := latency.marks.get("first_audio_out")) is not None:
            span.add_event("first_audio_out", timestamp=_nanoseconds(self._wall_of(heard)))
        span.end(_nanoseconds(self._wall_of(end)))

    def _recogniser_span(self, parent: Span, start: float, end: float) -> None:
        stt = self._session.stt if self._session is not None else None
        label = stt.label if stt is not None else ""
        span = self._start(
            f"stt {label}".strip(), parent, min(start, end), _model("transcribe", label), client=True
        )
        span.end(_nanoseconds(self._wall_of(end)))

    def _request_span(self, request: ModelRequest, parent: Span, turn_end: float) -> None:
        from opentelemetry.trace import Status, StatusCode

        operation = "chat" if request.kind == "llm" else "speak"
        attributes = _model(operation, request.label)
        if request.first is not None:
            attributes["gen_ai.response.time_to_first_chunk"] = max(0.0, request.first - request.started)
        if request.prompt_tokens or request.completion_tokens:
            attributes["gen_ai.usage.input_tokens"] = request.prompt_tokens
            attributes["gen_ai.usage.output_tokens"] = request.completion_tokens
        if request.error:
            attributes["error.type"] = request.error
        name = f"{operation if request.kind == 'llm' else 'tts'} {request.label}"
        span = self._start(name, parent, request.started, attributes, client=True)
        if request.error:
            span.set_status(Status(StatusCode.ERROR))
        if request.first is not None:
            first = "first_token" if request.kind == "llm" else "first_audio"
            span.add_event(first, timestamp=_nanoseconds(self._wall_of(request.first)))
        span.end(_nanoseconds(self._wall_of(turn_end if request.ended is None else request.ended)))

    def _tool_span(self, tool: ToolExecuted, parent: Span) -> None:
        from opentelemetry.trace import Status, StatusCode

        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool.call.name,
            "gen_ai.tool.call.id": tool.call.id,
            "gen_ai.tool.type": "function",
        }
        if self._content:
            attributes["gen_ai.tool.call.arguments"] = tool.call.arguments
            attributes["gen_ai.tool.call.result"] = tool.output
        if tool.is_error:
            attributes["error.type"] = "tool_error"
        span = self._start(f"execute_tool {tool.call.name}", parent, tool.started_at, attributes)
        if tool.is_error:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(self._wall_of(tool.started_at + tool.duration)))

    def _words(self, turn: _OpenTurn) -> dict[str, str]:
        words = {}
        if turn.user is not None:
            words["gen_ai.input.messages"] = _messages([turn.user])
        if turn.handle.chat_items:
            words["gen_ai.output.messages"] = _messages(turn.handle.chat_items)
        return words

    def _start(
        self, name: str, parent: Span, at: float, attributes: Mapping[str, Any], *, client: bool = False
    ) -> Span:
        from opentelemetry.trace import SpanKind, set_span_in_context

        return self._tracer.start_span(
            name,
            context=set_span_in_context(parent),
            kind=SpanKind.CLIENT if client else SpanKind.INTERNAL,
            attributes=_given(attributes),
            start_time=_nanoseconds(self._wall_of(at)),
        )

    # -- time ----------------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        """Session time."""
        assert self._session is not None
        return self._session.conversation.clock.now()

    def _wall_of(self, at: float) -> float:
        """Seconds since 1970 of a session time."""
        assert self._session is not None
        return self._session.conversation.clock.loop_time(at) + self._wall


class _OpenTurn:
    """Something the agent is about to say, or says."""

    def __init__(self, source: str, latency: TurnLatency, handle: Any, began: float) -> None:
        self.source = source
        self.latency = latency
        self.handle = handle
        self.began = began
        self.user: ChatMessage | None = None


def _model(operation: str, label: str) -> dict[str, Any]:
    """The attributes of a request to the model `"provider/model"`."""
    provider, _, model = label.partition("/")
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": provider or None,
        "gen_ai.request.model": model or None,
    }


def _messages(items: list[ChatMessage]) -> str:
    """Messages as the conventions want them: JSON of roles and parts."""
    return json.dumps(
        [{"role": item.role, "parts": [{"type": "text", "content": item.content}]} for item in items],
        ensure_ascii=False,
    )


def _given(attributes: Mapping[str, Any]) -> Attributes:
    return {name: value for name, value in attributes.items() if value is not None and value != ""}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)
