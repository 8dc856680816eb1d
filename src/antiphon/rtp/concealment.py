"""Bridges lost audio by repeating the last pitch period, softer and softer.

Source: the approach of ITU-T G.711 appendix I (09/1999): pitch by cross-correlation, a quarter period of overlap, no change for the first
10 ms, then fading to silence at 60 ms.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from ..audio.frame import Int16Array

_LONGEST_PERIOD = 0.015  # seconds: 66 Hz
_SHORTEST_PERIOD = 0.005
_WINDOW = 0.02
_STEADY = 0.01
_SILENT_AFTER = 0.06

Float32Array = NDArray[np.float32]


class Concealment:
    """Of one stream of mono audio. Give it everything that is played, lost or not."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._needed = round(sample_rate * (_WINDOW + _LONGEST_PERIOD)) + 1
        self._recent: deque[Int16Array] = (
            deque()
        )  # what was played last, at least `_needed` samples once there are
        self._held = 0
        self._period: Float32Array | None = None
        self._lost = 0  # samples of the present loss
        self._phase = 0

    @property
    def active(self) -> bool:
        """Whether what was played last was made up, so that what comes must be blended."""
        return self._lost > 0

    def heard(self, samples: Int16Array) -> Int16Array:
        """Audio that came; returned with its beginning blended into what was made up before it."""
        played = samples
        if self._lost:
            played = self._blend(samples)
            self._lost, self._period = 0, None
        self._remember(played)
        return played

    def conceal(self, count: int) -> Int16Array:
        """Make up `count` samples."""
        if self._period is None:
            self._period, self._phase = self._last_period(), 0
        made = self._repeat(count) * self._fade(count)
        self._lost += count
        result: Int16Array = np.rint(made).astype(np.int16)
        self._remember(result)
        return result

    def silence(self, count: int) -> Int16Array:
        """The far end is silent for `count` samples."""
        self._lost, self._period = 0, None
        result = np.zeros(count, dtype=np.int16)
        self._remember(result)
        return result

    def _remember(self, samples: Int16Array) -> None:
        """Keeps the arrays as they are: joining them waits for a loss."""
        self._recent.append(samples)
        self._held += samples.size
        while self._held - self._recent[0].size >= self._needed:
            self._held -= self._recent.popleft().size

    def _history(self) -> Float32Array:
        history = np.zeros(self._needed, dtype=np.float32)
        if self._recent:
            joined = np.concatenate(self._recent)[-self._needed :]
            history[self._needed - joined.size :] = joined
        return history

    def _last_period(self) -> Float32Array:
        """The newest pitch period of the history, with its beginning blended so that it joins its own end."""
        history, window = self._history(), round(self._rate * _WINDOW)
        shortest, longest = round(self._rate * _SHORTEST_PERIOD), round(self._rate * _LONGEST_PERIOD)
        recent = history[-window:]
        scores = np.empty(longest - shortest + 1, dtype=np.float32)
        for index, lag in enumerate(range(shortest, longest + 1)):
            earlier = history[-window - lag : -lag]
            energy = float(np.dot(earlier, earlier)) + 1.0
            scores[index] = float(np.dot(recent, earlier)) / np.sqrt(energy)
        lag = shortest + int(scores.argmax())
        period = history[-lag:].copy()
        overlap = lag // 4
        before = history[-lag - overlap : -lag]
        rise = np.linspace(0, 1, overlap, endpoint=False, dtype=np.float32)
        period[-overlap:] = period[-overlap:] * (1 - rise) + before * rise
        return period

    def _repeat(self, count: int) -> Float32Array:
        assert self._period is not None
        places = (self._phase + np.arange(count)) % self._period.size
        self._phase = (self._phase + count) % self._period.size
        return self._period[places]

    def _fade(self, count: int) -> Float32Array:
        at = (self._lost + np.arange(count, dtype=np.float32)) / self._rate
        return np.clip(1 - (at - _STEADY) / (_SILENT_AFTER - _STEADY), 0, 1).astype(np.float32)

    def _blend(self, samples: Int16Array) -> Int16Array:
        overlap = min(samples.size, round(self._rate * 0.004))
        made = self._repeat(overlap) * self._fade(overlap) if self._period is not None else 0.0
        rise = np.linspace(0, 1, overlap, endpoint=False, dtype=np.float32)
        blended = samples.copy()
        blended[:overlap] = np.rint(samples[:overlap] * rise + made * (1 - rise)).astype(np.int16)
        return blended
