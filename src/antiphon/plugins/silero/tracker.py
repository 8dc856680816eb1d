"""Where speech starts and ends, to 2 ms, from Silero's verdict on each window and the energy inside it.

The network judges windows of 32 ms and is sure of an end one to three windows late; energy alone cannot tell speech
from noise. So the network decides *whether* a window is speech, and the energy of 2 ms blocks against the noise floor
decides *where* in it speech begins and ends. Pure: no network, no event loop; time is counted in samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...models.errors import ConfigurationError
from ...models.vad import VADEvent, VADEventType

SAMPLE_RATE = 16000
WINDOW = 512
BLOCK = 32  # divides the window and every frame of a whole 2 ms
BLOCKS = WINDOW // BLOCK
NEVER = 1 << 62

_ABOVE_FLOOR = 10 ** (6 / 10)  # energy this far above the noise floor is not noise
_BELOW_LEVEL = 10 ** (-23 / 10)  # energy this far below the speaker's level is room and breath
# Speech less far than this above the floor is measured over 8 ms instead of 2, so that less will do.
_NOISY = 10 ** (20 / 10)
_ABOVE_FLOOR_SMOOTH = 10 ** (3.4 / 10)
_SMOOTH = 4
_LEVEL_MEMORY = 0.9
_FADE = 10 ** (-1 / 10)
_ONSET_GAP = round(0.04 * SAMPLE_RATE)  # the closure of a plosive
_TAIL_GAP = round(0.03 * SAMPLE_RATE)
_TAIL = round(0.16 * SAMPLE_RATE)  # how long a fading end may go on after the network gave up
_RISING = 0.12
_MAX_RISING = 2


@dataclass(frozen=True)
class SpeechSettings:
    """When speech counts; durations in seconds, thresholds as probabilities.

    Attributes:
        min_speech_duration: speech shorter than this is not reported.
        min_silence_duration: an end is reported when this much silence followed the last sample of speech.
        prefix_padding_duration: how far before the network's first verdict an onset may be found; at most 1.
        activation_threshold: a window at or above it is speech.
        deactivation_threshold: a window that follows speech without a gap is speech down to this.
    """

    min_speech_duration: float = 0.05
    min_silence_duration: float = 0.2
    prefix_padding_duration: float = 0.5
    activation_threshold: float = 0.5
    deactivation_threshold: float = 0.35

    def __post_init__(self) -> None:
        if min(self.min_speech_duration, self.min_silence_duration) < 0:
            raise ConfigurationError(
                "silero: min_speech_duration and min_silence_duration must not be negative"
            )
        if not 0 <= self.prefix_padding_duration <= 1:
            raise ConfigurationError("silero: prefix_padding_duration must lie between 0 and 1 second")
        if not 0 < self.deactivation_threshold <= self.activation_threshold < 1:
            raise ConfigurationError(
                "silero: thresholds must satisfy 0 < deactivation_threshold <= activation_threshold < 1"
            )


class SpeechTracker:
    """Turns judged windows into events.

    Feed each window to `window`; call `check_end` whenever the clock has passed `deadline`.

    Attributes:
        speaking: whether a start was reported and its end was not.
        deadline: the sample at which the end is due if nothing more is said; `NEVER` in silence.
        offset: seconds by which the samples lag behind the caller's clock (a resampler's delay).
    """

    __slots__ = (
        "_activation",
        "_deactivation",
        "_emit",
        "_end",
        "_floor",
        "_held",
        "_judged",
        "_last_speech_window",
        "_level",
        "_min_silence",
        "_min_speech",
        "_not_before",
        "_prefix",
        "_probability",
        "_rising",
        "_start",
        "_was_speech",
        "deadline",
        "offset",
        "speaking",
    )

    def __init__(self, settings: SpeechSettings, emit: Callable[[VADEvent], None]) -> None:
        self._emit = emit
        self.offset = 0.0
        self._activation = settings.activation_threshold
        self._deactivation = settings.deactivation_threshold
        self._min_speech = round(settings.min_speech_duration * SAMPLE_RATE)
        self._min_silence = round(settings.min_silence_duration * SAMPLE_RATE)
        self._prefix = round(settings.prefix_padding_duration * SAMPLE_RATE)
        self._not_before = 0
        self._level = 0.0
        self.reset(0)

    def reset(self, clock: int) -> None:
        """Forget the speech in progress; nothing before `clock` (samples) counts any more."""
        self.speaking = False
        self.deadline = NEVER
        self._not_before = clock
        self._start = self._end = self._judged = clock
        self._floor = 0.0
        self._probability = 0.0
        self._held = self._was_speech = False
        self._last_speech_window = clock
        self._rising = 0

    def window(
        self,
        end: int,
        probability: float,
        energies: Sequence[float],
        floor: float,
        past: Callable[[int], Sequence[float]],
    ) -> None:
        """Take the verdict on the window that ends at sample `end`.

        Args:
            end: samples of the stream up to the end of this window.
            probability: of speech in it.
            energies: mean square (full scale = 1) of each of its 2 ms blocks.
            floor: mean square of the background noise.
            past: gives the energies of that many blocks up to the end of this window, oldest first.
        """
        self._probability = probability
        self._judged = end
        self._floor = floor
        if self.speaking:
            self._go_on(end, probability, energies)
        elif probability >= self._activation:
            self._begin(end, energies, past)

    def check_end(self, clock: int, unjudged: Sequence[float]) -> bool:
        """Report the end of speech if it is due.

        Args:
            clock: samples pushed so far.
            unjudged: energies of the whole blocks since the last judged window.

        Returns:
            Whether the end was reported.
        """
        if not self.speaking or clock < self.deadline or self._held:
            return False
        blocks, threshold, _ = self._measure(unjudged)
        if self._judged < self.deadline and blocks and max(blocks) > threshold:
            return False  # something sounds before the deadline: the network must hear it first
        self.speaking = False
        self.deadline = NEVER
        self._not_before = self._end
        self._was_speech = False
        self._emit(
            VADEvent(
                VADEventType.END_OF_SPEECH,
                self._seconds(self._end),
                (self._end - self._start) / SAMPLE_RATE,
                (clock - self._end) / SAMPLE_RATE,
                self._probability,
            )
        )
        return True

    def _begin(self, end: int, energies: Sequence[float], past: Callable[[int], Sequence[float]]) -> None:
        self._level = sum(energies) / BLOCKS
        reach = min(end - self._not_before, WINDOW + self._prefix)
        blocks, threshold, _ = self._measure(past(reach // BLOCK))
        first = last = -1
        position = end
        for energy in reversed(blocks):
            position -= BLOCK
            if energy > threshold:
                first = position
                if last < 0:
                    last = position + BLOCK
            elif first >= 0 and first - position > _ONSET_GAP:
                break
        if first < 0:
            first, last = end - WINDOW, end
        if last - first < self._min_speech:
            return
        self.speaking = True
        self._start, self._end = first, last
        self.deadline = last + self._min_silence
        self._held = self._was_speech = True
        self._last_speech_window = end
        self._rising = 0
        self._emit(
            VADEvent(
                VADEventType.START_OF_SPEECH,
                self._seconds(first),
                (last - first) / SAMPLE_RATE,
                (end - last) / SAMPLE_RATE,
                self._probability,
            )
        )

    def _go_on(self, end: int, probability: float, energies: Sequence[float]) -> None:
        certain = probability >= self._activation
        speech = certain or (self._was_speech and probability >= self._deactivation)
        blocks, threshold, noise = self._measure(energies)
        peak = max(blocks)
        # In noise a network that stays sure, past its usual lag, hears more than the energy shows.
        audible = peak > noise or (certain and self._noisy())
        active = peak > threshold
        self._was_speech = speech
        self._held = speech and audible
        if active and speech:
            self._last_speech_window = end
            self._end = end - WINDOW + BLOCK * (1 + _last_above(blocks, threshold))
            self._rising = 0
            if certain:
                self._level += (1 - _LEVEL_MEMORY) * (sum(energies) / BLOCKS - self._level)
        elif active:
            self._follow_tail(end, blocks, threshold)
            if probability >= _RISING and self._rising < _MAX_RISING and end - self._end > _TAIL_GAP:
                self._rising += 1
                self._held = True  # speech may be setting in again; the network is a window late
        elif certain and peak > noise:
            self._level *= _FADE  # the same turn goes on softer
        self.deadline = self._end + self._min_silence
        self._emit(
            VADEvent(
                VADEventType.CONTINUES,
                self._seconds(end),
                (self._end - self._start) / SAMPLE_RATE,
                0.0 if speech and active else (end - self._end) / SAMPLE_RATE,
                probability,
            )
        )

    def _follow_tail(self, end: int, energies: Sequence[float], threshold: float) -> None:
        """Let a last consonant, which the network takes for noise, belong to the word before it."""
        position = end - WINDOW
        limit = self._last_speech_window + _TAIL
        for energy in energies:
            if position - self._end > _TAIL_GAP or position >= limit:
                return
            position += BLOCK
            if energy > threshold:
                self._end = position

    def _noisy(self) -> bool:
        return self._level < self._floor * _NOISY

    def _measure(self, energies: Sequence[float]) -> tuple[Sequence[float], float, float]:
        """Energies to compare, the least that counts as speech, and the least that is more than noise."""
        if self._noisy():
            noise = self._floor * _ABOVE_FLOOR_SMOOTH
            energies = _smoothed(energies)
        else:
            noise = self._floor * _ABOVE_FLOOR
        return energies, max(noise, self._level * _BELOW_LEVEL), noise

    def _seconds(self, position: int) -> float:
        return max(0.0, position / SAMPLE_RATE - self.offset)


def _smoothed(energies: Sequence[float]) -> list[float]:
    """Means over 8 ms, counted from the end, as many as there were; a rest at the beginning is left out."""
    smooth: list[float] = []
    for start in range(len(energies) % _SMOOTH, len(energies), _SMOOTH):
        smooth += [sum(energies[start : start + _SMOOTH]) / _SMOOTH] * _SMOOTH
    return smooth


def _last_above(energies: Sequence[float], threshold: float) -> int:
    for index in range(BLOCKS - 1, -1, -1):
        if energies[index] > threshold:
            return index
    return -1
