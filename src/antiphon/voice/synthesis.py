"""Turns the text of one segment into audio in the output's format."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import TYPE_CHECKING

from ..audio import AudioFrame, Resampler
from ..models.errors import ProviderError, ProviderTimeout
from ..models.stt import WordInfo
from ..models.tts import SynthesizedAudio
from .agent import ModelSettings, overrides
from .latency import ModelRequest
from .speech_segment import SpeechSegment
from .text_feed import TextFeed

if TYPE_CHECKING:
    from .conversation import Conversation
    from .reply import Reply


class Synthesis:
    """One segment's way through the voice."""

    def __init__(
        self,
        conversation: Conversation,
        reply: Reply,
        segment: SpeechSegment,
        audio: AsyncIterable[AudioFrame] | None = None,
    ) -> None:
        self._conversation = conversation
        self._reply = reply
        self._segment = segment
        self._audio = audio
        self._resampler: Resampler | None = None
        self._announced = False
        self._request: ModelRequest | None = None
        segment.feed.on_first = self._ask

    async def run(self) -> None:
        """Synthesise, once that is allowed, until the text ends. A failure is spoken about, never raised."""
        conversation, segment, reply = self._conversation, self._segment, self._reply
        shown = self._show_otherwise()
        await reply.may_synthesise.wait()
        if segment.feed.text:
            self._ask()
        try:
            if self._audio is None and not conversation.can_speak(reply.agent):
                await _read(segment.feed)
            else:
                await self._forward(self._audio or reply.agent.tts_node(segment.feed, ModelSettings()))
                if not segment.has_audio and _is_speakable(segment.text):
                    raise ProviderError(f"{self._label} gave no audio", provider=self._label)
                conversation.health.worked("tts")
        except Exception as error:
            segment.feed.close()
            self._answered(type(error).__name__)
            await self._speak_apology(conversation.health.failed("tts", error))
        if shown is not None:
            segment.heard.show_as(await shown)
        self._flush_resampler()
        self._answered()
        segment.end()
        if segment.ready:
            self._announce()
        else:
            segment.close()  # nothing to hear, as when the model only calls a tool
            reply.handle.part_ended()

    def _ask(self) -> None:
        """There is text for the voice: from now on it takes time."""
        conversation, reply = self._conversation, self._reply
        asked = reply.may_synthesise.is_set() and conversation.can_speak(reply.agent)
        if asked and self._request is None and self._audio is None:
            self._request = reply.latency.request("tts", self._label, conversation.clock.now())

    def _answered(self, error: str = "") -> None:
        if self._request is not None and self._request.ended is None:
            self._request.ended, self._request.error = self._conversation.clock.now(), error

    @property
    def _label(self) -> str:
        tts = self._reply.agent.tts or self._conversation.tts
        return tts.label if tts is not None else type(self._reply.agent).__name__

    def _show_otherwise(self) -> asyncio.Task[str] | None:
        """Start the agent's own transcription node, if it has one."""
        agent = self._reply.agent
        if not overrides(agent, "transcription_node"):
            return None
        self._segment.feed.mirror = mirror = TextFeed()
        if self._segment.feed.text:
            mirror.put(self._segment.feed.text)
        if self._segment.feed.closed:
            mirror.close()

        async def collect() -> str:
            pieces = [piece async for piece in agent.transcription_node(mirror, ModelSettings())]
            return "".join(pieces)

        return self._conversation.scope.spawn(collect(), name=f"{self._reply.handle.id} transcription")

    async def _forward(self, pieces: AsyncIterable[AudioFrame | SynthesizedAudio]) -> None:
        """Pass audio on as it comes. Once the text is complete, each piece has a deadline."""
        clock = self._conversation.clock
        limit = self._conversation.options.tts_timeout
        deadline = asyncio.timeout(None)

        def rearm() -> None:
            deadline.reschedule(clock.loop_time(clock.now() + limit))

        try:
            async with deadline:
                self._segment.feed.on_close = rearm
                if self._segment.feed.closed:
                    rearm()
                async for piece in pieces:
                    self._push(piece)
                    if self._segment.feed.closed:
                        rearm()
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise ProviderTimeout(
                f"{self._label} sent no audio for {limit:g} seconds", provider=self._label
            ) from error
        finally:
            self._segment.feed.on_close = None
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    def _push(self, piece: AudioFrame | SynthesizedAudio) -> None:
        text: str = ""
        words: list[WordInfo] | None = None
        if isinstance(piece, SynthesizedAudio):
            words = piece.word_info if isinstance(piece.word_info, list) else None
            text, piece = piece.text, piece.frame
        frame = self._fit(piece.to_mono())
        self._segment.push(frame, text, words)
        if frame.samples.size:
            self._announce()

    def _fit(self, frame: AudioFrame) -> AudioFrame:
        """Convert to the output's sample rate."""
        output = self._conversation.playout.output
        if output is None or frame.sample_rate == output.sample_rate:
            return frame
        if self._resampler is None or self._resampler.input_rate != frame.sample_rate:
            self._flush_resampler()
            self._resampler = Resampler(frame.sample_rate, output.sample_rate)
        return self._resampler.push(frame)

    def _flush_resampler(self) -> None:
        if self._resampler is not None:
            self._segment.push(self._resampler.flush())
            self._resampler = None

    def _announce(self) -> None:
        """The listener could begin to hear it."""
        if not self._announced and self._segment.ready:
            self._announced = True
            if self._request is not None and self._request.ended is None:
                self._request.first = self._conversation.clock.now()
            self._reply.latency.mark("tts_first_audio", self._conversation.clock.now())
            self._conversation.segment_ready(self._reply)

    async def _speak_apology(self, apology: str) -> None:
        """Say in another voice that this one failed."""
        voice = self._conversation.health.emergency_voice(self._reply.agent.tts or self._conversation.tts)
        if voice is None or not apology:
            return
        limit = self._conversation.options.tts_timeout
        try:
            async with asyncio.timeout(limit):
                async for piece in voice.synthesize(apology):
                    self._push(piece)
        except (ProviderError, TimeoutError) as error:
            self._conversation.health.report("tts", error)


async def _read(feed: TextFeed) -> None:
    async for _ in feed:
        pass


def _is_speakable(text: str) -> bool:
    return any(char.isalnum() for char in text)
