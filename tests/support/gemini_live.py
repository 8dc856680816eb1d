"""A local server that speaks the protocol of the Gemini Live API: it answers each end of a turn, and says one thing at a time."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

RATE = 24000


@dataclass
class Reply:
    """What the model answers: a text, `seconds` of audio if it speaks, or calls as (id, name, arguments)."""

    text: str = ""
    seconds: float = 0.5
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    pace: float = 0.005


@dataclass
class GeminiLiveServer:
    replies: list[Reply] = field(default_factory=list)
    transcripts: list[str] = field(default_factory=list)
    key: str = "test-key"
    close_with: tuple[int, str] | None = None
    connections: list[GeminiConnection] = field(default_factory=list)
    server: Server | None = None

    @property
    def base_url(self) -> str:
        assert self.server is not None
        return f"https://127.0.0.1:{next(iter(self.server.sockets)).getsockname()[1]}/"

    async def handle(self, websocket: ServerConnection) -> None:
        connection = GeminiConnection(self, websocket)
        try:
            await connection.run()
        except ConnectionClosed:
            return
        finally:
            await connection.stop()


class GeminiConnection:
    """`context` is what the model knows: ("user" | "model" | "audio" | "result", text)."""

    def __init__(self, server: GeminiLiveServer, websocket: ServerConnection) -> None:
        self.server, self.websocket = server, websocket
        self.setup: dict[str, Any] = {}
        self.context: list[tuple[str, str]] = []
        self.activity: float | None = None
        self.calls: set[str] = set()
        self.cancelled: list[str] = []
        self._answer: asyncio.Task[None] | None = None

    async def send(self, **message: Any) -> None:
        await self.websocket.send(json.dumps(message))

    async def run(self) -> None:
        request = self.websocket.request
        assert request is not None
        self.setup = _camel(json.loads(await self.websocket.recv()))["setup"]
        if request.headers.get("x-goog-api-key") != self.server.key:
            await self.websocket.close(1007, "API key not valid. Please pass a valid API key.")
            return
        if self.server.close_with is not None:
            await self.websocket.close(*self.server.close_with)
            return
        self.server.connections.append(self)
        await self.send(setupComplete={})
        async for message in self.websocket:
            ((kind, body),) = _camel(json.loads(message)).items()
            await self.take(kind, body)

    async def stop(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            await asyncio.wait([self._answer])

    async def take(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "realtimeInput":
            if "activityStart" in body:
                assert self.activity is None, "an activity within an activity"
                self.activity = 0.0
                await self.interrupt()
            elif "audio" in body:
                assert self.activity is not None, "audio outside an activity"
                assert body["audio"]["mimeType"] == "audio/pcm;rate=16000"
                self.activity += len(base64.urlsafe_b64decode(body["audio"]["data"])) / 2 / 16000
            elif "activityEnd" in body:
                assert self.activity is not None
                self.context.append(("audio", f"{self.activity:.2f}"))
                self.activity = None
                if self.server.transcripts:
                    text = self.server.transcripts.pop(0)
                    half = len(text) // 2
                    for part in (text[:half], text[half:]):
                        await self.send(serverContent={"inputTranscription": {"text": part}})
                self.answer()
        elif kind == "clientContent":
            await self.interrupt()
            for turn in body.get("turns", ()):
                self.context.append((turn["role"], turn["parts"][0]["text"]))
            if body.get("turnComplete"):
                self.answer()
        elif kind == "toolResponse":
            for response in body["functionResponses"]:
                assert response["id"] in self.calls, "a result for a call that was not made"
                self.calls.discard(response["id"])
                self.context.append(("result", response["response"]["output"]))
            self.answer()

    async def interrupt(self) -> None:
        if self.calls:
            self.cancelled += self.calls
            await self.send(toolCallCancellation={"ids": list(self.calls)})
            self.calls.clear()
        if self._answer is not None and not self._answer.done():
            self._answer.cancel()
            await asyncio.wait([self._answer])
            await self.send(serverContent={"interrupted": True})
            await self.send(serverContent={"turnComplete": True})

    def answer(self) -> None:
        assert self._answer is None or self._answer.done(), "two answers at a time"
        reply = self.server.replies.pop(0) if self.server.replies else Reply("Yes.")
        self._answer = asyncio.get_running_loop().create_task(self.say(reply))

    async def say(self, reply: Reply) -> None:
        speaks = self.setup["generationConfig"]["responseModalities"] == ["AUDIO"]
        audio = (np.arange(round(reply.seconds * RATE)) % 30000 + 1).astype("<i2")
        words = reply.text.split()
        try:
            for index, word in enumerate(words):
                piece = word if index == 0 else f" {word}"
                if speaks:
                    data = base64.b64encode(np.array_split(audio, len(words))[index].tobytes()).decode()
                    inline = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}
                    await self.send(serverContent={"modelTurn": {"role": "model", "parts": [inline]}})
                    await self.send(serverContent={"outputTranscription": {"text": piece}})
                else:
                    await self.send(
                        serverContent={"modelTurn": {"role": "model", "parts": [{"text": piece}]}}
                    )
                await asyncio.sleep(reply.pace)
            if reply.text:
                self.context.append(("model", reply.text))
            usage = {"promptTokenCount": 20, "responseTokenCount": 10, "totalTokenCount": 30}
            if reply.calls:
                calls = [{"id": one, "name": name, "args": args} for one, name, args in reply.calls]
                self.calls = {one for one, _, _ in reply.calls}
                await self.send(toolCall={"functionCalls": calls}, usageMetadata=usage)
                return
            await self.send(serverContent={"generationComplete": True})
            await self.send(serverContent={"turnComplete": True}, usageMetadata=usage)
        except ConnectionClosed:
            return


def _camel(value: Any) -> Any:
    """JSON of protocol buffers names fields in either way."""
    if isinstance(value, list):
        return [_camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {re.sub(r"_([a-z])", lambda m: m[1].upper(), key): _camel(one) for key, one in value.items()}


@asynccontextmanager
async def gemini_live_server(tls: ssl.SSLContext, **script: Any) -> AsyncIterator[GeminiLiveServer]:
    """Run the server; ends with all its connections."""
    local = GeminiLiveServer(**script)
    async with serve(local.handle, "127.0.0.1", 0, ssl=tls) as server:
        local.server = server
        yield local
