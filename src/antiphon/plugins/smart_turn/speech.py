"""What of a recording is speech: the network takes silence and noise for finished turns, so it must not be asked about them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .features import RATE

Float64Array = NDArray[np.float64]

TAIL = 0.1  # seconds kept after the last sound, for what fades
MIN_VOICED = 0.1  # seconds of voice below which it is no speech

_HOP = RATE // 100
_SPAN = 4 * _HOP  # 40 ms, two periods of the deepest voice
_FAINTEST = -65.0  # dBFS that no speech is as low as
_MIN_DYNAMICS = 8.0  # dB from the quiet frames to the loud ones; steady noise has less
_BELOW_PEAK = 30.0  # dB below the loud frames where a sound in silence ends
_ABOVE_FLOOR = 0.4  # share of the dynamics above the quiet frames where one in noise does
_SMOOTHED = 5  # frames that a level is the mean of
_PITCH_LAGS = slice(RATE // 400, RATE // 60)
_PERIODIC = 0.5  # correlation with itself a period later
_RISE = 0.3  # by which it must exceed what lies before: low noise only falls off


def spoken_part(samples: NDArray[np.int16]) -> NDArray[np.int16] | None:
    """The recording without the silence after its last sound; None where nobody speaks.

    Args:
        samples: mono at `RATE`, shape (n,).
    """
    count = samples.size // _HOP
    if count * _HOP < MIN_VOICED * RATE:
        return None
    frames = samples[: count * _HOP].reshape(count, _HOP) / 32768
    power = np.convolve(np.mean(frames**2, axis=1), np.full(_SMOOTHED, 1 / _SMOOTHED), "same")
    levels = 10 * np.log10(np.maximum(power, 1e-9))
    floor, peak = np.percentile(levels, [10, 97])
    if peak < _FAINTEST or peak - floor < _MIN_DYNAMICS:
        return None
    lowest = max(peak - _BELOW_PEAK, floor + _ABOVE_FLOOR * (peak - floor), _FAINTEST)
    sounding = np.flatnonzero(levels > lowest)
    if _voiced(samples, sounding) * 0.01 < MIN_VOICED:
        return None
    return samples[: round((sounding[-1] + 1) * _HOP + TAIL * RATE)]


def _voiced(samples: NDArray[np.int16], sounding: NDArray[np.intp]) -> int:
    """How many of these frames repeat themselves as a voice does."""
    starts = sounding[sounding * _HOP + _SPAN <= samples.size] * _HOP
    if not starts.size:
        return 0
    spans = np.stack([samples[start : start + _SPAN] for start in starts]) / 32768
    spans = np.diff(spans, axis=1)  # low noise repeats itself too, until its slope is taken
    spans -= spans.mean(axis=1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(spans, n=2 * _SPAN)) ** 2
    repeats = np.fft.irfft(spectrum)[:, : _PITCH_LAGS.stop]
    # Fewer samples overlap at longer lags.
    repeats = repeats / np.maximum(repeats[:, :1], 1e-12) / (1 - np.arange(_PITCH_LAGS.stop) / _SPAN)
    best = repeats[:, _PITCH_LAGS].max(axis=1)
    before = np.minimum.accumulate(repeats, axis=1)
    at = repeats[:, _PITCH_LAGS].argmax(axis=1) + _PITCH_LAGS.start
    rise = best - before[np.arange(len(at)), at]
    return int(np.count_nonzero((best >= _PERIODIC) & (rise >= _RISE)))
