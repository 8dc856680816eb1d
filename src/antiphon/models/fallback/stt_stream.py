"""One recognition that survives the failure of the recognisers behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from ...audio import AudioFrame
from ..audio_history import AudioHistory
from ..deadlines import close_within
from ..errors import ProviderConnectionError, ProviderTimeout
from ..stt import STT, RecognizeStream, SpeechEvent, SpeechEventType
from .chain import ProviderChain, as_provider_error

ANSWERED_BEFORE = 1.5  # seconds: a final transcript this long before a flush was the answer to it


@dataclass(frozen=True)
class StreamLimits:
    """Limits of one stream.

    Attributes:
        answer_timeout: seconds that a recogniser has to react to `flush` or `end_input`.
        max_replay: seconds of audio, at most, that a recogniser taking over is given.
        max_retry: how many times the whole chain is gone through again before the stream fails.
        retry_interval: seconds before it is.
        steady_after: seconds that a recogniser must have lasted for its failure to count as the first again.
    """

    answer_timeout: float = 5.0
    max_replay: float = 30.0
    max_retry: int = 1
    retry_interval: float = 0.5
    steady_after: float = 10.0


class STTFallbackStream(RecognizeStream):
    """Frames in, events out, from whichever recogniser works.

    Times in events are those of this stream. A recogniser that does not react to `flush` is not condemned at once: it
    may have heard only noise. Another one is given the same audio, and if that one hears words the first has failed.

    Raises:
        AllProvidersFailed: every recogniser failed, `max_retry` times more.
    """

    def __init__(self, chain: ProviderChain[STT], limits: StreamLimits) -> None:
        self._chain = chain
        self._limits = limits
        self._history = AudioHistory(limits.max_replay)
        self._settled = 0.0  # all before this time has its final transcript
        self._flushed_at: float | None = None  # a flush that no recogniser has answered
        self._final_at = float("-inf")  # when, on the audio clock, the last final transcript came
        self._more_said = False  # an interim transcript came since then
        self._in_speech = False
        self._ended = False
        self._closed = False
        self._iterated = False
        # The recogniser at work.
        self._provider: STT | None = None
        self._stream: RecognizeStream | None = None
        self._opened_at = 0.0
        self._offset = 0.0
        self._scope: asyncio.Timeout | None = None
        self._broken: Exception | None = None
        self._proven = False  # it has given a final transcript
        # What happened since the last final transcript.
        self._tried: list[STT] = []
        self._silent: list[STT] = []
        self._causes: list[BaseException] = []
        self._rounds = 0

    def push_frame(self, frame: AudioFrame) -> None:
        """
        Raises:
            ValueError: the frame's format is not that of the frames before.
        """
        if self._closed or self._ended:
            return
        self._history.push(frame)
        self._to_stream(lambda stream: stream.push_frame(frame))

    def flush(self) -> None:
        if self._closed or self._ended:
            return
        if self._owes_answer():
            self._flushed_at = self._history.end
        self._to_stream(lambda stream: stream.flush())
        self._arm()

    def end_input(self) -> None:
        if self._closed or self._ended:
            return
        self._ended = True
        if self._owes_answer():
            self._flushed_at = self._history.end
        self._to_stream(lambda stream: stream.end_input())
        self._arm()

    async def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        if self._iterated:
            raise RuntimeError("a recognition can be iterated once only")
        self._iterated = True
        while not self._closed and await self._choose():
            try:
                async with aclosing(self._events()) as events:
                    async for event in events:
                        yield event
                return
            except Exception as error:  # whatever a vendor's code raises, the next vendor may do better
                self._note_failure(error)
            finally:
                await self._close_stream()

    async def aclose(self) -> None:
        self._closed = True
        self._fire()
        await self._close_stream()

    async def _choose(self) -> bool:
        """Pick the recogniser whose turn it is; False if there is nothing left to recognise.

        Raises:
            AllProvidersFailed: they all had their turns.
        """
        while True:
            for attempt in self._chain.attempts():
                if attempt.provider not in self._tried:
                    self._provider = attempt.provider
                    return not self._closed
            self._tried.clear()
            if self._silent:  # those that work agree that there was nothing to hear
                if self._ended:
                    return False
                self._silent.clear()
                self._causes.clear()
                self._settle(self._flushed_at or self._history.end)
                self._flushed_at = None
                continue
            if self._rounds >= self._limits.max_retry:
                raise self._chain.all_failed("could go on recognising", self._causes)
            self._rounds += 1
            await asyncio.sleep(self._limits.retry_interval)

    def _open(self) -> RecognizeStream:
        """Open the chosen recogniser's stream and give it the audio that has no final transcript yet."""
        assert self._provider is not None
        self._broken = None
        self._proven = False
        self._opened_at = asyncio.get_running_loop().time()
        stream = self._provider.stream()
        self._stream = stream
        frames = self._history.frames_since(self._settled)
        position = self._offset = self._history.end - sum(frame.duration for frame in frames)
        flush_at = self._flushed_at
        for frame in frames:
            stream.push_frame(frame)
            position += frame.duration
            if flush_at is not None and position >= flush_at - 1e-6:
                stream.flush()
                flush_at = None
        if self._ended:
            stream.end_input()
        return stream

    async def _events(self) -> AsyncGenerator[SpeechEvent, None]:
        iterator = aiter(self._open())
        while True:
            try:
                async with asyncio.timeout(None) as scope:
                    self._scope = scope
                    self._arm()
                    event = await anext(iterator)
            except StopAsyncIteration:
                if self._closed or self._ended:
                    return
                raise ProviderConnectionError(
                    f"{self._label} ended the recognition while audio kept coming", provider=self._label
                ) from None
            except TimeoutError:
                if not scope.expired():
                    raise
                if self._closed or (self._ended and self._flushed_at is None and self._broken is None):
                    return  # nothing is missing but the end
                raise self._broken or self._no_answer() from None
            finally:
                self._scope = None
            passed = self._take(event)
            if passed is not None:
                yield passed

    def _take(self, event: SpeechEvent) -> SpeechEvent | None:
        """Note what an event of the recogniser means; None if the listener has it already."""
        event = _moved(event, self._offset)
        match event.type:
            case SpeechEventType.START_OF_SPEECH:
                known, self._in_speech = self._in_speech, True
                return None if known else event
            case SpeechEventType.END_OF_SPEECH:
                known, self._in_speech = self._in_speech, False
                return event if known else None
            case SpeechEventType.INTERIM:
                self._more_said = True
            case SpeechEventType.FINAL:
                return self._take_final(event)
        return event

    def _take_final(self, event: SpeechEvent) -> SpeechEvent | None:
        end = event.end_at
        if end is None and event.words:
            end = event.words[-1].end
        if end is not None and end <= self._settled + 0.01:
            return None  # said already, by the recogniser before
        if end is None:
            end = self._history.end if self._flushed_at is None else self._flushed_at
        self._settle(end)
        self._final_at, self._more_said, self._flushed_at = self._history.end, False, None
        provider = self._provider
        assert provider is not None
        for silent in self._silent:
            if silent is not provider:
                self._chain.failed(
                    silent, ProviderTimeout(f"{silent.label} did not hear what {self._label} did")
                )
        self._chain.worked(provider)
        self._proven = True
        self._start_over()
        return event

    def _settle(self, time: float) -> None:
        self._settled = max(self._settled, time)
        self._history.forget_before(self._settled)

    def _owes_answer(self) -> bool:
        """Whether a flush now should bring a final transcript; not where the recogniser saw the end before the caller."""
        return self._more_said or self._history.end - self._final_at > ANSWERED_BEFORE

    def _start_over(self) -> None:
        self._tried.clear()
        self._silent.clear()
        self._causes.clear()
        self._rounds = 0

    def _note_failure(self, error: Exception) -> None:
        provider = self._provider
        assert provider is not None
        if isinstance(error, _NoAnswer):
            self._silent.append(provider)
            self._tried.append(provider)
            return
        lasted = asyncio.get_running_loop().time() - self._opened_at
        if lasted >= self._limits.steady_after:
            self._start_over()
        elif not self._proven:
            self._tried.append(provider)
        self._chain.failed(provider, error)
        self._causes.append(as_provider_error(error, provider.label))

    def _arm(self) -> None:
        """Start the deadline when an answer becomes due; one that runs already is left alone."""
        scope = self._scope
        if scope is None or scope.expired() or scope.when() is not None:
            return
        if self._broken is not None or self._closed:
            self._fire()
        elif self._ended or self._flushed_at is not None:
            scope.reschedule(asyncio.get_running_loop().time() + self._limits.answer_timeout)

    def _fire(self) -> None:
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    def _to_stream(self, act: Callable[[RecognizeStream], None]) -> None:
        if self._stream is None or self._broken is not None:
            return  # it is kept, and given to the recogniser that takes over
        try:
            act(self._stream)
        except Exception as error:  # raised from the iteration, which then goes on with the next
            self._broken = error
            self._fire()

    async def _close_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await close_within(stream.aclose(), self._label)

    def _no_answer(self) -> ProviderTimeout:
        return _NoAnswer(
            f"{self._label} did not react within {self._limits.answer_timeout:g} s", provider=self._label
        )

    @property
    def _label(self) -> str:
        return self._provider.label if self._provider else self._chain.label


class _NoAnswer(ProviderTimeout):
    """A flush was not answered, which may mean that there was nothing to hear."""


def _moved(event: SpeechEvent, seconds: float) -> SpeechEvent:
    """The event with its times in this stream's instead of the recogniser's."""
    if not seconds:
        return event
    words = event.words and [replace(w, start=w.start + seconds, end=w.end + seconds) for w in event.words]
    end = None if event.end_at is None else event.end_at + seconds
    return replace(event, words=words, end_at=end)
