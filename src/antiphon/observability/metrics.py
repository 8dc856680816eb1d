"""Metrics of one process in Prometheus' text format.

Each `Metrics` has a registry of its own, so several can live in one process. It observes calls (`CallObserver`), takes what
others count, and reads what is in the store when it is asked for its numbers, with a deadline.
Source: https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

from ..models.errors import ProviderError
from ..store import Store
from ..voice import AgentSession, ErrorOccurred, MetricsCollected, SessionEvent
from .store_gauges import StoreGauges

logger = logging.getLogger(__name__)

# Seconds. Most replies should begin within a second; below 50 ms and above 10 s nobody needs to know more.
VOICE_BUCKETS = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.15,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
)
SETUP_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 45.0, 60.0)
STORE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

LAG_INTERVAL = 0.25  # seconds between two looks at the event loop
PROVIDERS = ("stt", "llm", "tts", "realtime")

_LONGEST_LABEL = 100


class Metrics:
    """What a process counts and measures.

    Args:
        store: where the queue and the webhooks are; without one, their gauges are missing.
        rooms: how many rooms there are now.
    """

    def __init__(self, store: Store | None = None, *, rooms: Callable[[], int] | None = None) -> None:
        self.registry = registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Info("antiphon_build", "The version that runs.", registry=registry).info(
            {"version": version("antiphon")}
        )
        self._count_calls(registry)
        self._measure_process(registry)
        if rooms is not None:
            Gauge("antiphon_rooms", "Rooms in this process.", registry=registry).set_function(rooms)
        self._store_gauges = StoreGauges(store) if store is not None else None
        if self._store_gauges is not None:
            registry.register(self._store_gauges)
        self._running: dict[str, str] = {}
        self._watching: asyncio.Task[None] | None = None

    def _count_calls(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "antiphon_calls",
            "Calls that ended, by how.",
            ("status", "direction", "end_reason"),
            registry=registry,
        )
        self._refused = Counter(
            "antiphon_calls_refused",
            "Inbound calls that were not taken, by why.",
            ("reason",),
            registry=registry,
        )
        self._active = Gauge(
            "antiphon_calls_active", "Calls with an agent in this process.", ("direction",), registry=registry
        )
        self._setup = Histogram(
            "antiphon_call_setup_seconds",
            "From dialling (outbound), ringing (inbound) or the token's use (web) until the call was answered and its agent ready.",
            ("direction",),
            buckets=SETUP_BUCKETS,
            registry=registry,
        )
        self._latency = Histogram(
            "antiphon_turn_latency_seconds",
            "What each stage added to the wait for an answer; stage total is the whole wait.",
            ("stage",),
            buckets=VOICE_BUCKETS,
            registry=registry,
        )
        self._provider_errors = Counter(
            "antiphon_provider_errors",
            "Failed requests to models, by provider and kind of model.",
            ("provider", "kind"),
            registry=registry,
        )
        self._webhook_attempts = Counter(
            "antiphon_webhook_attempts",
            "Attempts to deliver a webhook, by outcome.",
            ("outcome",),
            registry=registry,
        )

    def _measure_process(self, registry: CollectorRegistry) -> None:
        self._lag = Histogram(
            "antiphon_event_loop_lag_seconds",
            "How late the event loop came back to a timer.",
            buckets=LAG_BUCKETS,
            registry=registry,
        )
        self._store_seconds = Histogram(
            "antiphon_store_operation_seconds",
            "Operations of the store, by outcome.",
            ("operation", "outcome"),
            buckets=STORE_BUCKETS,
            registry=registry,
        )

    # -- calls ---------------------------------------------------------------------------------------------------------

    def call_started(self, call_id: str, call: Mapping[str, Any], session: AgentSession[Any]) -> None:
        if call_id not in self._running:
            self._running[call_id] = direction = _label(call.get("direction"))
            self._active.labels(direction).inc()
        session.on(SessionEvent.METRICS_COLLECTED, self._reply_began)
        session.on(SessionEvent.ERROR, lambda event: self._failed(event, session))

    def call_ended(self, call_id: str, call: Mapping[str, Any]) -> None:
        direction = _label(call.get("direction"))
        if (began_as := self._running.pop(call_id, None)) is not None:
            self._active.labels(began_as).dec()
        self._calls.labels(
            _label(call.get("status")), direction, _label(call.get("end_reason"), "none")
        ).inc()
        if (seconds := setup_seconds(call)) is not None:
            self._setup.labels(direction).observe(seconds)

    def _reply_began(self, event: MetricsCollected) -> None:
        latency = event.latency
        if not latency.answers_turn or latency.total is None:
            return
        for stage, start, end in latency.stages():
            self._latency.labels(stage).observe(end - start)
        self._latency.labels("total").observe(max(0.0, latency.total))

    def _failed(self, event: ErrorOccurred, session: AgentSession[Any]) -> None:
        if event.source not in PROVIDERS:
            return
        provider = event.error.provider if isinstance(event.error, ProviderError) else ""
        if not provider:
            model = getattr(session, event.source, None)
            provider = getattr(model, "label", "")
        self._provider_errors.labels(_label(provider), event.source).inc()

    # -- what others count ---------------------------------------------------------------------------------------------

    def webhook_attempted(self, outcome: str) -> None:
        """An attempt to deliver a webhook ended, as in `"delivered"`, `"retried"` or `"dead"`."""
        self._webhook_attempts.labels(_label(outcome)).inc()

    def call_refused(self, reason: str) -> None:
        """An inbound call was not taken; see `calls.refused_calls`."""
        self._refused.labels(_label(reason)).inc()

    def store_operation(self, operation: str, seconds: float, *, failed: bool) -> None:
        """An operation of the store ended; see `MeasuredBackend`."""
        self._store_seconds.labels(operation, "error" if failed else "ok").observe(seconds)

    # -- the event loop ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Watch the event loop until `aclose`."""
        if self._watching is None:
            self._watching = asyncio.get_running_loop().create_task(self._watch_loop(), name="event loop lag")

    async def aclose(self) -> None:
        """Stop watching. Safe to call twice."""
        if self._watching is not None:
            watching, self._watching = self._watching, None
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch_loop(self) -> None:
        while True:
            # Not the loop's own clock: some loops look at it once in each round only.
            due = time.monotonic() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            self._lag.observe(max(0.0, time.monotonic() - due))

    # -- out -----------------------------------------------------------------------------------------------------------

    async def render(self, accept: str = "") -> tuple[bytes, str]:
        """The numbers of now.

        Args:
            accept: the request's `Accept` header: OpenMetrics for those who ask for it.

        Returns:
            (body, content type).
        """
        if self._store_gauges is not None:
            await self._store_gauges.refresh()
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


def setup_seconds(call: Mapping[str, Any]) -> float | None:
    """How long a call's set-up took, if it was answered."""
    began = {
        "outbound": call.get("dialing_at"),
        "inbound": call.get("ringing_at"),
        "web": call.get("created_at"),
    }.get(str(call.get("direction")))
    answered, ready = call.get("answered_at"), call.get("agent_ready_at")
    if began is None or answered is None or ready is None:
        return None
    return float(max(0.0, max(answered, ready) - began))


def _label(value: object, missing: str = "unknown") -> str:
    return str(value)[:_LONGEST_LABEL] if value else missing
