"""What the network sees of a sound: the log-mel spectrogram of Whisper's recognisers.

Source: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision", section 2.2; the mel scale and the
filters' equal areas are those of Slaney 1998, "Auditory Toolbox".
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]

RATE = 16000
SECONDS = 8
BANDS = 80
FRAMES = SECONDS * 100

_WINDOW, _HOP = 400, 160
_RANGE = 8.0  # powers of ten below the loudest point that are told apart
_LINEAR_STEP = 200 / 3  # Hz a mel up to 1 kHz
_CORNER = 1000.0
_LOG_STEP = np.log(6.4) / 27


def log_mel(samples: NDArray[np.int16]) -> Float32Array:
    """The spectrogram of the last `SECONDS` of a sound; silence goes before a shorter one.

    Args:
        samples: mono at `RATE`, shape (n,).

    Returns:
        Shape (80, 800): bands of rising frequency, frames of 10 ms.
    """
    sound = np.zeros(SECONDS * RATE)
    last = samples[-sound.size :]
    if last.size:
        sound[-last.size :] = last / 32768
    sound = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
    edged = np.pad(sound, _WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(edged, _WINDOW)[::_HOP][:FRAMES]
    power = np.abs(np.fft.rfft(windows * _hann())) ** 2
    levels = np.log10(np.maximum(_filters() @ power.T, 1e-10))
    levels = np.maximum(levels, levels.max() - _RANGE)
    scaled: Float32Array = ((levels + 4) / 4).astype(np.float32)
    return scaled


@cache
def _hann() -> Float64Array:
    """The periodic window: one sample longer, without its last."""
    window: Float64Array = np.hanning(_WINDOW + 1)[:-1]
    return window


@cache
def _filters() -> Float64Array:
    """Triangles over the power spectrum, shape (80, 201), with their corners evenly spaced in mel up to half the rate."""
    corners = _hertz(np.linspace(0, _mel(RATE / 2), BANDS + 2))
    frequencies = np.linspace(0, RATE / 2, _WINDOW // 2 + 1)
    low, peak, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (frequencies - low) / (peak - low)
    falling = (high - frequencies) / (high - peak)
    triangles: Float64Array = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    return triangles


def _mel(frequency: float) -> float:
    return float(_CORNER / _LINEAR_STEP + np.log(frequency / _CORNER) / _LOG_STEP)


def _hertz(mel: Float64Array) -> Float64Array:
    corner = _CORNER / _LINEAR_STEP
    above = _CORNER * np.exp(_LOG_STEP * (mel - corner))
    found: Float64Array = np.where(mel < corner, mel * _LINEAR_STEP, above)
    return found
