"""The queue between a session that speaks in bursts and whoever paces playback.

A session pushes audio as fast as it gets it; a WebRTC track, a file, a sound card or a telephone leg pulls it at real
time. What has been pulled counts as played.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from ..audio import AudioFrame
from ..audio.frame import Int16Array
from .room import AudioOutput


class PlaybackBuffer(AudioOutput):
    """An `AudioOutput` whose audio is taken by `pull`.

    Segments play one behind the other: what is pushed after `flush` belongs to the next one. `on_started` is called
    when the first sample of a segment is pulled, `on_finished` when its last one is; both from inside `pull`, or from
    inside `flush` when everything has been pulled before. They may call any method but `pull`.

    Not for several threads: push and pull on the event loop.

    Attributes:
        sample_rate: samples a second of all audio, mono.
        frame_samples: how many samples `pull` takes when not told.
    """

    def __init__(self, sample_rate: int, frame_duration: float = 0.02) -> None:
        """Prepare an empty queue.

        Args:
            sample_rate: samples a second.
            frame_duration: seconds that the other side takes at a time.

        Raises:
            ValueError: a frame of less than one sample.
        """
        self.sample_rate = sample_rate
        self.frame_samples = round(sample_rate * frame_duration)
        if self.frame_samples < 1:
            raise ValueError(f"{frame_duration} s at {sample_rate} Hz is less than one sample")
        self._queue: deque[Int16Array | None] = deque()  # None: the segment ends here
        self._offset = 0  # samples of the first array already pulled
        self._queued = 0  # samples in the queue, not yet pulled
        self._played = 0  # samples pulled of the current segment
        self._paused = False
        self._closed = False

    def push(self, frame: AudioFrame) -> None:
        """Queue audio; the frame is kept, not copied. After `aclose` it is dropped.

        Raises:
            ValueError: the frame has another sample rate, or several channels.
        """
        if frame.sample_rate != self.sample_rate or frame.num_channels != 1:
            raise ValueError(
                f"{frame!r} was pushed into an output that plays mono audio at {self.sample_rate} Hz; "
                "resample it or mix it down first"
            )
        if frame.samples.size and not self._closed:
            self._queue.append(frame.samples)
            self._queued += frame.samples.size

    def flush(self) -> None:
        """The current segment is complete; an empty one finishes, with 0.0 seconds, as soon as it is its turn."""
        if self._closed:
            return
        if self._queue:
            self._queue.append(None)
        else:
            self._finish()

    def clear(self) -> float:
        seconds = self.position
        self._queue.clear()
        self._offset = self._queued = self._played = 0
        self._paused = False
        return seconds

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def position(self) -> float:
        return self._played / self.sample_rate

    @property
    def queued_duration(self) -> float:
        """Seconds of audio that wait to be pulled."""
        return self._queued / self.sample_rate

    @property
    def has_audio(self) -> bool:
        """Whether samples wait to be pulled, paused or not."""
        return self._queued > 0

    @property
    def idle(self) -> bool:
        """Whether no segment is under way: nothing is queued and the last segment has ended."""
        return not self._queue and not self._played

    def pull(self, samples: int | None = None) -> Int16Array:
        """Take the next piece of audio to play.

        Args:
            samples: how many; `frame_samples` when not given.

        Returns:
            int16 array of shape (samples,), the caller's own: what is queued, then zeros. While paused all zeros.
            Zeros never count as played.
        """
        wanted = self.frame_samples if samples is None else samples
        out = np.zeros(wanted, dtype=np.int16)
        queue = self._queue
        filled = 0
        # Listeners may push, clear or pause, so the state is complete before each call and read anew after it.
        while queue and not self._paused:
            head = queue[0]
            if head is None:
                queue.popleft()
                self._finish()
                continue
            if filled == wanted:
                break
            start = self._offset
            count = min(head.size - start, wanted - filled)
            out[filled : filled + count] = head[start : start + count]
            filled += count
            if start + count == head.size:
                queue.popleft()
                self._offset = 0
            else:
                self._offset = start + count
            self._queued -= count
            first = not self._played
            self._played += count
            if first and self.on_started is not None:
                self.on_started()
        return out

    async def aclose(self) -> None:
        self._closed = True
        self.clear()

    def _finish(self) -> None:
        seconds = self.position
        self._played = 0
        if self.on_finished is not None:
            self.on_finished(seconds)
