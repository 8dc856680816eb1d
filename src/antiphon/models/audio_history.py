"""The last seconds of a caller's audio, addressed by the audio clock."""

from __future__ import annotations

from collections import deque

from ..audio import AudioFrame, combine_frames


class AudioHistory:
    """Keeps the newest audio of a stream.

    Times are seconds of audio pushed since the start, whether still kept or not.
    """

    def __init__(self, max_duration: float) -> None:
        """
        Args:
            max_duration: seconds to keep; older audio is forgotten.
        """
        self._max_duration = max_duration
        self._frames: deque[AudioFrame] = deque()
        self._start = 0.0
        self._samples = 0
        self._format: tuple[int, int] | None = None

    @property
    def start(self) -> float:
        """The time of the oldest sample kept."""
        return self._start

    @property
    def end(self) -> float:
        """The time now: seconds pushed in all."""
        return self._start + self._kept

    @property
    def _kept(self) -> float:
        return self._samples / self._format[0] if self._format else 0.0

    def push(self, frame: AudioFrame) -> None:
        """
        Raises:
            ValueError: the frame's format is not that of the frames before.
        """
        shape = (frame.sample_rate, frame.num_channels)
        if self._format is None:
            self._format = shape
        elif shape != self._format:
            raise ValueError(
                f"the stream began at {self._format[0]} Hz with {self._format[1]} channels; "
                f"got {frame!r}: resample before pushing"
            )
        self._frames.append(frame)
        self._samples += frame.samples_per_channel
        self.forget_before(self.end - self._max_duration)

    def forget_before(self, time: float) -> None:
        """Drop the whole frames that end before `time`."""
        if self._format is None:
            return
        rate = self._format[0]
        while self._frames and self._start + self._frames[0].duration <= time + 1e-9:
            oldest = self._frames.popleft()
            self._samples -= oldest.samples_per_channel
            self._start += oldest.samples_per_channel / rate

    def cut(self, start: float, end: float) -> AudioFrame | None:
        """The audio from `start` to `end`, as far as it is kept; None if none of it is."""
        if not self._frames or self._format is None:
            return None
        rate, channels = self._format
        first = max(0, round((start - self._start) * rate)) * channels
        last = round((end - self._start) * rate) * channels
        samples = combine_frames(self._frames).samples[first : max(first, last)]
        return AudioFrame(samples, rate, channels) if samples.size else None

    def frames_since(self, time: float) -> list[AudioFrame]:
        """The whole frames that end after `time`, oldest first."""
        frames: list[AudioFrame] = []
        position = self._start
        for frame in self._frames:
            position += frame.duration
            if position > time + 1e-9:
                frames.append(frame)
        return frames
