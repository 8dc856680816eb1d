"""A web server that takes webhooks and does as it is told."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

# An answer: the status, or the status and headers; HANG: none, ENDLESS: 200 and a body without end, DROP: the connection is closed.
HANG, ENDLESS, DROP = "hang", "endless", "drop"
Answer = int | tuple[int, dict[str, str]] | str


@dataclass
class Message:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    answer: Answer

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Answers what `answer` says for the number of a message, counted from 0."""

    answer: Callable[[int], Answer] = lambda _: 200
    port: int = 0
    messages: list[Message] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def acknowledged(self) -> Counter[str]:
        """How often each webhook was answered with a 2xx."""
        return Counter(
            message.id
            for message in self.messages
            if message.answer == ENDLESS or (isinstance(message.answer, int) and message.answer // 100 == 2)
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        over = asyncio.Event()
        handlers: set[asyncio.Task[Any]] = set()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            handlers.add(task)
            try:
                await self._handle(reader, writer, over)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()
                handlers.discard(task)

        server = await asyncio.start_server(handle, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            over.set()
            server.close()
            await asyncio.gather(*handlers, return_exceptions=True)

    async def _handle(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event
    ) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        answer = self.answer(len(self.messages))
        self.messages.append(Message(first.split()[1], headers, body, answer))
        if answer == HANG:
            await over.wait()
        elif answer == ENDLESS:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nx")
            await writer.drain()
            await over.wait()
        elif answer != DROP:
            assert not isinstance(answer, str)
            status, more = (answer, {}) if isinstance(answer, int) else answer
            extra = "".join(f"{name}: {value}\r\n" for name, value in more.items())
            writer.write(f"HTTP/1.1 {status} X\r\n{extra}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
