"""Tools that are web services, and tools that are a fixed answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from antiphon.models.errors import ConfigurationError, ToolError
from antiphon.models.outbound_http import OutboundPolicy, sign
from antiphon.models.tools import FunctionTool, ToolArgumentError, tool_output_text
from antiphon.models.webhook_tool import static_tool, webhook_tool

pytestmark = pytest.mark.needs("httpx")

LOCAL = OutboundPolicy(allowed_networks=["127.0.0.0/8"], max_response=1000)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SECRET = "a secret of some length"


def response(status: int, body: bytes = b"", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Service:
    """Answers requests in turn; None: never answers."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.names: list[str] = []
        self._over = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line]
        headers = {name.lower(): value for name, value in lines}
        self.names = [name.lower() for name, _ in lines]
        body = await reader.readexactly(int(headers["content-length"]))
        self.requests.append((headers, body))
        answer = self.answers.pop(0)
        if answer is None:
            await self._over.wait()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    def ask(self, arguments: dict[str, Any], **options: Any) -> Any:
        """Make a tool for this service and call it once."""

        async def run() -> Any:
            server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            try:
                return await make(f"http://127.0.0.1:{port}/weather", **options).call(arguments)
            finally:
                self._over.set()
                server.close()

        return asyncio.run(run())


def make(url: str, **options: Any) -> FunctionTool:
    options = {"policy": LOCAL, "timeout": 5.0, **options}
    return webhook_tool("weather", "Look the weather up.", SCHEMA, url=url, **options)


def test_the_service_is_told_the_tool_its_arguments_and_the_call() -> None:
    service = Service(response(200, b'{"sky": "clear"}'))
    result = service.ask({"city": "Köln"}, context_provider=lambda: {"call_id": "c1"}, headers={"X-Key": "k"})
    assert result == {"sky": "clear"}
    headers, body = service.requests[0]
    assert json.loads(body) == {"tool": "weather", "arguments": {"city": "Köln"}, "call": {"call_id": "c1"}}
    assert headers["content-type"] == "application/json"
    assert headers["x-key"] == "k"


def test_requests_are_signed() -> None:
    service = Service(response(200, b"{}"))
    service.ask({"city": "Rome"}, secret=SECRET, headers={"Webhook-Id": "1", "Webhook-Signature": "v1,x"})
    headers, body = service.requests[0]
    expected = sign(SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected["webhook-signature"]
    assert headers["webhook-id"] != "1"
    assert service.names.count("webhook-id") == service.names.count("webhook-signature") == 1


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (response(200, b"Sunny.", "text/plain"), "Sunny."),
        (response(200, b"[1, 2]"), "[1, 2]"),
        (response(200, b"{broken"), "{broken"),
        (response(204), "done"),
    ],
)
def test_the_answer_becomes_text_for_the_model(answer: bytes, text: str) -> None:
    assert tool_output_text(Service(answer).ask({"city": "Rome"})) == text


FAILURES = [response(500, b"stack trace"), response(429), None, b"nonsense\r\n\r\n"]


@pytest.mark.parametrize("failure", FAILURES)
def test_an_idempotent_tool_is_tried_once_more_under_the_same_identifier(failure: bytes | None) -> None:
    service = Service(failure, response(200, b'"ok"'))
    assert service.ask({"city": "Rome"}, idempotent=True, timeout=0.3) == "ok"
    assert len({headers["webhook-id"] for headers, _ in service.requests}) == 1
    assert len(service.requests) == 2


@pytest.mark.parametrize("failure", FAILURES)
def test_another_tool_is_tried_once(failure: bytes | None) -> None:
    service = Service(failure, response(200, b'"ok"'))
    with pytest.raises(ToolError, match="weather did not work"):
        service.ask({"city": "Rome"}, timeout=0.3)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [response(400, b"bad column users.password"), response(302), response(200, b"x" * 2000)],
)
def test_what_will_not_improve_is_not_retried_and_not_shown(answer: bytes) -> None:
    service = Service(answer, response(200))
    with pytest.raises(ToolError) as caught:
        service.ask({"city": "Rome"}, idempotent=True)
    assert len(service.requests) == 1
    assert "password" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


def test_a_private_service_is_not_asked_unless_allowed() -> None:
    service = Service(response(200))
    with pytest.raises(ToolError, match="not set up correctly") as caught:
        service.ask({"city": "Rome"}, policy=OutboundPolicy())
    assert service.requests == []
    assert "127.0.0.1" not in str(caught.value)


def test_wrong_arguments_do_not_reach_the_service() -> None:
    service = Service(response(200))
    with pytest.raises(ToolArgumentError):
        service.ask({})
    assert service.requests == []


def test_a_bad_secret_is_told_when_the_tool_is_made() -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        make("https://example.com/", secret="whsec_?")


def test_a_static_tool_gives_its_value() -> None:
    tool = static_tool("hours", "When we are open.", {"open": "9-17"})
    assert asyncio.run(tool.call("{}")) == {"open": "9-17"}
    assert tool.parameters == {"type": "object", "properties": {}}
