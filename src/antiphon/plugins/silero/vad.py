"""`silero.VAD`: the Silero voice activity detector behind the `models.vad` interface."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from ...audio import AudioFrame
from ...audio.frame import Int16Array
from ...audio.resample import Resampler
from ...models import vad
from ...models.vad import VADCapabilities, VADEvent
from . import network
from .batching import Batcher, batcher_of_running_loop, block_energies
from .network import CONTEXT, Float32Array
from .tracker import SAMPLE_RATE, WINDOW, SpeechSettings, SpeechTracker

_FULL = CONTEXT + WINDOW


class VAD(vad.VAD):
    """Silero VAD. All streams of an event loop share one network, which judges them in batches.

    Events name the first and the last sample of speech to about 10 ms. An end is reported when
    `min_silence_duration` has passed since the last sample of speech, not at the next border of a window or a frame.
    """

    def __init__(self, settings: SpeechSettings | None = None) -> None:
        """Does not load the model; `prewarm`, `load` or the first stream does."""
        super().__init__(capabilities=VADCapabilities(update_interval=WINDOW / SAMPLE_RATE))
        self._settings = settings or SpeechSettings()

    @classmethod
    def load(
        cls,
        *,
        min_speech_duration: float = 0.05,
        min_silence_duration: float = 0.2,
        prefix_padding_duration: float = 0.5,
        activation_threshold: float = 0.5,
        deactivation_threshold: float = 0.35,
    ) -> VAD:
        """Load the model and choose when speech counts.

        Args:
            min_speech_duration: seconds; shorter speech is not reported.
            min_silence_duration: seconds of silence after the last sample of speech until its end is reported.
            prefix_padding_duration: seconds (at most 1) that an onset may lie before the network's first verdict.
            activation_threshold: probability from which a window is speech.
            deactivation_threshold: probability down to which a window that follows speech is speech.

        Raises:
            ConfigurationError: a package is missing, or a value makes no sense.
        """
        settings = SpeechSettings(
            min_speech_duration=min_speech_duration,
            min_silence_duration=min_silence_duration,
            prefix_padding_duration=prefix_padding_duration,
            activation_threshold=activation_threshold,
            deactivation_threshold=deactivation_threshold,
        )
        network.load()
        return cls(settings)

    @property
    def settings(self) -> SpeechSettings:
        return self._settings

    def stream(self, on_event: Callable[[VADEvent], None]) -> VADStream:
        """Open a stream; see `models.vad.VAD.stream`.

        Opened inside a running event loop it must be used on that loop. Opened outside of any, it judges each window
        during `push_frame`, as suits files and tests.
        """
        return VADStream(batcher_of_running_loop(network.load()), self._settings, on_event)

    async def prewarm(self) -> None:
        """Load the model off the event loop."""
        await asyncio.to_thread(network.load)


class VADStream(vad.VADStream):
    """The detector on one caller's audio. Frames of any rate, channel count and length."""

    def __init__(
        self, batcher: Batcher, settings: SpeechSettings, on_event: Callable[[VADEvent], None]
    ) -> None:
        self.index = -1
        self.wakes_at = settings.activation_threshold
        self._batcher = batcher
        self._settings = settings
        self._on_event = on_event
        self._tracker = SpeechTracker(settings, self._deliver)
        self._clock = 0  # samples pushed, at 16 kHz
        self._judged = 0  # samples judged
        self._fill = CONTEXT
        self._waiting: deque[Int16Array] = deque()  # what came after a window that is not judged yet
        self._resampler: Resampler | None = None
        self._frame_size = 0
        self._end_timer: asyncio.TimerHandle | None = None
        self._closed = False
        batcher.open(self)

    def push_frame(self, frame: AudioFrame) -> None:
        if self._closed:
            return
        if frame.sample_rate == SAMPLE_RATE and frame.num_channels == 1:
            samples = frame.samples
        else:
            samples = self._converted(frame)
        self._clock += samples.size
        self._frame_size = samples.size
        if self._end_timer is not None:
            self._disarm()
        if self._fill == _FULL:
            self._waiting.append(samples)
        else:
            self._take(samples)
        self._look_for_end()

    def reset(self) -> None:
        if self._closed:
            return
        self._disarm()
        self._waiting.clear()
        self._fill = CONTEXT
        self._judged = self._clock
        self._batcher.reset(self)
        self._tracker.reset(self._clock)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._disarm()
        self._waiting.clear()
        self._batcher.close(self)

    def attach(self, row: Float32Array) -> None:
        self._row = row

    def judged(self, probability: float, energies: Sequence[float] | None, floor: float) -> None:
        self._judged += WINDOW
        self._fill = CONTEXT
        if energies is not None:
            was_speaking = self._tracker.speaking
            self._tracker.window(self._judged, probability, energies, floor, self._past)
            if self._closed:
                return
            if self._tracker.speaking is not was_speaking:
                self._batcher.set_speaking(self, self._tracker.speaking)
        while self._waiting and self._fill < _FULL:
            self._take(self._waiting.popleft())
        if self._fill < _FULL:
            self._look_for_end()

    def _take(self, samples: Int16Array) -> None:
        """Fill the row; when it is full, hand it in and keep the rest for later."""
        end = self._fill + samples.size
        if end < _FULL:
            self._row[self._fill : end] = samples
            self._fill = end
            return
        used = _FULL - self._fill
        self._row[self._fill :] = samples[:used]
        self._fill = _FULL
        if end > _FULL:
            self._waiting.appendleft(samples[used:])
        self._batcher.submit(self)

    def _look_for_end(self) -> None:
        """Report the end of speech when it is due; at a time between two frames, by a timer."""
        missing = self._tracker.deadline - self._clock
        if missing <= 0:
            self._end_is_due()
        elif missing < self._frame_size and self._batcher.loop is not None:
            self._disarm()
            self._end_timer = self._batcher.loop.call_later(missing / SAMPLE_RATE, self._end_is_due)

    def _end_is_due(self) -> None:
        """The deadline has passed; a window that waits must be judged before that counts."""
        self._end_timer = None
        if self._fill == _FULL:
            self._batcher.judge_now()  # leads back to `_look_for_end`, with what the window says
        elif not self._closed:
            self._check_end(max(self._clock, self._tracker.deadline))

    def _disarm(self) -> None:
        if self._end_timer is not None:
            self._end_timer.cancel()
            self._end_timer = None

    def _check_end(self, clock: int) -> None:
        unjudged = block_energies(self._row[CONTEXT : self._fill])
        if self._tracker.check_end(clock, unjudged) and not self._closed:
            self._batcher.set_speaking(self, False)

    def _past(self, blocks: int) -> list[float]:
        return self._batcher.recent_energies(self, blocks)

    def _deliver(self, event: VADEvent) -> None:
        if self._closed:
            return
        try:
            self._on_event(event)
        except Exception as error:
            # One caller's handler must not stop the other callers' windows in the same batch.
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                raise error from None
            loop.call_exception_handler({"message": "a handler of voice activity failed", "exception": error})

    def _converted(self, frame: AudioFrame) -> Int16Array:
        mono = frame.to_mono().samples
        if frame.sample_rate == SAMPLE_RATE:
            return mono
        if self._resampler is None or self._resampler.input_rate != frame.sample_rate:
            self._resampler = Resampler(frame.sample_rate, SAMPLE_RATE)
            self._tracker.offset = self._resampler.delay
        return self._resampler.push(mono)
