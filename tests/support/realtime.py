"""A realtime model that follows a script, and writes down what is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

import numpy as np

from antiphon.audio import AudioFrame
from antiphon.models.chat_context import ChatMessage
from antiphon.models.errors import ProviderConnectionError
from antiphon.models.llm import ChatChunk, ToolChoice, Usage
from antiphon.models.realtime import (
    InputSpeechStarted,
    InputSpeechStopped,
    InputTranscription,
    RealtimeCapabilities,
    RealtimeEvent,
    RealtimeGeneration,
    RealtimeModel,
    RealtimeSession,
)
from antiphon.models.tools import FunctionTool
from support.scripted import RATE, Answer, Speech


class ScriptedRealtime(RealtimeModel):
    """Answers by the words of the last utterance, `"tool:<name>"` after a tool's result, or a message's text.

    Args:
        words: of each utterance in turn, with the seconds until their transcript comes; None: it never does.
        answers: what it says, by what it answers.
        speaks: it speaks, each reply for `length` seconds; otherwise it writes.
        hears: speech that it reports itself, when the session has no detector.
        refuses: what connecting fails with, in turn; None: it works.
    """

    def __init__(
        self,
        *words: tuple[str, float] | None,
        answers: dict[str, Answer] | Answer | None = None,
        speaks: bool = True,
        length: float = 3.0,
        hears: Sequence[Speech] = (),
        refuses: Sequence[BaseException | None] = (),
        input_transcription: bool = True,
        live_updates: bool = True,
    ) -> None:
        super().__init__(
            capabilities=RealtimeCapabilities(
                audio_output=speaks,
                turn_detection=bool(hears),
                input_transcription=input_transcription,
                live_updates=live_updates,
            ),
            output_sample_rate=RATE,
        )
        self.words = list(words)
        self.answers = answers if isinstance(answers, dict) else {}
        self.default = answers if isinstance(answers, Answer) else Answer()
        self.length, self.hears, self.refuses = length, hears, list(refuses)
        self.sessions: list[ScriptedRealtimeSession] = []

    def session(
        self, *, turn_detection: bool, instructions: str = "", tools: Sequence[FunctionTool] = ()
    ) -> RealtimeSession:
        made = ScriptedRealtimeSession(self, turn_detection)
        made.begun_with = (instructions, [tool.name for tool in tools])
        self.sessions.append(made)
        return made

    @property
    def asked(self) -> list[tuple[Any, ...]]:
        """All that was asked of all sessions, without times."""
        return [entry[1:] for session in self.sessions for entry in session.asked]

    def times(self, kind: str) -> list[float]:
        return [entry[0] for session in self.sessions for entry in session.asked if entry[1] == kind]


class ScriptedRealtimeSession(RealtimeSession):
    def __init__(self, model: ScriptedRealtime, turn_detection: bool) -> None:
        self._model, self._turn_detection = model, turn_detection
        self.asked: list[tuple[Any, ...]] = []
        self.begun_with: tuple[str, list[str]] = ("", [])
        self.heard = 0.0
        self.committed: list[float] = []
        self._events: asyncio.Queue[RealtimeEvent | BaseException] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = ""

    def _note(self, *entry: Any) -> None:
        self.asked.append((asyncio.get_running_loop().time(), *entry))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name="scripted realtime model")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def connect(self) -> None:
        error = self._model.refuses.pop(0) if self._model.refuses else None
        if error is not None:
            raise error
        if self._turn_detection:
            self._spawn(self._listen())

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for speech in self._model.hears:
            await asyncio.sleep(max(0.0, began + speech.start + 0.05 - loop.time()))
            self._events.put_nowait(InputSpeechStarted(speech.start))
            await asyncio.sleep(began + speech.end + 0.2 - loop.time())
            self._events.put_nowait(InputSpeechStopped(speech.end, self.commit_audio()))

    def push_audio(self, frame: AudioFrame) -> None:
        assert frame.sample_rate == self._model.input_sample_rate
        self.heard += frame.duration

    def commit_audio(self) -> str:
        self.committed.append(self.heard)
        self.heard = 0.0
        name = f"item_{len(self.committed)}"
        self._note("commit")
        words = self._model.words.pop(0) if self._model.words else None
        if words is not None:
            self._last = words[0]
            self._spawn(self._transcribe(name, *words))
        return name

    async def _transcribe(self, name: str, text: str, after: float) -> None:
        await asyncio.sleep(after)
        self._events.put_nowait(InputTranscription(name, text))

    def clear_audio(self) -> None:
        self.heard = 0.0
        self._note("clear")

    def update(self, instructions: str, tools: Sequence[FunctionTool]) -> None:
        self._note("update", instructions, [tool.name for tool in tools])

    def add_messages(self, messages: Sequence[ChatMessage]) -> None:
        for message in messages:
            self._note("message", message.role, message.content)
            self._last = f"tool:{message.extra['name']}" if message.role == "tool" else message.content

    def generate_reply(
        self, *, instructions: str | None = None, tool_choice: ToolChoice = "auto"
    ) -> RealtimeGeneration:
        self._note("reply", instructions)
        return self._say(self._model.answers.get(self._last, self._model.default))

    def speak(self, text: str) -> RealtimeGeneration:
        self._note("speak", text)
        return self._say(Answer(text=text))

    def _say(self, answer: Answer) -> RealtimeGeneration:
        generation = RealtimeGeneration(
            lambda: self._note("cancel"),
            lambda seconds, heard: self._note("cut", round(seconds, 2), heard),
        )
        self._spawn(self._generate(generation, answer))
        return generation

    async def _generate(self, generation: RealtimeGeneration, answer: Answer) -> None:
        await asyncio.sleep(answer.first)
        if answer.error is not None:
            generation.fail(answer.error)
            return
        words = answer.text.split()
        audio = (np.arange(round(self._model.length * RATE)) % 30000 + 1).astype(np.int16)
        speaks = self._model.capabilities.audio_output and words
        for index, word in enumerate(words):
            generation.put(ChatChunk(delta=word if index == 0 else f" {word}"))
            if speaks:
                part = np.array_split(audio, len(words))[index]
                generation.put(ChatChunk(audio=AudioFrame(part, RATE)))
            await asyncio.sleep((answer.whole - answer.first) / len(words))
        generation.put(ChatChunk(tool_calls=list(answer.calls), usage=Usage(10, 5)))
        generation.end()

    def drop(self, error: BaseException | None = None) -> None:
        """The connection breaks."""
        self._events.put_nowait(error or ProviderConnectionError("the line is gone", provider="scripted"))

    async def __aiter__(self) -> AsyncIterator[RealtimeEvent]:
        while True:
            event = await self._events.get()
            if isinstance(event, BaseException):
                raise event
            yield event

    async def aclose(self) -> None:
        self._events.put_nowait(ProviderConnectionError("closed", provider="scripted"))
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
