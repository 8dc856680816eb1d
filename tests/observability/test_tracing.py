"""A call becomes a trace that a collector understands; nothing that goes wrong with traces touches the call."""

from __future__ import annotations

import asyncio
import gzip
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from antiphon.models.chat_context import ToolCall
from antiphon.models.errors import ConfigurationError, ProviderError
from antiphon.models.tools import function_tool
from antiphon.observability.tracing import Tracing, TracingOptions
from antiphon.voice import Agent
from support import virtual_time
from support.scripted import Answer, ScriptedLLM, Speech, converse

pytestmark = pytest.mark.needs("opentelemetry")

CALL: dict[str, Any] = {
    "assistant_id": "asst_1",
    "assistant_name": "Bank",
    "direction": "inbound",
    "service": "generic",
    "room": "r",
}


class Collector:
    """An OTLP/HTTP collector: keeps the spans it is sent, or hangs, or refuses."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.status = 200
        self.let_go = threading.Event()
        self.let_go.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.let_go.wait(30)
                if collector.status == 200:
                    collector.take(
                        self.path,
                        gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body,
                    )
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def take(self, path: str, body: bytes) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        assert path == "/v1/traces"
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(attributes(resource.resource))
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def named(self, prefix: str) -> list[Any]:
        found = [span for span in self.spans if span.name.startswith(prefix)]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def attributes(of: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in of.attributes}


def seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9


@function_tool
async def get_balance(account: str) -> str:
    """The balance."""
    await asyncio.sleep(0.5)
    return "forty pounds"


SPEECHES = [Speech(1, 2.5, "my balance please", 2.8), Speech(12, 13, "and again", 13.3)]
ANSWERS = {
    "my balance please": Answer("", calls=[ToolCall("c1", "get_balance", json.dumps({"account": "walrus"}))]),
    "tool:get_balance": Answer("You have forty pounds.", first=0.2, whole=0.6),
    "and again": Answer(error=ProviderError("walrus says no", provider="support/ScriptedLLM")),
}


def play(tracing: Tracing, *, end: bool = True) -> float:
    """A call with two turns; returns when it began."""

    async def scene() -> float:
        began = time.time()
        call = {**CALL, "ringing_at": began - 3, "answered_at": began}
        await converse(
            SPEECHES,
            until=20,
            llm=ScriptedLLM(ANSWERS),
            agent=Agent(instructions="Be brief.", tools=[get_balance]),
            script=[
                (0.0, lambda session: tracing.call_started("call_1", call, session)),
                (0.1, lambda session: session.say("Welcome.")),
            ],
        )
        if end:
            last = {
                **call,
                "status": "completed",
                "end_reason": "caller_hangup",
                "ended_at": began + 20,
                "billed_seconds": 20,
            }
            tracing.call_ended("call_1", last)
        return began

    return virtual_time.run(scene())


def sent(collector: Collector, *, content: bool = False) -> float:
    tracing = Tracing(TracingOptions(collector.endpoint, content=content))
    began = play(tracing)
    asyncio.run(tracing.aclose())
    return began


def test_a_call_is_one_trace_of_turns_and_their_stages(collector: Collector) -> None:
    began = sent(collector)
    (call,) = collector.named("call")
    assert call.name == "call inbound"
    assert call.parent_span_id == b""
    assert {span.trace_id for span in collector.spans} == {call.trace_id}
    assert seconds(call.start_time_unix_nano) == pytest.approx(began - 3, abs=0.001)
    assert seconds(call.end_time_unix_nano) == pytest.approx(began + 20, abs=0.001)
    assert [event.name for event in call.events if event.name != "exception"] == ["ringing", "answered"]
    greeting, first, second = collector.named("turn")
    assert {span.parent_span_id for span in (greeting, first, second)} == {call.span_id}
    assert [attributes(span)["antiphon.turn.source"] for span in (greeting, first, second)] == [
        "say",
        "turn",
        "turn",
    ]

    parts = [span for span in collector.spans if span.parent_span_id == first.span_id]
    parts.sort(key=lambda span: (span.start_time_unix_nano, span.end_time_unix_nano))
    assert [span.name.split()[0] for span in parts] == ["stt", "chat", "execute_tool", "chat", "tts"]
    stt, asked, tool, answered, tts = parts
    assert seconds(first.start_time_unix_nano) == pytest.approx(began + 2.5, abs=0.05)
    assert seconds(stt.end_time_unix_nano - stt.start_time_unix_nano) == pytest.approx(0.3, abs=0.05)
    assert seconds(tool.end_time_unix_nano - tool.start_time_unix_nano) == pytest.approx(0.5, abs=0.05)
    assert asked.end_time_unix_nano <= tool.start_time_unix_nano <= answered.start_time_unix_nano
    assert seconds(answered.events[0].time_unix_nano - answered.start_time_unix_nano) == pytest.approx(
        0.2, abs=0.05
    )
    assert tts.start_time_unix_nano == answered.events[0].time_unix_nano
    assert tts.start_time_unix_nano < tts.events[0].time_unix_nano < tts.end_time_unix_nano
    assert [event.name for event in (*answered.events, *tts.events, *first.events)] == [
        "first_token",
        "first_audio",
        "first_audio_out",
    ]


def test_attributes_follow_the_conventions(collector: Collector) -> None:
    sent(collector)
    assert collector.resources[0]["service.name"] == "antiphon"
    (call,) = collector.named("call")
    assert attributes(call) == {
        "gen_ai.conversation.id": "call_1",
        "gen_ai.agent.id": "asst_1",
        "gen_ai.agent.name": "Bank",
        "antiphon.call.id": "call_1",
        "antiphon.call.direction": "inbound",
        "antiphon.call.service": "generic",
        "antiphon.call.room": "r",
        "antiphon.call.status": "completed",
        "antiphon.call.end_reason": "caller_hangup",
        "antiphon.call.billed_seconds": 20,
    }
    chat = attributes(collector.named("chat")[0])
    assert chat["gen_ai.operation.name"] == "chat"
    assert chat["gen_ai.provider.name"] == "support"
    assert chat["gen_ai.request.model"] == "ScriptedLLM"
    tool = attributes(collector.named("execute_tool")[0])
    assert tool == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "get_balance",
        "gen_ai.tool.call.id": "c1",
        "gen_ai.tool.type": "function",
    }
    turn = attributes(collector.named("turn")[1])
    assert turn["antiphon.turn.outcome"] == "finished"
    assert turn["antiphon.turn.first_audio_out"] == pytest.approx(turn["antiphon.turn.latency"], abs=0.001)


def test_a_failed_request_is_an_error_in_its_trace(collector: Collector) -> None:
    sent(collector)
    failed = collector.named("chat")[-1]
    assert failed.status.code == 2
    assert attributes(failed)["error.type"] == "ProviderError"
    (call,) = collector.named("call")
    (exception,) = [event for event in call.events if event.name == "exception"]
    assert attributes(exception)["exception.type"] == "ProviderError"
    assert attributes(exception)["antiphon.error.source"] == "llm"


@pytest.mark.parametrize("content", [False, True])
def test_what_is_said_is_in_a_trace_only_if_that_was_asked_for(collector: Collector, content: bool) -> None:
    sent(collector, content=content)
    everything = "".join(str(span) for span in collector.spans if not span.name.startswith("call"))
    for words in ("my balance please", "forty pounds", "walrus"):
        assert (words in everything) == content
    if content:
        turn = attributes(collector.named("turn")[1])
        assert json.loads(turn["gen_ai.input.messages"]) == [
            {"role": "user", "parts": [{"type": "text", "content": "my balance please"}]}
        ]


@pytest.mark.time_limit(30)
@pytest.mark.parametrize("trouble", ["hangs", "refuses", "is away"])
def test_a_collector_in_trouble_holds_up_nothing(collector: Collector, trouble: str) -> None:
    endpoint = collector.endpoint
    if trouble == "hangs":
        collector.let_go.clear()
    elif trouble == "refuses":
        collector.status = 503
    else:
        endpoint = "http://127.0.0.1:9"
    tracing = Tracing(TracingOptions(endpoint))
    play(tracing)

    async def close() -> float:
        began = time.monotonic()
        await tracing.aclose(0.5)
        await tracing.aclose(0.5)
        return time.monotonic() - began

    assert asyncio.run(close()) < 5


def test_calls_that_never_end_are_let_go_at_the_end(collector: Collector) -> None:
    tracing = Tracing(TracingOptions(collector.endpoint))
    play(tracing, end=False)
    asyncio.run(tracing.aclose())
    assert len(collector.named("call")) == 1


@pytest.mark.parametrize(
    ("environment", "explicit", "expected"),
    [
        ({}, None, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, None, TracingOptions()),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/x"}, None, TracingOptions()),
        ({}, "http://c:4318", TracingOptions("http://c:4318")),
        ({"OTEL_SDK_DISABLED": "true"}, "http://c:4318", None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, None, None),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c",
                "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
            },
            None,
            TracingOptions(content=True),
        ),
    ],
)
def test_the_environment_switches_tracing_on(
    environment: dict[str, str], explicit: str | None, expected: TracingOptions | None
) -> None:
    assert TracingOptions.from_environment(environment, endpoint=explicit) == expected


def test_a_protocol_that_is_not_spoken_is_refused() -> None:
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(ConfigurationError, match="4318"):
        TracingOptions.from_environment(environment)


def test_an_endpoint_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="localhost:4318"):
        Tracing(TracingOptions("collector:4318"))


@pytest.mark.parametrize("package", ["opentelemetry.sdk.trace", "opentelemetry.exporter"])
def test_a_missing_package_is_named_with_what_installs_it(package: str) -> None:
    code = f"""
import sys
sys.modules[{package!r}] = None
from antiphon.models.errors import ConfigurationError
from antiphon.observability import Tracing, TracingOptions
try:
    Tracing(TracingOptions("http://localhost:4318"))
except ConfigurationError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install 'antiphon[tracing]'" in result.stdout, result.stderr
