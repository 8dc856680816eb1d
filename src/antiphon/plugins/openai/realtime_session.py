"""One websocket to an OpenAI realtime model.

What is asked goes through one queue, so that the server hears it in order. The default conversation has one response at a
time: the next one is asked for when the one before it is over, and has been cut to what the user heard.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from openai import OpenAIError
from websockets.exceptions import WebSocketException

from ...audio import AudioFrame
from ...models.chat_context import ChatMessage
from ...models.errors import ProviderConnectionError, ProviderError, ProviderStatusError
from ...models.llm import ChatChunk, ToolChoice, Usage
from ...models.realtime import (
    InputSpeechStarted,
    InputSpeechStopped,
    InputTranscription,
    RealtimeError,
    RealtimeEvent,
    RealtimeGeneration,
    RealtimeSession,
)
from ...models.tools import FunctionTool
from .realtime_items import connection_error, error_of, items_of, tool_calls_of, tool_of
from .realtime_model import SAMPLE_RATE, SILENCE

if TYPE_CHECKING:
    from .realtime_model import RealtimeModel

SHORTEST_UTTERANCE = 0.1  # seconds; the server refuses to commit less
CLOSE_TIMEOUT = 1.0
VERBATIM = (
    "Read the following text aloud, word for word, in the language it is written in. Add nothing, leave nothing out and do "
    "not answer it.\n\n"
)


class _Response:
    """A response that was asked for.

    Attributes:
        name: the `event_id` of the request and its mark in the response's metadata.
        item: the message in it, once the server has named it.
        seconds: of audio so far.
        cut: the seconds and words that were heard, if it was cut.
    """

    def __init__(self, name: str, request: dict[str, Any]) -> None:
        self.name, self.request = name, request
        self.generation: RealtimeGeneration
        self.id: str | None = None
        self.item: str | None = None
        self.seconds = 0.0
        self.cut: tuple[float, str] | None = None
        self.over = False


class OpenAIRealtimeSession(RealtimeSession):
    def __init__(self, model: RealtimeModel, *, turn_detection: bool) -> None:
        self._model = model
        self._turn_detection = turn_detection
        self._connection: Any = None
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._uncommitted = 0.0
        self._commits: deque[str] = deque()
        self._count = 0
        self._utterances: dict[str, str] = {}
        self._transcripts: dict[str, str] = {}
        self._responses: dict[str, _Response] = {}
        self._active: _Response | None = None
        self._waiting: deque[_Response] = deque()

    # -- the connection --------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        try:
            self._connection = await self._model.client.realtime.connect(model=self._model.model).enter()
            await self._expect("session.created")
            configuration = self._model.configuration(turn_detection=self._turn_detection)
            await self._connection.send({"type": "session.update", "session": configuration})
            await self._expect("session.updated")
        except (OSError, WebSocketException, OpenAIError) as error:
            raise connection_error(error, self._model.label) from error
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="openai realtime writer")

    async def _expect(self, kind: str) -> None:
        event = await self._connection.recv()
        if event.type == "error":
            error = error_of(event.error, self._model.label)
            if event.error.type == "invalid_request_error" and event.error.code != "session_expired":
                raise ProviderStatusError(str(error), status=400, provider=self._model.label)
            raise error
        if event.type != kind:
            raise ProviderConnectionError(
                f"{self._model.label} began with {event.type} instead of {kind}", provider=self._model.label
            )

    async def _write(self) -> None:
        """Send in order until the connection is over; its end is for the reader to tell."""
        while True:
            event = await self._outbox.get()
            try:
                await self._connection.send(event)
            except (OSError, WebSocketException, OpenAIError):
                return

    def _send(self, kind: str, **fields: Any) -> None:
        self._outbox.put_nowait({"type": kind, **fields})

    async def aclose(self) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])
            self._writer = None
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await connection.close()
            except (TimeoutError, OSError, WebSocketException):
                return

    # -- the user's audio ------------------------------------------------------------------------------------------

    def push_audio(self, frame: AudioFrame) -> None:
        self._uncommitted += frame.duration
        self._send("input_audio_buffer.append", audio=base64.b64encode(frame.tobytes()).decode("ascii"))

    def commit_audio(self) -> str:
        if (missing := SHORTEST_UTTERANCE - self._uncommitted) > 0:
            self.push_audio(AudioFrame.silence(missing, SAMPLE_RATE))
        self._uncommitted = 0.0
        name = self._new_name("utterance")
        self._commits.append(name)
        self._send("input_audio_buffer.commit")
        return name

    def clear_audio(self) -> None:
        self._uncommitted = 0.0
        self._send("input_audio_buffer.clear")

    def _new_name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"

    # -- the conversation ------------------------------------------------------------------------------------------

    def update(self, instructions: str, tools: Sequence[FunctionTool]) -> None:
        session = {
            "type": "realtime",
            "instructions": instructions,
            "tools": [tool_of(tool) for tool in tools],
        }
        self._send("session.update", session=session)

    def add_messages(self, messages: Sequence[ChatMessage]) -> None:
        for message in messages:
            for item in items_of(message):
                self._send("conversation.item.create", item=item)

    def generate_reply(
        self, *, instructions: str | None = None, tool_choice: ToolChoice = "auto"
    ) -> RealtimeGeneration:
        request: dict[str, Any] = {"tool_choice": tool_choice}
        if instructions is not None:
            request["instructions"] = instructions
        response = self._new_response(request)
        if self._active is None:
            self._ask(response)
        else:
            self._waiting.append(response)
        return response.generation

    def speak(self, text: str) -> RealtimeGeneration:
        response = self._new_response(
            {
                "conversation": "none",
                "input": [],
                "instructions": VERBATIM + text,
                "tool_choice": "none",
                "output_modalities": ["audio"],
            }
        )
        self._request(response)
        return response.generation

    def _new_response(self, request: dict[str, Any]) -> _Response:
        response = _Response(self._new_name("response"), request)

        def cut(heard_seconds: float, heard: str) -> None:
            response.cut = (heard_seconds, heard)
            if response.over:
                self._cut(response)

        response.generation = RealtimeGeneration(lambda: self._cancel(response), cut)
        return response

    def _ask(self, response: _Response) -> None:
        self._active = response
        self._request(response)

    def _request(self, response: _Response) -> None:
        self._responses[response.name] = response
        request = {**response.request, "metadata": {"request": response.name}}
        self._send("response.create", event_id=response.name, response=request)

    def _cancel(self, response: _Response) -> None:
        if response in self._waiting:
            self._waiting.remove(response)
        elif response.id is not None and not response.over:
            self._send("response.cancel", response_id=response.id)

    def _cut(self, response: _Response) -> None:
        """Make the server's conversation what the user heard of a response that is over."""
        if response.cut is None or response.item is None or "conversation" in response.request:
            return
        seconds, heard = response.cut
        if not heard:
            self._send("conversation.item.delete", item_id=response.item)
        elif self._model.capabilities.audio_output:
            self._send(
                "conversation.item.truncate",
                item_id=response.item,
                content_index=0,
                audio_end_ms=int(min(seconds, response.seconds) * 1000),
            )
        else:
            (item,) = items_of(ChatMessage(role="assistant", content=heard))
            self._send("conversation.item.create", previous_item_id=response.item, item=item)
            self._send("conversation.item.delete", item_id=response.item)

    # -- what the server says --------------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[RealtimeEvent]:
        label = self._model.label
        failure: ProviderError = ProviderConnectionError(f"{label} ended the session", provider=label)
        try:
            async for event in self._connection:
                if event.type == "error" and event.error.code == "session_expired":
                    failure = ProviderConnectionError(f"{label}: {event.error.message}", provider=label)
                    raise failure
                if (told := self._take(event)) is not None:
                    yield told
        except (OSError, WebSocketException, OpenAIError) as error:
            failure = connection_error(error, label)
            raise failure from error
        finally:
            for response in (*self._responses.values(), *self._waiting):
                response.generation.fail(failure)

    def _take(self, event: Any) -> RealtimeEvent | None:
        if event.type.startswith("response."):
            self._take_response(event)
            return None
        match event.type:
            case "input_audio_buffer.speech_started":
                return InputSpeechStarted(event.audio_start_ms / 1000)
            case "input_audio_buffer.speech_stopped":
                self._utterances[event.item_id] = event.item_id
                self._uncommitted = 0.0
                return InputSpeechStopped(max(0.0, event.audio_end_ms / 1000 - SILENCE), event.item_id)
            case "input_audio_buffer.committed":
                if event.item_id not in self._utterances and self._commits:
                    self._utterances[event.item_id] = self._commits.popleft()
            case "conversation.item.input_audio_transcription.delta":
                text = self._transcripts.get(event.item_id, "") + (event.delta or "")
                self._transcripts[event.item_id] = text
                return InputTranscription(self._utterance(event.item_id), text, is_final=False)
            case "conversation.item.input_audio_transcription.completed":
                self._transcripts.pop(event.item_id, None)
                return InputTranscription(self._utterance(event.item_id), event.transcript)
            case "conversation.item.input_audio_transcription.failed":
                return RealtimeError(error_of(event.error, self._model.label))
            case "error":
                return self._take_error(event.error)
        return None

    def _utterance(self, item: str) -> str:
        return self._utterances.get(item, item)

    def _take_error(self, error: Any) -> RealtimeEvent | None:
        """An error is about the request that it names; a cancellation that came too late is none."""
        response = self._responses.get(error.event_id or "")
        if response is not None:
            response.generation.fail(error_of(error, self._model.label))
            self._over(response)
            return None
        if error.code == "response_cancel_not_active":
            return None
        return RealtimeError(error_of(error, self._model.label))

    def _take_response(self, event: Any) -> None:
        if event.type in ("response.created", "response.done"):
            name = (event.response.metadata or {}).get("request", "")
            response = self._responses.get(name)
            if response is None:
                return
            if event.type == "response.created":
                response.id = event.response.id
                if response.generation.done:  # cancelled before the server had named it
                    self._send("response.cancel", response_id=response.id)
            else:
                self._end(response, event.response)
            return
        response = next((r for r in self._responses.values() if r.id == event.response_id), None)
        if response is None:
            return
        match event.type:
            case "response.output_item.added" if event.item.type == "message":
                response.item = event.item.id
            case "response.output_text.delta" | "response.output_audio_transcript.delta":
                response.generation.put(ChatChunk(delta=event.delta))
            case "response.output_audio.delta":
                frame = AudioFrame(base64.b64decode(event.delta), SAMPLE_RATE)
                response.seconds += frame.duration
                response.generation.put(ChatChunk(audio=frame))

    def _end(self, response: _Response, result: Any) -> None:
        if result.status == "failed":
            details = result.status_details
            response.generation.fail(error_of(details.error if details else None, self._model.label))
        elif result.status != "cancelled":
            used = result.usage
            usage = Usage(used.input_tokens or 0, used.output_tokens or 0) if used is not None else None
            calls = tool_calls_of(result) if result.status == "completed" else []
            response.generation.put(ChatChunk(tool_calls=calls or None, usage=usage))
        response.generation.end()
        self._over(response)

    def _over(self, response: _Response) -> None:
        self._responses.pop(response.name, None)
        response.over = True
        self._cut(response)
        if response is self._active:
            self._active = None
            if self._waiting:
                self._ask(self._waiting.popleft())
