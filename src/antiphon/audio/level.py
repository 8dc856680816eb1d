"""How loud audio is.

0 dBFS is the largest value of int16 (32,768) held for ever, so a sine of full scale has -3.01 dBFS RMS and 0 dBFS
peak. All functions take the last axis as time and keep the others, for batches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .frame import AudioFrame, Int16Array

SILENCE_DBFS = -96.0
"""What digital silence is reported as: just below one bit of int16."""

Levels = NDArray[np.float64]


def rms_dbfs(audio: AudioFrame | Int16Array) -> Levels:
    """Root mean square in dBFS.

    Args:
        audio: a frame (all channels together), or an int16 array of shape (..., samples).

    Returns:
        float64 array of shape (...), so a number for one frame; `SILENCE_DBFS` at least, also for no samples.
    """
    samples = _samples(audio).astype(np.float64)
    power = np.einsum("...i,...i->...", samples, samples) / max(samples.shape[-1], 1)
    return _decibels(np.sqrt(power))


def peak_dbfs(audio: AudioFrame | Int16Array) -> Levels:
    """Largest magnitude in dBFS; arguments and result as for `rms_dbfs`."""
    return _decibels(_peak(audio))


def peak(audio: AudioFrame | Int16Array) -> Levels:
    """Largest magnitude as a part of full scale, 0.0 to 1.0; arguments and shape as for `rms_dbfs`."""
    return _peak(audio) / 32768.0


def _samples(audio: AudioFrame | Int16Array) -> Int16Array:
    return audio.samples if isinstance(audio, AudioFrame) else audio


def _peak(audio: AudioFrame | Int16Array) -> Levels:
    samples = _samples(audio)
    high = samples.max(axis=-1, initial=0).astype(np.float64)
    low = samples.min(axis=-1, initial=0).astype(np.float64)
    return np.asarray(np.maximum(high, -low))


def _decibels(magnitude: Levels) -> Levels:
    floor = 32768.0 * 10 ** (SILENCE_DBFS / 20)
    return np.asarray(20 * np.log10(np.maximum(magnitude, floor) / 32768.0))
