"""A local server that speaks OpenAI's realtime protocol, strictly: it keeps a conversation and refuses what OpenAI refuses."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

RATE = 24000


@dataclass
class Reply:
    """What the model answers: a text, `seconds` of audio if it speaks, calls as (id, name, arguments), or an error code."""

    text: str = ""
    seconds: float = 0.5
    calls: tuple[tuple[str, str, str], ...] = ()
    error: str = ""
    pace: float = 0.005  # seconds between two pieces


@dataclass
class OpenAIRealtimeServer:
    """The server. Connections share the script; each has its own conversation."""

    replies: list[Reply] = field(default_factory=list)
    transcripts: list[str] = field(default_factory=list)
    key: str = "sk-test"
    refuse: HTTPStatus | None = None
    received: list[dict[str, Any]] = field(default_factory=list)
    connections: list[OpenAIConnection] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    server: Server | None = None

    @property
    def base_url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{next(iter(self.server.sockets)).getsockname()[1]}/v1"

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.received if event["type"] == kind]

    def admit(self, connection: ServerConnection, request: Any) -> Any:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "Incorrect API key provided")
        if self.refuse is not None:
            return connection.respond(self.refuse, "refused")
        return None

    async def handle(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        self.paths.append(websocket.request.path)
        connection = OpenAIConnection(self, websocket)
        self.connections.append(connection)
        try:
            await connection.run()
        except ConnectionClosed:
            return
        finally:
            await connection.stop()


class OpenAIConnection:
    def __init__(self, server: OpenAIRealtimeServer, websocket: ServerConnection) -> None:
        self.server, self.websocket = server, websocket
        self.items: list[dict[str, Any]] = []
        self.session: dict[str, Any] = {}
        self.buffer = b""
        self.active: str | None = None
        self._names = 0
        self._responses: dict[str, asyncio.Task[None]] = {}

    def name(self, kind: str) -> str:
        self._names += 1
        return f"{kind}_{len(self.server.connections)}_{self._names}"

    async def send(self, kind: str, **fields: Any) -> None:
        await self.websocket.send(json.dumps({"type": kind, "event_id": self.name("event"), **fields}))

    async def refuse(self, code: str, event: dict[str, Any], message: str = "") -> None:
        error = {
            "type": "invalid_request_error",
            "code": code,
            "message": message or code,
            "event_id": event.get("event_id"),
        }
        await self.send("error", error=error)

    async def run(self) -> None:
        await self.send("session.created", session={"type": "realtime"})
        async for message in self.websocket:
            event = json.loads(message)
            self.server.received.append(event)
            await self.take(event)

    async def stop(self) -> None:
        tasks = list(self._responses.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                if event["session"].get("type") != "realtime":
                    await self.refuse("missing_required_parameter", event)
                    return
                if event["session"].get("audio", {}).get("output", {}).get("voice") == "nobody":
                    await self.refuse("invalid_value", event, "Invalid value: 'nobody'")
                    return
                self.session.update(event["session"])
                await self.send("session.updated", session=self.session)
            case "input_audio_buffer.append":
                self.buffer += base64.b64decode(event["audio"])
            case "input_audio_buffer.clear":
                self.buffer = b""
                await self.send("input_audio_buffer.cleared")
            case "input_audio_buffer.commit":
                if len(self.buffer) < 0.1 * RATE * 2:
                    await self.refuse("input_audio_buffer_commit_empty", event)
                    return
                await self.commit(self.name("item"))
            case "conversation.item.create":
                item = {"id": self.name("item"), **event["item"]}
                before = [i for i, one in enumerate(self.items) if one["id"] == event.get("previous_item_id")]
                self.items.insert(before[0] + 1 if before else len(self.items), item)
                await self.send("conversation.item.added", item=item)
            case "conversation.item.delete":
                self.items = [item for item in self.items if item["id"] != event["item_id"]]
                await self.send("conversation.item.deleted", item_id=event["item_id"])
            case "conversation.item.truncate":
                await self.truncate(event)
            case "response.create":
                await self.create_response(event)
            case "response.cancel":
                task = self._responses.get(event.get("response_id", ""))
                if task is None:
                    await self.refuse("response_cancel_not_active", event)
                else:
                    task.cancel()

    async def commit(self, item_id: str) -> None:
        seconds = len(self.buffer) / 2 / RATE
        self.buffer = b""
        self.items.append({"id": item_id, "type": "message", "role": "user", "seconds": seconds})
        await self.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
        if self.session["audio"]["input"]["transcription"] is not None and self.server.transcripts:
            text = self.server.transcripts.pop(0)
            kind = "conversation.item.input_audio_transcription"
            usage = {"type": "duration", "seconds": seconds}
            if text:
                await self.send(f"{kind}.delta", item_id=item_id, content_index=0, delta=text[:3])
            await self.send(
                f"{kind}.completed", item_id=item_id, content_index=0, transcript=text, usage=usage
            )

    async def hear(self, start_ms: int, end_ms: int) -> None:
        """The server's own detection found speech in what was pushed."""
        item = self.name("item")
        await self.send("input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=item)
        await self.send("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=item)
        await self.commit(item)

    async def truncate(self, event: dict[str, Any]) -> None:
        item = next((one for one in self.items if one["id"] == event["item_id"]), None)
        if item is None or item.get("role") != "assistant":
            await self.refuse("item_truncate_invalid_item_id", event)
        elif event["audio_end_ms"] > item["seconds"] * 1000:
            await self.refuse("invalid_value", event, "Audio content is shorter than audio_end_ms")
        else:
            item["seconds"], item["text"] = event["audio_end_ms"] / 1000, None
            await self.send("conversation.item.truncated", **{k: v for k, v in event.items() if k != "type"})

    async def create_response(self, event: dict[str, Any]) -> None:
        request = event.get("response", {})
        beside = request.get("conversation") == "none"
        if self.active is not None and not beside:
            await self.refuse("conversation_already_has_active_response", event)
            return
        name = self.name("resp")
        if not beside:
            self.active = name
        reply = self.server.replies.pop(0) if self.server.replies else Reply("Yes.")
        task = asyncio.get_running_loop().create_task(self.respond(name, request, reply), name=name)
        self._responses[name] = task

    async def respond(self, name: str, request: dict[str, Any], reply: Reply) -> None:
        modalities = request.get("output_modalities") or self.session["output_modalities"]
        base = {"id": name, "object": "realtime.response", "metadata": request.get("metadata")}
        item = {"id": self.name("item"), "type": "message", "role": "assistant", "text": "", "seconds": 0.0}
        status, output = "completed", []
        details = None
        try:
            await self.send("response.created", response={**base, "status": "in_progress", "output": []})
            if reply.error:
                status = "failed"
                details = {"type": "failed", "error": {"type": "server_error", "code": reply.error}}
            elif reply.text:
                if request.get("conversation") != "none":
                    self.items.append(item)
                shown = {"id": item["id"], "type": "message", "role": "assistant", "content": []}
                await self.send("response.output_item.added", response_id=name, output_index=0, item=shown)
                await self.say(name, item, reply, speaks="audio" in modalities)
            for call_id, function, arguments in reply.calls:
                call = {"type": "function_call", "call_id": call_id, "name": function, "arguments": arguments}
                output.append({"id": self.name("item"), **call})
                self.items.append(output[-1])
        except asyncio.CancelledError:
            status = "cancelled"
        if name == self.active:
            self.active = None
        del self._responses[name]
        usage = {"input_tokens": 20, "output_tokens": 10, "total_tokens": 30}
        response = {**base, "status": status, "status_details": details, "output": output, "usage": usage}
        try:
            await self.send("response.done", response=response)
        except ConnectionClosed:
            return

    async def say(self, name: str, item: dict[str, Any], reply: Reply, *, speaks: bool) -> None:
        words = reply.text.split()
        audio = (np.arange(round(reply.seconds * RATE)) % 30000 + 1).astype("<i2")
        where = {"response_id": name, "item_id": item["id"], "output_index": 0, "content_index": 0}
        kind = "response.output_audio_transcript.delta" if speaks else "response.output_text.delta"
        for index, word in enumerate(words):
            piece = word if index == 0 else f" {word}"
            item["text"] += piece
            await self.send(kind, delta=piece, **where)
            if speaks:
                part = np.array_split(audio, len(words))[index]
                item["seconds"] += part.size / RATE
                delta = base64.b64encode(part.tobytes()).decode()
                await self.send("response.output_audio.delta", delta=delta, **where)
            await asyncio.sleep(reply.pace)


@asynccontextmanager
async def openai_realtime_server(**script: Any) -> AsyncIterator[OpenAIRealtimeServer]:
    """Run the server; ends with all its connections."""
    local = OpenAIRealtimeServer(**script)
    async with serve(local.handle, "127.0.0.1", 0, process_request=local.admit) as server:
        local.server = server
        yield local
