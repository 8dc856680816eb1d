"""Cuts a stream of PCM bytes of any chunk sizes into frames of one size."""

from __future__ import annotations

import numpy as np

from .frame import AudioFrame


class AudioByteStream:
    """Collects PCM in chunks of any size and hands out frames of a fixed size.

    Frames default to 20 ms: the packet time of RTP (RFC 3551 section 4.2) and WebRTC, so that nothing waits for
    more than one packet. Every byte is copied a constant number of times, whatever the chunk sizes.
    """

    def __init__(
        self, sample_rate: int, num_channels: int = 1, samples_per_channel: int | None = None
    ) -> None:
        """Prepare for one format.

        Args:
            sample_rate: samples a second, per channel.
            num_channels: number of interleaved channels.
            samples_per_channel: length of each frame; 20 ms when not given.

        Raises:
            ValueError: a rate, channel count or length below 1.
        """
        if samples_per_channel is None:
            samples_per_channel = round(sample_rate * 0.02)
        if sample_rate < 1 or num_channels < 1 or samples_per_channel < 1:
            raise ValueError(
                f"cannot cut frames of {samples_per_channel} samples at {sample_rate} Hz in {num_channels} channels: "
                "each must be at least 1"
            )
        self.sample_rate = sample_rate
        self.num_channels = num_channels
        self.samples_per_channel = samples_per_channel
        self._frame_bytes = samples_per_channel * num_channels * 2
        self._pending = bytearray()

    def push(self, data: bytes | bytearray | memoryview | AudioFrame) -> list[AudioFrame]:
        """Add audio.

        Args:
            data: little-endian int16 PCM, interleaved, split anywhere (even inside a sample), or a frame of this
                stream's format.

        Returns:
            The frames completed by `data`, oldest first; possibly none.

        Raises:
            ValueError: a frame of another sample rate or channel count.
        """
        pending = self._pending
        if isinstance(data, AudioFrame):
            self._check_format(data)
            pending += data.samples.astype("<i2", copy=False).data
        else:
            pending += data
        count = len(pending) // self._frame_bytes
        if not count:
            return []
        end = count * self._frame_bytes
        complete = bytes(memoryview(pending)[:end])
        del pending[:end]  # moves the start of the bytearray, not its content
        frames = np.frombuffer(complete, dtype="<i2").reshape(count, -1)
        return [AudioFrame(samples, self.sample_rate, self.num_channels) for samples in frames]

    def flush(self) -> list[AudioFrame]:
        """Take what is left, shorter than a frame and not padded; a trailing part of a sample is dropped."""
        whole = len(self._pending) - len(self._pending) % (2 * self.num_channels)
        rest = bytes(memoryview(self._pending)[:whole])
        self._pending.clear()
        return [AudioFrame(rest, self.sample_rate, self.num_channels)] if rest else []

    def clear(self) -> None:
        """Drop what is left."""
        self._pending.clear()

    def _check_format(self, frame: AudioFrame) -> None:
        if (frame.sample_rate, frame.num_channels) != (self.sample_rate, self.num_channels):
            raise ValueError(
                f"{frame!r} was pushed into a stream of {self.sample_rate} Hz with {self.num_channels} channels; "
                "resample or mix it down first"
            )
