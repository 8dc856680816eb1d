"""Second-order filters for streams, without a Python loop over samples.

Coefficients: R. Bristow-Johnson, "Audio EQ Cookbook" (W3C Note, 2021), section on the high-pass filter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .frame import AudioFrame, Int16Array

Float64Array = NDArray[np.float64]

_BLOCK = 32  # samples
_BLOCKS = 32  # of one matrix product


@dataclass(frozen=True, eq=False)
class _Recursion:
    """`y[n] = w[n] - a1 y[n-1] - a2 y[n-2]` written as matrix products over blocks.

    Attributes:
        response: shape (_BLOCK, _BLOCK); `w @ response` is a block's output when it starts at rest.
        decay: shape (2, _BLOCK); `(y[-1], y[-2]) @ decay` is what the past adds to a block.
        carry: shape (2 * (1 + _BLOCKS), 2 * _BLOCKS); turns the past and the last two outputs of all blocks at rest
            into the true last two outputs before each block.
    """

    response: Float64Array
    decay: Float64Array
    carry: Float64Array


@lru_cache(maxsize=32)
def _recursion(a1: float, a2: float) -> _Recursion:
    impulse = np.zeros(_BLOCK + 2)
    impulse[0] = 1.0
    for n in range(1, _BLOCK + 2):
        impulse[n] = -a1 * impulse[n - 1] - a2 * (impulse[n - 2] if n > 1 else 0.0)
    response = np.zeros((_BLOCK, _BLOCK))
    for n in range(_BLOCK):
        response[n, n:] = impulse[: _BLOCK - n]
    decay = np.stack([impulse[1 : _BLOCK + 1], -a2 * impulse[:_BLOCK]])
    step = decay[:, [-1, -2]]
    powers = [np.eye(2)]
    for _ in range(_BLOCKS):
        powers.append(powers[-1] @ step)
    carry = np.zeros((2 * (1 + _BLOCKS), 2 * _BLOCKS))
    for target in range(_BLOCKS):
        for source in range(target + 1):
            carry[2 * source : 2 * source + 2, 2 * target : 2 * target + 2] = powers[target - source]
    return _Recursion(response, decay, carry)


class Biquad:
    """A second-order filter of one mono stream; the state goes on from call to call.

    `y[n] = b0 x[n] + b1 x[n-1] + b2 x[n-2] - a1 y[n-1] - a2 y[n-2]`, in float64.
    """

    def __init__(self, b: tuple[float, float, float], a: tuple[float, float]) -> None:
        """Take coefficients already divided by a0.

        Args:
            b: b0, b1, b2.
            a: a1, a2.
        """
        self._b = b
        self._recursion = _recursion(*a)
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._inputs: Float64Array = np.zeros(2)  # x[-2], x[-1]
        self._outputs: Float64Array = np.zeros(2)  # y[-1], y[-2]

    def filter(self, values: Float64Array | Int16Array) -> Float64Array:
        """The next stretch of the stream.

        Args:
            values: shape (n,), any n.

        Returns:
            float64 array of shape (n,), in the same units.
        """
        count = values.shape[0]
        if not count:
            return np.zeros(0)
        x: Float64Array = np.concatenate((self._inputs, values))
        self._inputs = x[-2:]
        b0, b1, b2 = self._b
        blocks = -(-count // _BLOCK)
        padded = np.zeros((blocks, _BLOCK))
        forward = padded.reshape(-1)[:count]
        np.multiply(x[2:], b0, out=forward)
        forward += b1 * x[1:-1]
        forward += b2 * x[:-2]
        y = padded @ self._recursion.response
        for start in range(0, blocks, _BLOCKS):
            self._add_past(y[start : start + _BLOCKS], min(_BLOCK * _BLOCKS, count - start * _BLOCK))
        return y.reshape(-1)[:count]

    def _add_past(self, y: Float64Array, count: int) -> None:
        """Turn `y`, up to `_BLOCKS` blocks computed as if each began at rest, into the true output, in place."""
        blocks = y.shape[0]
        ends = np.concatenate((self._outputs, y[:-1, [-1, -2]].reshape(-1)))
        before = ends @ self._recursion.carry[: 2 * blocks, : 2 * blocks]
        y += before.reshape(blocks, 2) @ self._recursion.decay
        flat = y.reshape(-1)
        self._outputs = (
            flat[count - 2 : count][::-1].copy() if count > 1 else np.array([flat[0], self._outputs[0]])
        )


def high_pass_coefficients(
    cutoff: float, sample_rate: int, quality: float = math.sqrt(0.5)
) -> tuple[tuple[float, float, float], tuple[float, float]]:
    """b0, b1, b2 and a1, a2 of a high-pass filter; the default quality is a Butterworth response."""
    omega = 2 * math.pi * cutoff / sample_rate
    alpha = math.sin(omega) / (2 * quality)
    a0 = 1 + alpha
    edge = (1 + math.cos(omega)) / 2 / a0
    return (edge, -2 * edge, edge), (-2 * math.cos(omega) / a0, (1 - alpha) / a0)


class HighPass(Biquad):
    """Takes rumble, handling noise and DC out of a voice.

    Attributes:
        sample_rate: samples a second, mono.
        cutoff: frequency of the -3 dB point in Hz (with the default quality).
    """

    def __init__(self, sample_rate: int, cutoff: float = 80.0, quality: float = math.sqrt(0.5)) -> None:
        """Design the filter.

        Args:
            sample_rate: samples a second.
            cutoff: corner frequency in Hz.
            quality: Q; the default is a Butterworth response.

        Raises:
            ValueError: the corner is not between 0 and half the sample rate, or Q is not positive.
        """
        if not 0 < cutoff < sample_rate / 2 or quality <= 0:
            raise ValueError(
                f"cannot design a high-pass of {cutoff} Hz, Q {quality} at {sample_rate} Hz: "
                f"the corner must lie between 0 and {sample_rate / 2:g} Hz and Q above 0"
            )
        self.sample_rate = sample_rate
        self.cutoff = cutoff
        super().__init__(*high_pass_coefficients(cutoff, sample_rate, quality))

    def process(self, frame: AudioFrame) -> AudioFrame:
        """Filter the next frame of the stream; no delay, the same length.

        Raises:
            ValueError: the frame has another sample rate, or several channels.
        """
        if frame.sample_rate != self.sample_rate or frame.num_channels != 1:
            raise ValueError(f"{frame!r} was given to a filter of mono audio at {self.sample_rate} Hz")
        values = np.clip(np.rint(self.filter(frame.samples)), -32768, 32767)
        return AudioFrame(values.astype(np.int16), self.sample_rate)
