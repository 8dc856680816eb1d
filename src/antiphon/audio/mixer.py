"""Mixing several voices into one, without ever clipping hard."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .frame import AudioFrame, Int16Array

_FULL_SCALE = 32767.0
_KNEE = 10 ** (-3 / 20) * _FULL_SCALE
_HEADROOM = _FULL_SCALE - _KNEE


def soft_limit(values: ArrayLike) -> Int16Array:
    """Bring any sum of samples into the range of int16.

    Up to -3 dBFS every value stays as it is; above, a hyperbolic tangent bends it smoothly (first and second
    derivative are continuous) towards full scale, which it never exceeds. It looks at one sample at a time, so it
    adds no delay and no pumping.

    Args:
        values: numbers in units of int16, of any shape and size of value.

    Returns:
        int16 array of the same shape.
    """
    limited = np.array(values, dtype=np.float32)
    magnitude = np.abs(limited)
    if magnitude.size and magnitude.max() > _KNEE:
        loud = magnitude > _KNEE
        bent = _KNEE + _HEADROOM * np.tanh((magnitude[loud] - _KNEE) / _HEADROOM)
        limited[loud] = np.copysign(bent, limited[loud])
    return np.rint(limited).astype(np.int16)


def mix(stack: Int16Array, gains: ArrayLike | None = None) -> Int16Array:
    """Add sources and limit the sum; many mixes at once when there are leading axes.

    Args:
        stack: int16 array of shape (..., sources, samples).
        gains: factors that broadcast to (..., sources); all 1 when not given.

    Returns:
        int16 array of shape (..., samples).
    """
    if gains is None:
        return soft_limit(stack.sum(axis=-2, dtype=np.int32))
    factors = np.asarray(gains, dtype=np.float32)
    if factors.ndim < stack.ndim - 1:
        factors = np.broadcast_to(factors, stack.shape[:-1])
    weighted: NDArray[np.float32] = np.matmul(factors[..., None, :], stack.astype(np.float32))
    return soft_limit(weighted[..., 0, :])


class AudioMixer:
    """Mixes one frame of each source into one frame, with a gain for each source.

    A changed gain is reached over the next frame of that source, so that it does not click.

    Attributes:
        sample_rate: samples a second of all sources, mono.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._gains: dict[Hashable, float] = {}
        self._reached: dict[Hashable, float] = {}

    def set_gain(self, source: Hashable, gain: float) -> None:
        """Set the factor for a source (1.0: as it is, 0.0: muted).

        Raises:
            ValueError: the factor is negative or not a number.
        """
        if not gain >= 0:
            raise ValueError(f"gain of source {source!r} must be 0 or more, got {gain}")
        self._gains[source] = gain

    def remove(self, source: Hashable) -> None:
        """Forget a source that left; unknown ones are ignored."""
        self._gains.pop(source, None)
        self._reached.pop(source, None)

    def mix(self, frames: Mapping[Hashable, AudioFrame]) -> AudioFrame:
        """Mix what the sources say in the same stretch of time.

        Args:
            frames: by source; a shorter frame is as if it ended in silence.

        Returns:
            A frame as long as the longest one; empty when there are no frames.

        Raises:
            ValueError: a frame of another rate, or with several channels.
        """
        length = 0
        for source, frame in frames.items():
            if frame.sample_rate != self.sample_rate or frame.num_channels != 1:
                raise ValueError(
                    f"source {source!r} sent {frame!r}; this mixer takes mono audio at {self.sample_rate} Hz"
                )
            length = max(length, frame.samples.size)
        total = np.zeros(length, dtype=np.float32)
        for source, frame in frames.items():
            total[: frame.samples.size] += self._weigh(source, frame.samples)
        return AudioFrame(soft_limit(total), self.sample_rate)

    def _weigh(self, source: Hashable, samples: Int16Array) -> NDArray[np.float32] | Int16Array:
        gain = self._gains.get(source, 1.0)
        before = self._reached.get(source, gain)
        self._reached[source] = gain
        if gain != before:
            ramp = np.linspace(before, gain, samples.size, dtype=np.float32)
            return np.asarray(samples * ramp, dtype=np.float32)
        if gain == 1.0:
            return samples
        return np.asarray(samples * np.float32(gain), dtype=np.float32)
