"""A realtime model in the places of a recogniser's detector, a language model and a voice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from ..audio import AudioFrame
from ..models.chat_context import ChatContext, ChatMessage
from ..models.errors import ProviderError
from ..models.llm import LLM, ChatChunk, LLMCapabilities, LLMStream, ToolChoice
from ..models.realtime import InputSpeechStarted, InputSpeechStopped, RealtimeGeneration
from ..models.tools import FunctionTool
from ..models.tts import TTS, ChunkedStream, SynthesizedAudio, SynthesizeStream, TTSCapabilities
from ..models.vad import VAD, VADEvent, VADEventType, VADStream
from .realtime_link import RealtimeLink


class RealtimeLLM(LLM):
    """Writes, and perhaps speaks, replies on the session's realtime connection."""

    def __init__(self, link: RealtimeLink) -> None:
        self._link = link

    @property
    def capabilities(self) -> LLMCapabilities:
        return LLMCapabilities(function_calling=True, audio=self._link.model.capabilities.audio_output)

    @property
    def label(self) -> str:
        return self._link.model.label

    def chat(
        self,
        chat_ctx: ChatContext | list[ChatMessage],
        tools: Sequence[FunctionTool] | None = None,
        temperature: float = 0.7,
        *,
        tool_choice: ToolChoice = "auto",
    ) -> LLMStream:
        return _RealtimeReply(self._link, list(chat_ctx), list(tools or ()), tool_choice)

    async def prewarm(self) -> None:
        with suppress(ProviderError):  # the link tells of it
            await self._link.connected()


class _RealtimeReply(LLMStream):
    def __init__(
        self,
        link: RealtimeLink,
        messages: list[ChatMessage],
        tools: list[FunctionTool],
        tool_choice: ToolChoice,
    ) -> None:
        self._link, self._messages, self._tools = link, messages, tools
        self._tool_choice: ToolChoice = tool_choice
        self._generation: RealtimeGeneration | None = None
        self._whole = False

    async def __aiter__(self) -> AsyncIterator[ChatChunk]:
        generation = await self._link.generate(self._messages, self._tools, self._tool_choice)
        self._generation = generation
        on_cut: Callable[[float, str], None] | None = generation.cut
        async for chunk in generation:
            for call in chunk.tool_calls or ():
                self._link.asked_for(call.id)
            yield replace(chunk, on_cut=on_cut)
            on_cut = None
        self._whole = True

    async def aclose(self) -> None:
        if self._generation is not None and not self._whole:
            self._generation.cut(0.0, "")


class RealtimeVoice(TTS):
    """Says the application's own words, such as an announcement, in the voice of the realtime model."""

    def __init__(self, link: RealtimeLink) -> None:
        super().__init__(
            sample_rate=link.model.output_sample_rate, capabilities=TTSCapabilities(streaming=True)
        )
        self._link = link

    @property
    def label(self) -> str:
        return self._link.model.label

    def synthesize(self, text: str) -> ChunkedStream:
        return _RealtimeSpeech(self._link, text)

    def stream(self) -> SynthesizeStream:
        return _RealtimeSpeechStream(self._link)


class _RealtimeSpeech(ChunkedStream):
    def __init__(self, link: RealtimeLink, text: str) -> None:
        self._link, self._text = link, text

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        if (voice := self._link.emergency_voice) is not None:
            async for piece in voice.synthesize(self._text):
                yield piece
            return
        generation = (await self._link.connected()).speak(self._text)
        text = self._text
        try:
            async for chunk in generation:
                if chunk.audio is not None:
                    yield SynthesizedAudio(chunk.audio, text)
                    text = ""
        finally:
            generation.cancel()


class _RealtimeSpeechStream(SynthesizeStream):
    """Collects the whole text, because the model is asked once for all of it."""

    def __init__(self, link: RealtimeLink) -> None:
        self._link = link
        self._parts: list[str] = []
        self._ended = asyncio.Event()

    def push_text(self, text: str) -> None:
        self._parts.append(text)

    def end_input(self) -> None:
        self._ended.set()

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        await self._ended.wait()
        if text := "".join(self._parts).strip():
            pieces: Any = _RealtimeSpeech(self._link, text).__aiter__()
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece


class RealtimeVAD(VAD):
    """Reports the user's speech as the realtime model hears it."""

    def __init__(self, link: RealtimeLink) -> None:
        super().__init__()
        self._link = link

    def stream(self, on_event: Callable[[VADEvent], None]) -> VADStream:
        return _RealtimeVADStream(self._link, on_event, self.capabilities.update_interval)


class _RealtimeVADStream(VADStream):
    def __init__(self, link: RealtimeLink, on_event: Callable[[VADEvent], None], interval: float) -> None:
        self._on_event, self._interval = on_event, interval
        self._loop = asyncio.get_running_loop()
        self._received = 0.0
        self._began: float | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._link = link
        link.on_speech = self._take

    def push_frame(self, frame: AudioFrame) -> None:
        self._received += frame.duration

    def reset(self) -> None:
        self._began = None
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def close(self) -> None:
        self.reset()
        self._link.on_speech = None

    def _take(self, event: InputSpeechStarted | InputSpeechStopped) -> None:
        began = self._began
        if isinstance(event, InputSpeechStarted) and began is None:
            self._began = event.at
            self._on_event(VADEvent(VADEventType.START_OF_SPEECH, at=event.at))
            self._continue()
        elif isinstance(event, InputSpeechStopped) and began is not None:
            self.reset()
            at = max(began, event.at)
            silence = max(0.0, self._received - at)
            self._on_event(VADEvent(VADEventType.END_OF_SPEECH, at, at - began, silence))

    def _continue(self) -> None:
        """The model reports only changes; between them the speech goes on."""
        if self._began is not None:
            duration = max(0.0, self._received - self._began)
            self._tick = self._loop.call_later(self._interval, self._continue)
            self._on_event(VADEvent(VADEventType.CONTINUES, at=self._received, speech_duration=duration))
