"""One websocket to the Gemini Live API.

The model answers each end of the user's activity, each complete turn of text and each tool result by itself. So these are
sent only when a reply is wanted: what the user says meanwhile streams into an open activity, which a reply ends. The model
says one thing at a time; the next one is asked for when the one before it is over. It cannot be told to forget what the
user did not hear, so it is told in words what they heard.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from google.genai import errors, types
from websockets.exceptions import WebSocketException

from ...audio import AudioFrame
from ...models.chat_context import ChatMessage, ToolCall
from ...models.errors import ProviderConnectionError, ProviderError
from ...models.llm import ChatChunk, ToolChoice, Usage
from ...models.realtime import InputTranscription, RealtimeEvent, RealtimeGeneration, RealtimeSession
from ...models.tools import FunctionTool
from .realtime_model import INPUT_RATE, OUTPUT_RATE
from .realtime_turns import error_of, text_turn, turn_of

if TYPE_CHECKING:
    from .realtime_model import RealtimeModel

CONNECT_TIMEOUT = 10.0
CLOSE_TIMEOUT = 1.0
AUDIO = f"audio/pcm;rate={INPUT_RATE}"
VERBATIM = (
    "You read texts aloud. Read each message word for word, in the language it is written in. Add nothing, leave nothing out "
    "and do not answer it."
)
GO_ON = "[Go on.]"
NO_TOOLS = "[Answer now, without calling a function.]"
_FAILURES = (OSError, WebSocketException, errors.APIError, ValueError)


class _Reply:
    """A reply that is wanted; `asked`: the model was asked for it."""

    def __init__(self, instructions: str | None, tool_choice: ToolChoice) -> None:
        self.instructions = instructions
        self.tool_choice: ToolChoice = tool_choice
        self.generation: RealtimeGeneration
        self.asked = False
        self.usage: Usage | None = None


class GeminiLiveSession(RealtimeSession):
    def __init__(self, model: RealtimeModel, instructions: str, tools: Sequence[FunctionTool]) -> None:
        self._model = model
        self._instructions, self._tools = instructions, list(tools)
        self._stack = AsyncExitStack()
        self._connection: Any = None
        self._outbox: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._speakers: set[asyncio.Task[None]] = set()
        self._count = 0
        self._audio: deque[bytes] = deque()
        self._activity = False
        self._utterances: list[str] = []
        self._heard = ""
        self._turns: list[types.Content] = []
        self._called: dict[str, str] = {}
        self._results: list[types.FunctionResponse] = []
        self._active: _Reply | None = None
        self._waiting: deque[_Reply] = deque()

    # -- the connection --------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        configuration = self._model.configuration(self._instructions, self._tools)
        live = self._model.client.aio.live
        try:
            self._connection = await self._stack.enter_async_context(
                live.connect(model=self._model.model, config=configuration)
            )
        except _FAILURES as error:
            raise error_of(error, self._model.label) from error
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="gemini live writer")

    async def _write(self) -> None:
        """Send in order until the connection is over; its end is for the reader to tell."""
        while True:
            send = await self._outbox.get()
            try:
                await send()
            except _FAILURES:
                await self._connection.close()  # what the model missed, it must be told anew
                return

    async def aclose(self) -> None:
        tasks = [task for task in (self._writer, *self._speakers) if task is not None]
        self._writer = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._stack.aclose()
        except (TimeoutError, *_FAILURES):
            return

    # -- the user's audio ------------------------------------------------------------------------------------------

    def push_audio(self, frame: AudioFrame) -> None:
        self._audio.append(frame.tobytes())
        if self._active is None:
            self._stream_audio()

    def _stream_audio(self) -> None:
        """Let the model hear what the user said; it must not be speaking, or that would silence it."""
        if not self._activity:
            self._send_turns()
            self._activity = True
            self._realtime(activity_start=types.ActivityStart())
        while self._audio:
            self._realtime(audio=types.Blob(data=self._audio.popleft(), mime_type=AUDIO))

    def _realtime(self, **what: Any) -> None:
        self._outbox.put_nowait(lambda: self._connection.send_realtime_input(**what))

    def commit_audio(self) -> str:
        self._count += 1
        self._utterances.append(f"utterance_{self._count}")
        return self._utterances[-1]

    def clear_audio(self) -> None:
        self._audio.clear()

    # -- the conversation ------------------------------------------------------------------------------------------

    def add_messages(self, messages: Sequence[ChatMessage]) -> None:
        for message in messages:
            name = self._called.pop(message.tool_call_id or "", None)
            if message.role == "tool" and name is not None:
                result = types.FunctionResponse(
                    id=message.tool_call_id, name=name, response={"output": message.content}
                )
                self._results.append(result)
            elif (turn := turn_of(message)) is not None:
                self._turns.append(turn)

    def _send_turns(self, *, answer: bool = False) -> None:
        turns, self._turns = self._turns, []
        if turns or answer:
            self._outbox.put_nowait(
                lambda: self._connection.send_client_content(turns=turns, turn_complete=answer)
            )

    def generate_reply(
        self, *, instructions: str | None = None, tool_choice: ToolChoice = "auto"
    ) -> RealtimeGeneration:
        reply = _Reply(instructions, tool_choice)
        reply.generation = RealtimeGeneration(
            lambda: self._cancelled(reply), lambda _, heard: self._cut(reply, heard)
        )
        if self._active is None:
            self._ask(reply)
        else:
            self._waiting.append(reply)
            self._make_way()
        return reply.generation

    def _make_way(self) -> None:
        """The user's activity silences a reply that nobody listens to any more."""
        if self._active is not None and self._active.generation.done and self._audio:
            self._stream_audio()

    def _ask(self, reply: _Reply) -> None:
        self._active, reply.asked = reply, True
        if reply.instructions is not None:
            # The whole of them was given at the start; what is new stands at their end.
            self._turns.append(text_turn(f"[{reply.instructions.removeprefix(self._instructions).strip()}]"))
        results, self._results = self._results, []
        if self._audio:
            self._stream_audio()
        if results and not self._activity:
            if reply.tool_choice == "none":
                self._turns.append(text_turn(NO_TOOLS))
            self._send_turns()
            self._outbox.put_nowait(lambda: self._connection.send_tool_response(function_responses=results))
            return
        # Results that come with words of the user are told as words: one end of turn, one answer.
        self._turns += [text_turn(f"[Result of {r.name}: {json.dumps(r.response)}]") for r in results]
        if self._activity:
            self._send_turns()
            self._activity = False
            self._realtime(activity_end=types.ActivityEnd())
        else:
            if not self._turns:
                self._turns.append(text_turn(GO_ON))
            self._send_turns(answer=True)

    def _cancelled(self, reply: _Reply) -> None:
        if reply in self._waiting:
            self._waiting.remove(reply)

    def _cut(self, reply: _Reply, heard: str) -> None:
        if not reply.asked:
            return
        words = f'only: "{heard}"' if heard else "nothing of it"
        self._turns.append(text_turn(f"[Your last answer was interrupted. The user heard {words}]"))

    # -- the application's words -----------------------------------------------------------------------------------

    def speak(self, text: str) -> RealtimeGeneration:
        """A session of its own says it, because this one would take it for a turn of the conversation."""
        generation = RealtimeGeneration(lambda: _stop(task), lambda _seconds, _heard: None)
        task = asyncio.get_running_loop().create_task(self._speak(text, generation), name="gemini live text")
        self._speakers.add(task)
        task.add_done_callback(self._speakers.discard)
        return generation

    async def _speak(self, text: str, generation: RealtimeGeneration) -> None:
        label = self._model.label
        beside = GeminiLiveSession(self._model, VERBATIM, ())
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await beside.connect()
            await beside._connection.send_client_content(turns=text_turn(text), turn_complete=True)
            async for message in beside._connection.receive():
                if generation.done:
                    return
                _put(message, generation)
            generation.end()
        except TimeoutError:
            generation.fail(ProviderConnectionError(f"{label} could not be connected", provider=label))
        except ProviderError as error:
            generation.fail(error)
        except _FAILURES as error:
            generation.fail(error_of(error, label))
        finally:
            generation.fail(ProviderConnectionError(f"{label}: the session ended", provider=label))
            await beside.aclose()

    # -- what the server says --------------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[RealtimeEvent]:
        label = self._model.label
        failure: ProviderError = ProviderConnectionError(f"{label} ended the session", provider=label)
        try:
            while True:
                async for message in self._connection.receive():
                    for event in self._take(message):
                        yield event
        except _FAILURES as error:
            failure = error_of(error, label)
            raise failure from error
        finally:
            for reply in (*([self._active] if self._active else []), *self._waiting):
                reply.generation.fail(failure)

    def _take(self, message: types.LiveServerMessage) -> list[RealtimeEvent]:
        content, reply = message.server_content, self._active
        events: list[RealtimeEvent] = []
        if content is not None and content.input_transcription and content.input_transcription.text:
            self._heard += content.input_transcription.text
            events += self._transcript(is_final=False)
        if reply is not None:
            if message.usage_metadata is not None:
                used = message.usage_metadata
                reply.usage = Usage(used.prompt_token_count or 0, used.response_token_count or 0)
            _put(message, reply.generation)
            if message.tool_call is not None:
                events += self._transcript(is_final=True)
                self._call_tools(reply, message.tool_call)
        if content is not None and content.turn_complete and self._active is reply is not None:
            events += self._transcript(is_final=True)
            self._over(reply)
        return events

    def _transcript(self, *, is_final: bool) -> list[RealtimeEvent]:
        """What the user said is not told by utterance: all of it is the last one's."""
        if not self._utterances:
            return []
        *before, last = self._utterances
        events: list[RealtimeEvent] = [InputTranscription(name, "") for name in before]
        events.append(InputTranscription(last, self._heard.strip(), is_final=is_final))
        self._utterances = [] if is_final else [last]
        if is_final:
            self._heard = ""
        return events

    def _call_tools(self, reply: _Reply, asked: types.LiveServerToolCall) -> None:
        """The model waits for the results: with them its next words come, as another reply."""
        calls = [
            ToolCall(call.id or "", call.name or "", json.dumps(call.args or {}))
            for call in asked.function_calls or ()
        ]
        self._called.update({call.id: call.name for call in calls})
        reply.generation.put(ChatChunk(tool_calls=calls))
        self._over(reply)

    def _over(self, reply: _Reply) -> None:
        if reply.usage is not None:
            reply.generation.put(ChatChunk(usage=reply.usage))
        reply.generation.end()
        self._active = None
        if self._waiting:
            self._ask(self._waiting.popleft())


def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()


def _put(message: types.LiveServerMessage, generation: RealtimeGeneration) -> None:
    """Hand on what the model says."""
    content = message.server_content
    if content is None:
        return
    if content.output_transcription is not None and content.output_transcription.text:
        generation.put(ChatChunk(delta=content.output_transcription.text))
    for part in (content.model_turn.parts if content.model_turn is not None else None) or ():
        if part.inline_data is not None and part.inline_data.data:
            generation.put(ChatChunk(audio=AudioFrame(part.inline_data.data, OUTPUT_RATE)))
        elif part.text and not part.thought:
            generation.put(ChatChunk(delta=part.text))
