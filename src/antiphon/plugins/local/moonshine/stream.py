"""A running recognition with Moonshine: finds utterances, shows interim texts, and has the final one ready early.

As soon as the caller pauses, the utterance so far is recognised as if it were over. When `flush` says that it is, the
text is usually there; when the caller goes on, it is thrown away.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass

from ....audio import AudioFrame
from ....audio.frame import Int16Array
from ....audio.resample import Resampler
from ....models.errors import ProviderError
from ....models.stt import RecognizeStream, SpeechEvent, SpeechEventType
from ....models.vad import VAD, VADEvent, VADEventType
from .gate import BLOCK, SpeechGate
from .history import AudioHistory
from .model import SAMPLE_RATE, Model
from .transcriber import Transcript, transcribe
from .worker import Job, Priority, Worker

PROVIDER = "local/moonshine-tiny"

BEFORE = SAMPLE_RATE // 5  # audio kept before and after the speech: first and last consonants are faint
AFTER = SAMPLE_RATE // 10
_REMEMBERED = SAMPLE_RATE  # how far back an onset that a VAD reports late may lie
_PAUSE = round(0.07 * SAMPLE_RATE)
_SAME_END = SAMPLE_RATE // 8
_OWN_END = round(0.6 * SAMPLE_RATE)
_INTERIM_EVERY = round(0.5 * SAMPLE_RATE)
_INTERIM_SHARE = 8  # interim texts of long utterances come rarer: at most an eighth of a core
LONGEST = 20 * SAMPLE_RATE
_CUT_FROM = 12 * SAMPLE_RATE
_CUT_TO = 19 * SAMPLE_RATE


@dataclass
class _Utterance:
    """Speech from its first to its last sample; pieces that were cut off because it is long are recognised apart."""

    start: int
    end: int
    pieces: list[Job[Transcript]]
    powers: list[float]
    powers_from: int
    likely: Job[Transcript] | None = None
    likely_end: int = -1
    interim: Job[Transcript] | None = None
    interim_end: int = 0
    active: int = 0


class MoonshineStream(RecognizeStream):
    """See `models.stt.RecognizeStream`.

    Events of an utterance: START_OF_SPEECH, INTERIM each half second while the caller speaks, FINAL, END_OF_SPEECH.
    There is no FINAL where nothing was said that is worth believing; END_OF_SPEECH comes all the same, also after a
    `flush` without any speech.

    Without `flush`, without hints and without a `vad`, an utterance ends after 0.6 s in which nothing sounds.
    """

    def __init__(self, model: Model, worker: Worker, vad: VAD | None = None) -> None:
        self._model = model
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[SpeechEvent | ProviderError | None] = asyncio.Queue()
        self._gate = SpeechGate()
        self._history = AudioHistory()
        self._resampler: Resampler | None = None
        self._not_before = 0
        self._utterance: _Utterance | None = None
        self._ending: deque[tuple[list[Job[Transcript]], int]] = deque()
        self._last_interim = ""
        self._interim_cost = 0.0
        self._hinted = False
        self._ended = self._closed = False
        self._vad = vad.stream(self._on_vad_event) if vad is not None else None

    def push_frame(self, frame: AudioFrame) -> None:
        if self._ended or self._closed:
            return
        if self._vad is not None:
            self._vad.push_frame(frame)
        samples = self._converted(frame)
        # A long frame is taken in steps, so that pauses inside it are seen.
        for start in range(0, samples.size, 2 * BLOCK):
            self._take(samples[start : start + 2 * BLOCK])

    def flush(self) -> None:
        if not self._ended and not self._closed:
            self._finish()

    def end_input(self) -> None:
        if self._ended or self._closed:
            return
        if self._utterance is not None:
            self._finish()
        self._ended = True
        self._close_vad()
        self._settle()

    def speech_started(self, at: float) -> None:
        """A voice detector heard speech begin.

        From the first hint on, the stream begins utterances by hints alone and ends them by `flush` alone.

        Args:
            at: seconds of audio pushed into this stream.
        """
        if self._ended or self._closed:
            return
        start = max(self._position(at), self._not_before)
        if self._utterance is None:
            self._begin(start)
        elif not self._hinted or start < self._utterance.start:
            self._utterance.start = start
        self._hinted = True

    def speech_ended(self, at: float) -> None:
        """A voice detector heard the last sample of speech at `at` seconds; call it right before `flush`."""
        utterance = self._utterance
        if utterance is None or self._closed:
            return
        end = max(self._position(at), utterance.start)
        if abs(end - utterance.end) > _SAME_END:  # else the recognition that has begun is as good
            utterance.end = end

    async def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        while True:
            event = await self._events.get()
            if event is None:
                self._events.put_nowait(None)  # whoever iterates again ends, too
                return
            if isinstance(event, ProviderError):
                raise event
            yield event

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._close_vad()
        if self._utterance is not None:
            self._cancel(self._utterance)
        for jobs, _ in self._ending:
            for job in jobs:
                job.cancel()
        self._ending.clear()
        self._utterance = None
        self._events.put_nowait(None)

    def _converted(self, frame: AudioFrame) -> Int16Array:
        mono = frame.to_mono().samples
        if frame.sample_rate == SAMPLE_RATE:
            return mono
        if self._resampler is None or self._resampler.input_rate != frame.sample_rate:
            self._resampler = Resampler(frame.sample_rate, SAMPLE_RATE)
        return self._resampler.push(mono)

    def _position(self, at: float) -> int:
        delay = self._resampler.delay if self._resampler is not None else 0.0
        return max(0, round((at + delay) * SAMPLE_RATE))

    def _take(self, samples: Int16Array) -> None:
        before = self._gate.position
        self._history.append(samples)
        active = self._gate.active_blocks
        powers = self._gate.push(samples)
        utterance = self._utterance
        if utterance is None:
            if self._gate.onset is not None and not self._hinted:
                self._begin(max(self._gate.onset, self._not_before))
            self._history.drop_before(self._history.end - _REMEMBERED)
            return
        if not utterance.powers:
            utterance.powers_from = before
        utterance.powers += powers
        utterance.active += self._gate.active_blocks - active
        utterance.end = max(utterance.end, self._gate.last_active)
        self._follow(utterance)

    def _begin(self, start: int) -> None:
        active = max(1, self._gate.active_blocks)
        end = max(start, self._gate.last_active)
        self._utterance = _Utterance(start, end, [], [], self._gate.position, active=active)
        self._utterance.interim_end = start
        self._last_interim = ""
        self._emit(SpeechEvent(SpeechEventType.START_OF_SPEECH))

    def _follow(self, utterance: _Utterance) -> None:
        silence = self._history.end - utterance.end
        if silence >= _PAUSE:
            if utterance.likely_end != utterance.end:
                for stale in (utterance.likely, utterance.interim):
                    if stale is not None:
                        stale.cancel()
                utterance.likely = self._recognise(utterance, Priority.LIKELY)
                utterance.likely_end = utterance.end
        elif self._interim_due(utterance):
            utterance.interim_end = utterance.end
            utterance.interim = self._recognise(utterance, Priority.INTERIM)
        if silence >= _OWN_END and not self._hinted and self._vad is None:
            self._finish()
        elif self._history.end - utterance.start > LONGEST:
            self._cut(utterance)

    def _interim_due(self, utterance: _Utterance) -> bool:
        pause = max(_INTERIM_EVERY, round(self._interim_cost * _INTERIM_SHARE * SAMPLE_RATE))
        running = utterance.interim is not None and not utterance.interim.future.done()
        return utterance.end - utterance.interim_end >= pause and not running and self._worker.idle

    def _recognise(
        self, utterance: _Utterance, priority: Priority, end: int | None = None
    ) -> Job[Transcript]:
        last = utterance.end + AFTER if end is None else end
        samples = self._history.between(max(utterance.start - BEFORE, self._not_before), last)
        work = functools.partial(_transcribe, self._model, samples, utterance.active * 0.01, priority)
        job = Job(priority, work)
        job.future.add_done_callback(functools.partial(self._done, job))
        self._worker.submit(job)
        return job

    def _done(self, job: Job[Transcript], _: Future[Transcript]) -> None:
        """On the worker's thread: hand the result to the event loop, if that still runs."""
        if job.cancelled or self._closed or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._on_result, job)

    def _on_result(self, job: Job[Transcript]) -> None:
        if self._closed or job.cancelled:
            return
        utterance = self._utterance
        if utterance is not None and job is utterance.interim and job.future.exception() is None:
            self._show(utterance, job)
        self._settle()

    def _show(self, utterance: _Utterance, job: Job[Transcript]) -> None:
        self._interim_cost = job.seconds
        text = _joined([*utterance.pieces, job])
        if text and text != self._last_interim:
            self._last_interim = text
            self._emit(
                SpeechEvent(SpeechEventType.INTERIM, text, job.future.result().confidence, language="en")
            )

    def _cut(self, utterance: _Utterance) -> None:
        """Give the first part of a long utterance to the model; cut where it is quietest."""
        first = (utterance.start + _CUT_FROM - utterance.powers_from) // BLOCK
        last = (utterance.start + _CUT_TO - utterance.powers_from) // BLOCK
        powers = utterance.powers
        index = min(range(first, last), key=lambda block: sum(powers[block : block + 10]))
        position = utterance.powers_from + (index + 5) * BLOCK
        piece = self._recognise(utterance, Priority.FINAL, end=position)
        for job in (utterance.likely, utterance.interim):
            if job is not None:
                job.cancel()
        utterance.pieces.append(piece)
        utterance.likely, utterance.likely_end, utterance.interim = None, -1, None
        utterance.start = utterance.interim_end = position
        utterance.active = max(1, utterance.active - (index + 5))
        self._not_before = position
        del utterance.powers[: index + 5]
        utterance.powers_from = position
        self._history.drop_before(position)

    def _finish(self) -> None:
        utterance, self._utterance = self._utterance, None
        end = self._history.end
        jobs: list[Job[Transcript]] = []
        if utterance is not None:
            end = utterance.end
            jobs = [*utterance.pieces, self._last_hearing(utterance)]
            if utterance.interim is not None:
                utterance.interim.cancel()
        self._ending.append((jobs, end))
        self._not_before = self._history.end
        self._gate.restart()
        self._settle()

    def _last_hearing(self, utterance: _Utterance) -> Job[Transcript]:
        """The recognition that began in the pause, if nothing sounded since; else a new one."""
        likely = utterance.likely
        if likely is not None and utterance.likely_end == utterance.end:
            if not likely.future.done():
                self._worker.submit(likely, Priority.FINAL)
            return likely
        if likely is not None:
            likely.cancel()
        return self._recognise(utterance, Priority.FINAL)

    def _settle(self) -> None:
        """Emit the finals that are ready, in order, and the end of the stream after the last."""
        while self._ending and all(job.future.done() for job in self._ending[0][0]):
            jobs, end = self._ending.popleft()
            failed = next((error for job in jobs if (error := job.future.exception()) is not None), None)
            if failed is not None:
                self._emit(
                    ProviderError(f"Moonshine could not recognise an utterance: {failed}", provider=PROVIDER)
                )
                continue
            text = _joined(jobs)
            if text:
                confidence = min(job.future.result().confidence for job in jobs if job.future.result().text)
                self._emit(
                    SpeechEvent(
                        SpeechEventType.FINAL, text, confidence, language="en", end_at=end / SAMPLE_RATE
                    )
                )
            self._emit(SpeechEvent(SpeechEventType.END_OF_SPEECH, end_at=end / SAMPLE_RATE))
        if self._ended and not self._ending:
            self._events.put_nowait(None)

    def _emit(self, event: SpeechEvent | ProviderError) -> None:
        self._events.put_nowait(event)

    def _on_vad_event(self, event: VADEvent) -> None:
        if event.type is VADEventType.START_OF_SPEECH:
            self.speech_started(event.at)
        elif event.type is VADEventType.END_OF_SPEECH:
            self.speech_ended(event.at)
            self.flush()

    def _close_vad(self) -> None:
        if self._vad is not None:
            self._vad.close()

    def _cancel(self, utterance: _Utterance) -> None:
        for job in (utterance.likely, utterance.interim, *utterance.pieces):
            if job is not None:
                job.cancel()


def _transcribe(
    model: Model, samples: Int16Array, seconds: float, priority: Priority, cancelled: Callable[[], bool]
) -> Transcript:
    return transcribe(
        model, samples, speech_seconds=seconds, thorough=priority is not Priority.INTERIM, cancelled=cancelled
    )


def _joined(jobs: list[Job[Transcript]]) -> str:
    """The texts of finished jobs as one; a piece that is not ready is left out."""
    done = [job for job in jobs if job.future.done() and job.future.exception() is None]
    return " ".join(text for job in done if (text := job.future.result().text))
