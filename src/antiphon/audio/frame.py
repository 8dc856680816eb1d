"""One block of PCM audio, the unit that every layer passes on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Int16Array = NDArray[np.int16]


class AudioFrame:
    """A block of interleaved 16-bit PCM.

    Attributes:
        samples: int16 array of shape (samples_per_channel * num_channels,), interleaved.
        sample_rate: samples a second, per channel.
        num_channels: 1 (mono) or more.
    """

    __slots__ = ("num_channels", "sample_rate", "samples")

    samples: Int16Array
    sample_rate: int
    num_channels: int

    def __init__(
        self,
        data: bytes | bytearray | memoryview | Int16Array,
        sample_rate: int,
        num_channels: int = 1,
        samples_per_channel: int | None = None,
    ) -> None:
        """Wrap `data` without copying it.

        Args:
            data: little-endian int16 PCM as a buffer, or an int16 array (flattened, interleaved).
            sample_rate: samples a second, per channel.
            num_channels: number of interleaved channels.
            samples_per_channel: checked against `data` when given.

        Raises:
            ValueError: the data is not a whole number of samples for all channels.
        """
        if isinstance(data, np.ndarray):
            samples = data.reshape(-1)
            if samples.dtype != np.int16:
                raise ValueError(f"AudioFrame needs int16 samples, got {samples.dtype}")
        else:
            if len(data) % 2:
                raise ValueError(f"{len(data)} bytes are not a whole number of 16-bit samples")
            samples = np.frombuffer(data, dtype="<i2")
        if samples.size % num_channels:
            raise ValueError(f"{samples.size} samples do not divide into {num_channels} channels")
        if samples_per_channel is not None and samples.size != samples_per_channel * num_channels:
            raise ValueError(
                f"expected {samples_per_channel} samples in each of {num_channels} channels, "
                f"got {samples.size} in all"
            )
        self.samples = samples
        self.sample_rate = sample_rate
        self.num_channels = num_channels

    @property
    def samples_per_channel(self) -> int:
        return self.samples.size // self.num_channels

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.samples.size / self.num_channels / self.sample_rate

    @property
    def data(self) -> memoryview:
        """The samples as a memoryview of int16, without a copy."""
        return self.samples.data

    def tobytes(self) -> bytes:
        """The samples as little-endian bytes."""
        return self.samples.astype("<i2", copy=False).tobytes()

    def to_mono(self) -> AudioFrame:
        """Average the channels; returns self when there is one already."""
        if self.num_channels == 1:
            return self
        mixed = self.samples.reshape(-1, self.num_channels).mean(axis=1)
        return AudioFrame(np.rint(mixed).astype(np.int16), self.sample_rate)

    @classmethod
    def silence(cls, duration: float, sample_rate: int, num_channels: int = 1) -> AudioFrame:
        """A frame of `duration` seconds of zeros."""
        count = round(duration * sample_rate) * num_channels
        return cls(np.zeros(count, dtype=np.int16), sample_rate, num_channels)

    def __repr__(self) -> str:
        return (
            f"AudioFrame({self.samples_per_channel} samples, {self.sample_rate} Hz, "
            f"{self.num_channels} ch, {self.duration * 1000:.0f} ms)"
        )


def combine_frames(frames: Iterable[AudioFrame]) -> AudioFrame:
    """Join frames of one format end to end.

    Raises:
        ValueError: no frames, or frames of different rates or channel counts.
    """
    parts = list(frames)
    if not parts:
        raise ValueError("no frames to combine")
    first = parts[0]
    for part in parts:
        if (part.sample_rate, part.num_channels) != (first.sample_rate, first.num_channels):
            raise ValueError(f"cannot combine {part!r} with {first!r}")
    if len(parts) == 1:
        return first
    return AudioFrame(np.concatenate([part.samples for part in parts]), first.sample_rate, first.num_channels)
