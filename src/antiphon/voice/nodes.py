"""The default steps of the pipeline: audio to transcripts, conversation to text, text to audio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING, Any

from ..audio import AudioFrame
from ..models.chat_context import ChatContext
from ..models.errors import ConfigurationError
from ..models.llm import LLM, ChatChunk, ask
from ..models.realtime import RealtimeModel
from ..models.stt import STT, RecognizeStream, SpeechEvent
from ..models.tools import FunctionTool
from ..models.tts import TTS, SynthesizedAudio, SynthesizeStream
from ..models.vad import VAD

if TYPE_CHECKING:
    from .agent import Agent, ModelSettings

CLOSE_TIMEOUT = 2.0  # for a provider's stream to end when it is no longer wanted


def resolve_stt(stt: STT | str | None) -> STT | None:
    """A recogniser, from its name if need be. Raises ConfigurationError for a name that cannot be had."""
    if not isinstance(stt, str):
        return stt
    from ..models import registry

    return registry.resolve_stt(stt)


def resolve_llm(llm: LLM | str | None) -> LLM | None:
    """A language model, from its name if need be. Raises ConfigurationError for a name that cannot be had."""
    if not isinstance(llm, str):
        return llm
    from ..models import registry

    return registry.resolve_llm(llm)


def resolve_tts(tts: TTS | str | None) -> TTS | None:
    """A voice, from its name if need be. Raises ConfigurationError for a name that cannot be had."""
    if not isinstance(tts, str):
        return tts
    from ..models import registry

    return registry.resolve_tts(tts)


def resolve_realtime(model: RealtimeModel | str | None) -> RealtimeModel | None:
    """A realtime model, from its name if need be. Raises ConfigurationError for a name that cannot be had."""
    if not isinstance(model, str):
        return model
    from ..models import registry

    return registry.resolve_realtime(model)


def resolve_vad(vad: VAD | str | None) -> VAD | None:
    """A voice activity detector, from its name if need be. Raises ConfigurationError likewise."""
    if not isinstance(vad, str):
        return vad
    from ..models import registry

    return registry.resolve_vad(vad)


def open_stt_stream(stt: STT, vad: VAD | None) -> RecognizeStream:
    """A stream of a recogniser, batch-only ones cut into utterances by `vad`."""
    if stt.capabilities.streaming:
        return stt.stream()
    if vad is None:
        raise ConfigurationError(
            f"{stt.label} recognises whole utterances only: give the session a vad, as silero.VAD.load()"
        )
    from ..models.stream_adapter import STTStreamAdapter

    return STTStreamAdapter(stt, vad).stream()


async def stt_node(
    agent: Agent, audio: AsyncIterable[AudioFrame], model_settings: ModelSettings
) -> AsyncIterator[SpeechEvent]:
    """Recognise with the session's recogniser."""
    session = agent.session
    if session.stt is None:
        raise ConfigurationError("the session has no stt; give AgentSession(stt=...) one")
    stream = open_stt_stream(session.stt, session.vad)
    session.recognition.use_stream(stream)

    async def feed() -> None:
        async for frame in audio:
            stream.push_frame(frame)
        stream.end_input()

    feeding = asyncio.get_running_loop().create_task(feed(), name="stt_node/feed")
    try:
        async for event in stream:
            yield event
    finally:
        await _end(feeding)
        await _close(stream)


async def llm_node(
    agent: Agent, chat_ctx: ChatContext, tools: list[FunctionTool], model_settings: ModelSettings
) -> AsyncIterator[ChatChunk | str]:
    """Ask the agent's model, or the session's."""
    llm = agent.llm or agent.session.llm
    if llm is None:
        raise ConfigurationError("the session has no llm; give AgentSession(llm=...) one")
    stream = ask(llm, chat_ctx, tools, tool_choice=model_settings.tool_choice)
    try:
        async for chunk in stream:
            yield chunk
    finally:
        await _close(stream)


async def tts_node(
    agent: Agent, text: AsyncIterable[str], model_settings: ModelSettings
) -> AsyncIterator[AudioFrame | SynthesizedAudio]:
    """Speak with the agent's voice, or the session's."""
    tts = agent.tts or agent.session.tts
    if tts is None:
        raise ConfigurationError("the session has no tts; give AgentSession(tts=...) one")
    stream = open_tts_stream(tts)

    async def feed() -> None:
        async for piece in text:
            stream.push_text(piece)
        stream.end_input()

    feeding = asyncio.get_running_loop().create_task(feed(), name="tts_node/feed")
    try:
        async for audio in stream:
            yield audio
        if feeding.done() and (error := feeding.exception()) is not None:
            raise error
    finally:
        await _end(feeding)
        await _close(stream)


def open_tts_stream(tts: TTS) -> SynthesizeStream:
    """A stream of a voice, whole-text ones fed by sentence."""
    if tts.capabilities.streaming:
        return tts.stream()
    from ..models.stream_adapter import TTSStreamAdapter

    return TTSStreamAdapter(tts).stream()


async def transcription_node(
    agent: Agent, text: AsyncIterable[str], model_settings: ModelSettings
) -> AsyncIterator[str]:
    """Show what is spoken."""
    async for piece in text:
        yield piece


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=CLOSE_TIMEOUT)


async def _close(stream: Any) -> None:
    """Close a provider's stream; one that hangs is left behind."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await stream.aclose()
    except TimeoutError:
        return
