"""HEAD asks what GET would say, and gets no content."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.needs("aiortc", "fastapi", "httpx")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/api/config", 200),
        ("/", 200),
        ("/static/js/main.js", 200),
        ("/favicon.ico", 200),
        ("/static/nothing.js", 404),
        ("/api/rtc/offer", 405),
    ],
)
def test_head_is_get_without_content(in_process: Any, run_clean: Any, path: str, status: int) -> None:
    async def scenario() -> None:
        async with in_process() as (client, _):
            got, head = await client.get(path), await client.head(path)
            assert (got.status_code, head.status_code) == (status, status)
            assert head.content == b""
            for name in ("content-type", "x-content-type-options", "etag", "allow"):
                assert head.headers.get(name) == got.headers.get(name)
            if "uptime" not in got.text and "instance" not in got.text:
                assert head.headers["content-length"] == str(len(got.content))

    run_clean(scenario())


def test_no_content_leaves_the_application_and_allow_names_head(in_process: Any, run_clean: Any) -> None:
    """httpx drops the content of an answer to HEAD by itself, so this looks at what is sent."""

    async def scenario() -> None:
        async with in_process() as (client, _):
            app = client._transport.app
            sent: list[Any] = []

            async def watched(scope: Any, receive: Any, send: Any) -> None:
                async def note(message: Any) -> None:
                    sent.append(message)
                    await send(message)

                await app(scope, receive, note)

            transport = httpx.ASGITransport(watched)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as other:
                assert (await other.head("/healthz")).status_code == 200
                assert [message.get("body") for message in sent[1:]] == [b""]
                refused = await other.post("/healthz")
                assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")

    run_clean(scenario())


def test_head_over_a_connection_that_is_used_again(listening: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with listening() as served, httpx.AsyncClient(base_url=served.url) as client:
            for path in ("/healthz", "/", "/static/js/main.js", "/nothing"):
                head, got = await client.head(path), await client.get(path)
                assert (head.status_code, head.content) == (got.status_code, b"")
                assert got.content

    run_clean(scenario())
