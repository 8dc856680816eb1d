"""Traces of calls, sent in batches to an OpenTelemetry collector over OTLP/HTTP.

Spans are queued and sent by a thread of their own: what cannot be sent is dropped, and no call waits for it.
Source: https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..models.errors import ConfigurationError
from ..voice import AgentSession

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from .call_trace import CallTrace

logger = logging.getLogger(__name__)

SHUTDOWN_DEADLINE = 5.0  # seconds to send what is left
_MOST_CALLS = 10_000


@dataclass(frozen=True)
class TracingOptions:
    """Where traces go.

    Attributes:
        endpoint: of the collector, as in `http://localhost:4318`; `/v1/traces` is added.
        content: whether spans may hold what is said in calls. It then leaves this machine.
        timeout: seconds that sending a batch may take, with its repetitions.
    """

    endpoint: str | None = None
    content: bool = False
    timeout: float = 10.0

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] = os.environ,
        *,
        endpoint: str | None = None,
        content: bool | None = None,
    ) -> TracingOptions | None:
        """Options from OpenTelemetry's own variables, under explicit ones; None when there is no endpoint.

        `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` switch tracing on;
        `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true` puts what is said into spans. The exporter reads the
        others itself (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`).

        Raises:
            ConfigurationError: a protocol that is not spoken here.
        """
        configured = environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environment.get(
            "OTEL_EXPORTER_OTLP_ENDPOINT"
        )
        off = (
            environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
            or environment.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
        )
        if off or not (endpoint or configured):
            return None
        protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get(
            "OTEL_EXPORTER_OTLP_PROTOCOL"
        )
        if protocol not in (None, "", "http/protobuf"):
            raise ConfigurationError(
                f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; traces are sent by http/protobuf (port 4318 of a collector)"
            )
        if content is None:
            captured = environment.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "")
            content = captured.lower() in ("true", "1", "span_only", "span_and_event")
        return cls(endpoint=endpoint, content=content)


class Tracing:
    """Makes a trace of each call (`CallObserver`).

    Args:
        options: where traces go.
        exporter: what sends them instead, as in tests.

    Raises:
        ConfigurationError: OpenTelemetry's packages are missing.
    """

    def __init__(self, options: TracingOptions, *, exporter: SpanExporter | None = None) -> None:
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise _missing() from error
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name" in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        resource = Resource.create({} if named else {"service.name": "antiphon"})
        self._options = options
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter or _exporter(options)))
        self._tracer = self._provider.get_tracer("antiphon")
        self._traces: dict[str, CallTrace] = {}

    def call_started(self, call_id: str, call: Mapping[str, Any], session: AgentSession[Any]) -> None:
        from .call_trace import CallTrace

        if call_id in self._traces or len(self._traces) >= _MOST_CALLS:
            return
        trace = CallTrace(self._tracer, call_id, call, content=self._options.content)
        trace.attach(session)
        self._traces[call_id] = trace

    def call_ended(self, call_id: str, call: Mapping[str, Any]) -> None:
        if (trace := self._traces.pop(call_id, None)) is not None:
            trace.finish(call)

    async def aclose(self, deadline: float = SHUTDOWN_DEADLINE) -> None:
        """Send what is left, for at most `deadline` seconds. Safe to call twice."""
        while self._traces:
            _, trace = self._traces.popitem()
            trace.span.end()
        loop = asyncio.get_running_loop()
        closed = asyncio.Event()

        def close() -> None:
            try:
                self._provider.shutdown()
            except Exception:
                logger.exception("ending the traces failed")
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(closed.set)

        # A daemon of its own: the loop's executor would hold up the end of the process.
        threading.Thread(target=close, name="end of traces", daemon=True).start()
        try:
            async with asyncio.timeout(deadline):
                await closed.wait()
        except TimeoutError:
            logger.warning("the last traces could not be sent within %g s and are lost", deadline)


def _exporter(options: TracingOptions) -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise _missing() from error
    if options.endpoint is None:
        return OTLPSpanExporter(timeout=options.timeout)
    address = options.endpoint.rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"the endpoint of traces is {options.endpoint!r}; write an address as http://localhost:4318"
        )
    return OTLPSpanExporter(
        endpoint=address if address.endswith("/v1/traces") else f"{address}/v1/traces",
        timeout=options.timeout,
    )


def _missing() -> ConfigurationError:
    return ConfigurationError(
        "an endpoint for traces is set, but OpenTelemetry is not installed: pip install 'antiphon[tracing]', "
        "or unset OTEL_EXPORTER_OTLP_ENDPOINT"
    )
