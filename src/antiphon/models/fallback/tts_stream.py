"""A reply whose text is still being written, spoken by the first voice of a chain that can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace

import numpy as np

from ...audio import AudioFrame, Resampler
from ..deadlines import GuardedSynthesizeStream, close_within
from ..errors import AllProvidersFailed, ProviderError
from ..tts import TTS, SynthesizedAudio, SynthesizeStream
from .chain import Attempt, ProviderChain, as_provider_error

RETRIES = 1  # in a row without any new audio, by the voice that has begun the reply
MOST_RETRIES = 3  # in one reply

BySentence = Callable[[list[Attempt[TTS]]], SynthesizeStream]


class FallbackSynthesizeStream(SynthesizeStream):
    """Gives text to a voice as it comes. Until the first audio any voice may take over, and hears all of the text.

    From then on the reply stays with its voice. A stream that breaks off is opened once more with the text from the last
    passage that the voice named, or from the beginning, and goes on where it broke off.

    Raises:
        AllProvidersFailed: no voice gave any audio.
        ProviderError: the voice failed after the reply had begun, and again when it tried once more.
    """

    def __init__(
        self,
        chain: ProviderChain[TTS],
        attempts: list[Attempt[TTS]],
        *,
        sample_rate: int,
        stall_timeout: float,
        by_sentence: BySentence,
    ) -> None:
        """
        Args:
            chain: whose voices.
            attempts: whom to try, in order.
            sample_rate: of the audio given.
            stall_timeout: seconds between one piece of audio and the next.
            by_sentence: speaks with some of the voices, of which the first takes whole texts only.
        """
        self._chain = chain
        self._attempts = attempts
        self._sample_rate = sample_rate
        self._stall_timeout = stall_timeout
        self._by_sentence = by_sentence
        self._text = ""
        self._flushed = self._ended = self._closed = False
        self._given = 0  # samples passed on
        self._passage = (0, 0)  # where in the text, and at which sample, the last named passage begins
        self._named = 0  # where in the text it ends
        self._current: SynthesizeStream | None = None
        self._refusal: Exception | None = None  # of text, by the voice that speaks
        self._waiting: asyncio.Timeout | None = None

    # -- text in ---------------------------------------------------------------------------------------------------

    def push_text(self, text: str) -> None:
        """
        Raises:
            RuntimeError: after `end_input`.
        """
        if self._ended and not self._closed:
            raise RuntimeError("push_text after end_input")
        self._text += text
        self._flushed = False
        self._tell(lambda stream: stream.push_text(text))

    def flush(self) -> None:
        self._flushed = True
        self._tell(lambda stream: stream.flush())

    def end_input(self) -> None:
        self._ended = True
        self._tell(lambda stream: stream.end_input())

    def _tell(self, what: Callable[[SynthesizeStream], None]) -> None:
        """Pass text on to the voice that speaks; a voice that does not take it has failed."""
        if self._current is None:
            return
        try:
            what(self._current)
        except Exception as error:  # whatever a vendor's code raises, the writer of the text is not to blame
            self._current, self._refusal = None, error
            self._wake()

    # -- audio out -------------------------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        causes: list[BaseException] = []
        attempts, retries, fruitless = list(self._attempts), 0, 0
        while attempts and not self._closed:
            if not self._given and not attempts[0].provider.capabilities.streaming:
                async for piece in self._speak_by_sentence(attempts, causes):
                    yield piece
                return
            attempt, before = attempts.pop(0), self._given
            try:
                async with aclosing(self._speech_of(attempt)) as pieces:
                    async for piece in pieces:
                        self._given += piece.frame.samples.size
                        yield piece
                self._check_audio(attempt.provider.label)
                self._chain.worked(attempt.provider)
                return
            except Exception as error:  # whatever a vendor's code raises, the next vendor may do better
                if self._is_closed():
                    return
                self._chain.failed(attempt.provider, error)
                causes.append(as_provider_error(error, attempt.provider.label))
            if self._given:
                retries, fruitless = retries + 1, 0 if self._given > before else fruitless + 1
                attempts = [attempt] if fruitless < RETRIES and retries <= MOST_RETRIES else []
        if self._given:
            raise causes[-1]
        if not self._closed:
            raise self._chain.all_failed("could speak", causes)

    async def aclose(self) -> None:
        self._closed = True
        self._wake()
        if self._current is not None:
            await close_within(self._current.aclose(), self._chain.label)

    def _wake(self) -> None:
        """End the wait for audio."""
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())

    def _is_closed(self) -> bool:
        return self._closed

    def _check_audio(self, label: str) -> None:
        if not self._given and not self._closed and any(char.isalnum() for char in self._text):
            raise ProviderError(
                f"{label} gave no audio for a text of {len(self._text)} characters", provider=label
            )

    async def _speech_of(self, attempt: Attempt[TTS]) -> AsyncGenerator[SynthesizedAudio, None]:
        """The rest of the reply, in its format."""
        label = attempt.provider.label
        guarded = GuardedSynthesizeStream(
            attempt.provider.stream(), attempt.timeout, self._stall_timeout, provider=label
        )
        begins, at = self._passage
        held = ""  # text whose first audio is still to come
        resampler: Resampler | None = None
        try:
            self._replay(guarded, begins)
            async with aclosing(self._pieces(guarded)) as pieces:
                async for piece in pieces:
                    mono = piece.frame.to_mono()
                    resampler = resampler or Resampler(mono.sample_rate, self._sample_rate)
                    held = held or self._note_passage(piece.text, at)
                    frame = resampler.push(mono)
                    new = _without_first(frame, self._given - at)
                    at += frame.samples.size
                    if new.samples.size:
                        yield replace(piece, frame=new, text=held)
                        held = ""
            if resampler is not None:
                rest = _without_first(resampler.flush(), self._given - at)
                if rest.samples.size:
                    yield SynthesizedAudio(rest, held)
        finally:
            self._current = None
            await close_within(guarded.aclose(), label)

    def _replay(self, stream: SynthesizeStream, begins: int) -> None:
        """Give a stream the text there is already, and what comes from now on."""
        self._refusal = None
        if self._text[begins:]:
            stream.push_text(self._text[begins:])
        if self._ended:
            stream.end_input()
        elif self._flushed:
            stream.flush()
        self._current = stream

    async def _pieces(self, stream: SynthesizeStream) -> AsyncGenerator[SynthesizedAudio, None]:
        """What a stream gives until it ends or this one is closed."""
        iterator = aiter(stream)
        try:
            while not self._closed:
                try:
                    async with asyncio.timeout(None) as self._waiting:
                        piece = await anext(iterator)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if self._is_closed():
                        return
                    if self._refusal is not None:
                        raise self._refusal from None
                    raise
                finally:
                    self._waiting = None
                yield piece
        finally:
            if isinstance(iterator, AsyncGenerator):
                await close_within(iterator.aclose(), self._chain.label)

    def _note_passage(self, text: str, at: int) -> str:
        """Remember where a passage begins; returns its text unless it was passed on before."""
        found = self._text.find(text.strip(), self._passage[0]) if text.strip() else -1
        if found < 0:
            return text if at >= self._given else ""
        if found < self._named:
            return ""
        self._passage, self._named = (found, at), found + len(text.strip())
        return text

    async def _speak_by_sentence(
        self, attempts: list[Attempt[TTS]], causes: list[BaseException]
    ) -> AsyncIterator[SynthesizedAudio]:
        """Leave the reply to voices of which the first takes whole texts only."""
        stream = self._by_sentence(attempts)
        try:
            self._replay(stream, 0)
            async for piece in stream:
                yield piece
        except AllProvidersFailed as error:
            raise self._chain.all_failed("could speak", [*causes, *error.causes]) from error
        finally:
            self._current = None
            await close_within(stream.aclose(), self._chain.label)


def _without_first(frame: AudioFrame, samples: int) -> AudioFrame:
    """The mono frame without its first `samples`."""
    if samples <= 0:
        return frame
    return AudioFrame(np.ascontiguousarray(frame.samples[samples:]), frame.sample_rate)
