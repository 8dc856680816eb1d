"""Several voices as one that fails less often."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace

import numpy as np

from ...audio import AudioFrame, Resampler
from ..deadlines import STALL_TIMEOUT, TimedStream, close_within
from ..errors import ProviderError
from ..stream_adapter_tts import SentenceStream
from ..tokenize import SentenceSplitter, Splitter
from ..tts import TTS, ChunkedStream, SynthesizedAudio, SynthesizeStream, TTSCapabilities
from .chain import Attempt, BackOff, OnAvailabilityChanged, ProviderChain, as_provider_error
from .tts_stream import FallbackSynthesizeStream

ATTEMPT_TIMEOUT = 5.0
RETRIES = 1  # of a sentence, by the voice that has begun the reply


class TTSFallbackAdapter(TTS):
    """Speaks with the next voice when one fails, hangs or gives no audio.

    Never in the middle of a reply: once audio of a reply was passed on, the rest of it stays with that voice, which
    tries once more what failed and goes on where it broke off. A voice that takes text as it is written gets it so; the
    others, and those that stand in for them, speak sentence by sentence.
    """

    def __init__(
        self,
        providers: Sequence[TTS],
        *,
        sample_rate: int | None = None,
        attempt_timeout: float = ATTEMPT_TIMEOUT,
        stall_timeout: float = STALL_TIMEOUT,
        back_off: BackOff | None = None,
        on_availability_changed: OnAvailabilityChanged | None = None,
        splitter_factory: Callable[[], Splitter] = SentenceSplitter,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """
        Args:
            providers: in order of preference.
            sample_rate: of the audio given, whichever voice speaks; by default that of the first. It is mono.
            attempt_timeout: seconds until a voice gives its first audio.
            stall_timeout: seconds between one piece of audio and the next.
            back_off: how long a voice that failed is left out.
            on_availability_changed: called when a voice fails and when it works again; it must not block.
            splitter_factory: makes what cuts streamed text into sentences.
            clock: seconds, instead of the event loop's.

        Raises:
            ConfigurationError: no providers were given.
        """
        self._chain: ProviderChain[TTS] = ProviderChain(
            providers,
            attempt_timeout=attempt_timeout,
            back_off=back_off,
            on_availability_changed=on_availability_changed,
            clock=clock,
        )
        timestamps = all(provider.capabilities.word_timestamps for provider in providers)
        super().__init__(
            sample_rate=sample_rate or providers[0].sample_rate,
            capabilities=TTSCapabilities(streaming=True, word_timestamps=timestamps),
        )
        self._stall_timeout = stall_timeout
        self._splitter_factory = splitter_factory

    @property
    def label(self) -> str:
        return self._chain.label

    def synthesize(self, text: str) -> ChunkedStream:
        return self._new_reply().synthesize(text)

    def stream(self) -> SynthesizeStream:
        attempts = self._chain.attempts()
        if not attempts[0].provider.capabilities.streaming:
            return self._by_sentence()
        return FallbackSynthesizeStream(
            self._chain,
            attempts,
            sample_rate=self._sample_rate,
            stall_timeout=self._stall_timeout,
            by_sentence=self._by_sentence,
        )

    async def prewarm(self) -> None:
        await self._chain.prewarm()

    async def update_options(self, *, voice: str | None = None, model: str | None = None) -> None:
        """Change the options of the first provider; the names of voices mean nothing to the others."""
        await self._chain.providers[0].update_options(voice=voice, model=model)

    async def aclose(self) -> None:
        await self._chain.aclose()

    def _by_sentence(self, attempts: list[Attempt[TTS]] | None = None) -> SynthesizeStream:
        return SentenceStream(self._new_reply(attempts), self._splitter_factory())

    def _new_reply(self, attempts: list[Attempt[TTS]] | None = None) -> _ReplyVoice:
        return _ReplyVoice(self._chain, attempts, self._sample_rate, self._stall_timeout)


class _ReplyVoice(TTS):
    """The voice of one reply: open until its first audio, and fixed from then on."""

    def __init__(
        self,
        chain: ProviderChain[TTS],
        candidates: list[Attempt[TTS]] | None,
        sample_rate: int,
        stall_timeout: float,
    ) -> None:
        super().__init__(sample_rate=sample_rate)
        self.chain = chain
        self.candidates = candidates
        self.stall_timeout = stall_timeout
        self.chosen: Attempt[TTS] | None = None

    @property
    def label(self) -> str:
        return self.chain.label

    def synthesize(self, text: str) -> ChunkedStream:
        return FallbackSpeech(self, text)

    def attempts(self) -> list[Attempt[TTS]]:
        return (
            [self.chosen] * (1 + RETRIES) if self.chosen else list(self.candidates or self.chain.attempts())
        )


class FallbackSpeech(ChunkedStream):
    """One text, spoken by the reply's voice or by the first that can.

    Raises:
        AllProvidersFailed: no voice gave any audio.
        ProviderError: the voice failed after the reply had begun, and once more when it tried again.
    """

    def __init__(self, reply: _ReplyVoice, text: str) -> None:
        self._reply = reply
        self._text = text
        self._given = 0  # samples passed on
        self._current: ChunkedStream | None = None
        self._timed: TimedStream[SynthesizedAudio] | None = None
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        reply, chain = self._reply, self._reply.chain
        causes: list[BaseException] = []
        attempts = reply.attempts()
        while attempts:
            attempt = attempts.pop(0)
            label = attempt.provider.label
            try:
                async with aclosing(self._speech_of(attempt)) as pieces:
                    async for piece in pieces:
                        if reply.chosen is None:
                            reply.chosen = attempt
                            attempts = [attempt] * RETRIES
                        self._given += piece.frame.samples.size
                        yield piece
                if not self._given and not self._closed and any(c.isalnum() for c in self._text):
                    raise ProviderError(
                        f"{label} gave no audio for a text of {len(self._text)} characters", provider=label
                    )
                chain.worked(attempt.provider)
                return
            except Exception as error:  # whatever a vendor's code raises, the next vendor may do better
                if self._is_closed():
                    return
                chain.failed(attempt.provider, error)
                causes.append(as_provider_error(error, label))
        if reply.chosen is not None:
            raise causes[-1]
        raise chain.all_failed(f"could say {self._text!r}", causes)

    async def aclose(self) -> None:
        self._closed = True
        if self._timed is not None:
            self._timed.stop()
        if self._current is not None:
            await close_within(self._current.aclose(), self._reply.label)

    def _is_closed(self) -> bool:
        return self._closed

    async def _speech_of(self, attempt: Attempt[TTS]) -> AsyncGenerator[SynthesizedAudio, None]:
        """The speech in the reply's format, without what was passed on before the attempt."""
        label = attempt.provider.label
        to_skip, goes_on = self._given, self._given > 0
        resampler: Resampler | None = None
        stream = self._current = attempt.provider.synthesize(self._text)
        timed = self._timed = TimedStream(
            stream,
            first_timeout=attempt.timeout,
            stall_timeout=self._reply.stall_timeout,
            provider=label,
            begins=lambda piece: bool(piece.frame.samples.size),
        )
        try:
            async with aclosing(aiter(timed)) as pieces:
                async for piece in pieces:
                    mono = piece.frame.to_mono()
                    resampler = resampler or Resampler(mono.sample_rate, self._reply.sample_rate)
                    frame, to_skip = _skip(resampler.push(mono), to_skip)
                    if frame.samples.size:
                        yield replace(piece, frame=frame, text="" if goes_on else piece.text)
            if resampler is not None:
                frame, _ = _skip(resampler.flush(), to_skip)
                if frame.samples.size:
                    yield SynthesizedAudio(frame)
        finally:
            await close_within(stream.aclose(), label)


def _skip(frame: AudioFrame, samples: int) -> tuple[AudioFrame, int]:
    """The mono frame without its first `samples`, and how many are still to be skipped after it."""
    if samples <= 0:
        return frame, 0
    rest = np.ascontiguousarray(frame.samples[samples:])
    return AudioFrame(rest, frame.sample_rate), max(0, samples - frame.samples.size)
