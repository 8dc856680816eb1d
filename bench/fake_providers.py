"""Speech and language providers that only keep time: what remains when they are subtracted is the session's own cost.

The three callables say what each does and when; the rig and the session benches give different ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from antiphon.audio import AudioFrame
from antiphon.models.chat_context import ChatContext, ChatMessage
from antiphon.models.llm import LLM, ChatChunk, LLMCapabilities, LLMStream, ToolChoice
from antiphon.models.stt import STT, RecognizeStream, SpeechEvent, SpeechEventType, STTCapabilities
from antiphon.models.tools import FunctionTool
from antiphon.models.tts import TTS, ChunkedStream, SynthesizedAudio

Transcribe = Callable[[], Awaitable[str]]
Tokens = Callable[[], AsyncIterator[str]]
Speak = Callable[[str], AsyncIterator[bytes]]


class FakeSTT(STT):
    """Gives the transcript that `transcribe` returns for each `flush`."""

    def __init__(self, transcribe: Transcribe) -> None:
        super().__init__(capabilities=STTCapabilities(streaming=True, manual_flush=True))
        self._transcribe = transcribe

    async def recognize(self, audio: AudioFrame) -> str:
        return await self._transcribe()

    def stream(self) -> RecognizeStream:
        return _FakeRecognizeStream(self._transcribe)


class _FakeRecognizeStream(RecognizeStream):
    def __init__(self, transcribe: Transcribe) -> None:
        self._transcribe = transcribe
        self._events: asyncio.Queue[SpeechEvent | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()

    def push_frame(self, frame: AudioFrame) -> None:
        pass

    def flush(self) -> None:
        task = asyncio.get_running_loop().create_task(self._finalise())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finalise(self) -> None:
        self._events.put_nowait(SpeechEvent(SpeechEventType.FINAL, await self._transcribe()))

    def end_input(self) -> None:
        self._events.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._events.put_nowait(None)


class FakeLLM(LLM):
    """Streams the tokens of `tokens` for each request."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    @property
    def capabilities(self) -> LLMCapabilities:
        return LLMCapabilities(streaming=True)

    def chat(
        self,
        chat_ctx: ChatContext | list[ChatMessage],
        tools: Sequence[FunctionTool] | None = None,
        temperature: float = 0.7,
        *,
        tool_choice: ToolChoice = "auto",
    ) -> LLMStream:
        return _FakeLLMStream(self._tokens)


class _FakeLLMStream(LLMStream):
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def __aiter__(self) -> AsyncIterator[ChatChunk]:
        async for token in self._tokens():
            yield ChatChunk(delta=token)


class FakeTTS(TTS):
    """Speaks each text with the 24 kHz mono PCM of `speak`; takes whole texts only."""

    def __init__(self, speak: Speak, sample_rate: int = 24000) -> None:
        super().__init__(sample_rate=sample_rate)
        self._speak = speak

    def synthesize(self, text: str) -> ChunkedStream:
        return _FakeChunkedStream(self._speak, text, self.sample_rate)


class _FakeChunkedStream(ChunkedStream):
    def __init__(self, speak: Speak, text: str, sample_rate: int) -> None:
        self._speak = speak
        self._text = text
        self._sample_rate = sample_rate

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        text = self._text
        async for pcm in self._speak(self._text):
            yield SynthesizedAudio(AudioFrame(pcm, self._sample_rate), text=text)
            text = ""
