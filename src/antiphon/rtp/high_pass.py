"""A high-pass filter for the audio of many calls at once: hum and rumble below speech are cut.

A frame of one length goes through the second-order filter of `audio.filters` as one matrix product, with the state that each call
left after its last frame. Source: R. Bristow-Johnson, "Audio EQ Cookbook" (W3C Note, 2021).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..audio.filters import high_pass_coefficients
from ..audio.frame import Int16Array

Float32Array = NDArray[np.float32]

CUTOFF = 80.0  # Hz
STATE = 4


def new_state() -> Float32Array:
    """The state of a call at its beginning."""
    return np.zeros(STATE, dtype=np.float32)


def high_pass(frames: Int16Array, states: Float32Array, sample_rate: int) -> tuple[Int16Array, Float32Array]:
    """Filter one frame of each call.

    Args:
        frames: shape (calls, samples).
        states: shape (calls, 4), as this returned for the frames before.
        sample_rate: of all of them.

    Returns:
        The filtered frames and the new states.
    """
    matrix = _matrix(frames.shape[1], sample_rate)
    inputs = frames.astype(np.float32)
    outputs = inputs @ matrix[STATE:] + states @ matrix[:STATE]
    after = np.stack([inputs[:, -1], inputs[:, -2], outputs[:, -1], outputs[:, -2]], axis=1)
    return np.clip(np.rint(outputs), -32768, 32767).astype(np.int16), after


@lru_cache(maxsize=16)
def _matrix(samples: int, sample_rate: int) -> Float32Array:
    """Rows: x[-1], x[-2], y[-1], y[-2], then the frame; columns: the outputs."""
    (b0, b1, b2), (a1, a2) = high_pass_coefficients(CUTOFF, sample_rate)
    rows = np.eye(STATE + samples)
    outputs = np.zeros((STATE + samples, samples))
    for n in range(samples):
        x0 = rows[:, STATE + n]
        x1 = rows[:, STATE + n - 1] if n > 0 else rows[:, 0]
        x2 = rows[:, STATE + n - 2] if n > 1 else rows[:, 1 - n]
        y1 = outputs[:, n - 1] if n > 0 else rows[:, 2]
        y2 = outputs[:, n - 2] if n > 1 else rows[:, 3 - n]
        outputs[:, n] = b0 * x0 + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
    return outputs.astype(np.float32)
