"""A small HTTP service on this machine that answers as the test wants it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class HttpService:
    """What came in, and what is answered.

    Attributes:
        url: where it listens.
        answers: one for each request, the last one for all further ones: raw bytes, or None for no answer at all.
        requests: headers by lower-case name, and body, of each request.
        asked: set when a request has come.
        open_connections: how many clients are connected now.
    """

    answers: Sequence[bytes | None]
    delay: float = 0.0
    url: str = ""
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    open_connections: int = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:]
            pairs = (line.split(":", 1) for line in head if ":" in line)
            headers = {name.strip().lower(): value.strip() for name, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
            self.requests.append((headers, body))
            self.asked.set()
            if answer is None:
                await reader.read()  # until the client gives up
            else:
                await asyncio.sleep(self.delay)
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()


def http_answer(body: Any, status: str = "200 OK", headers: str = "") -> bytes:
    """An answer; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode() + content


@contextlib.asynccontextmanager
async def http_service(*answers: bytes | None, delay: float = 0.0) -> AsyncIterator[HttpService]:
    service = HttpService(answers, delay)
    server = await asyncio.start_server(service.handle, "127.0.0.1", 0)
    service.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    try:
        yield service
    finally:
        server.close()
        for _ in range(100):
            if not service.open_connections:
                break
            await asyncio.sleep(0.01)
