"""How a conversation went, in numbers: for the record of its call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..voice import AgentSession, ConversationItemAdded, MetricsCollected, SessionEvent
from .metered_agent import ModelUsage

_MOST_LATENCIES = 5000  # a call of a day


class CallMetrics:
    """Listens to one session."""

    def __init__(self) -> None:
        self._turns = 0
        self._replies = 0
        self._interruptions = 0
        self._latencies: list[float] = []
        self._stages: dict[str, list[float]] = {}

    def attach(self, session: AgentSession[Any]) -> None:
        session.on(SessionEvent.CONVERSATION_ITEM_ADDED, self._on_item)
        session.on(SessionEvent.METRICS_COLLECTED, self._on_latency)

    def _on_item(self, event: ConversationItemAdded) -> None:
        if event.item.role == "user":
            self._turns += 1
        elif event.item.role == "assistant" and event.item.content:
            self._replies += 1
            self._interruptions += event.item.interrupted

    def _on_latency(self, event: MetricsCollected) -> None:
        latency = event.latency
        if latency.total is None or not latency.answers_turn or len(self._latencies) >= _MOST_LATENCIES:
            return
        self._latencies.append(latency.total)
        for name, start, end in latency.stages():
            self._stages.setdefault(name, []).append(end - start)

    def summary(self) -> dict[str, Any]:
        """The `metrics` of a call document; latencies are seconds, null when nobody was answered."""
        return {
            "turns": self._turns,
            "replies": self._replies,
            "interruptions": self._interruptions,
            "response_latency": _summary(self._latencies),
            "stages": {name: _summary(values) for name, values in self._stages.items()},
        }


def usage_of(models: ModelUsage | None, *, heard_seconds: float, call_seconds: float) -> dict[str, Any]:
    """The `usage` of a call document.

    Args:
        models: what the models were asked for; None: the agent never came.
        heard_seconds: audio of the caller that was listened to.
        call_seconds: from the answer to the end.
    """
    used = models or ModelUsage()
    return {
        "llm_requests": used.llm_requests,
        "llm_prompt_tokens": used.prompt_tokens,
        "llm_completion_tokens": used.completion_tokens,
        "llm_characters": used.llm_characters,
        "tts_characters": used.tts_characters,
        "stt_seconds": round(heard_seconds, 3),
        "call_seconds": round(call_seconds, 3),
    }


def _summary(values: Sequence[float]) -> dict[str, float | None]:
    """Percentiles by the nearest rank: each is a value that occurred."""
    ordered = sorted(values)

    def rank(share: float) -> float | None:
        return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 4) if ordered else None

    return {"p50": rank(0.5), "p95": rank(0.95), "max": rank(1.0)}
