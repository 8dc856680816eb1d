"""The browser's microphone, as a source in the room."""

from __future__ import annotations

import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame as DecodedFrame

from ....audio import AudioFrame, Resampler
from ....audio.frame import Int16Array
from ..tracks import LocalSource

ROOM_RATE = 16000
_MAX_GAP = 1.0  # seconds; a longer hole in the timestamps is a pause of the sender, not loss


class MicrophonePump:
    """Decoded WebRTC audio in (48 kHz stereo of Opus), 16 kHz mono into the room.

    Lost packets become silence, so that a count of samples stays a clock.
    """

    def __init__(self, source: LocalSource) -> None:
        self._source = source
        self._resampler = Resampler(48000, source.sample_rate)
        self._expected_pts: int | None = None

    async def run(self, track: MediaStreamTrack) -> None:
        """Pump until the track ends."""
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if isinstance(frame, DecodedFrame):
                self.push(frame)

    def push(self, frame: DecodedFrame) -> None:
        """Take one decoded frame, of any rate and layout, 16-bit."""
        rate = frame.sample_rate
        if rate != self._resampler.input_rate:
            self._resampler = Resampler(rate, self._source.sample_rate)
            self._expected_pts = None
        if frame.pts is not None:
            missing = 0 if self._expected_pts is None else frame.pts - self._expected_pts
            if 0 < missing <= _MAX_GAP * rate:
                self._deliver(np.zeros(missing, dtype=np.int16))
            self._expected_pts = frame.pts + frame.samples
        self._deliver(_mono(frame))

    def _deliver(self, samples: Int16Array) -> None:
        converted = self._resampler.push(samples)
        if converted.size:
            self._source.push(AudioFrame(converted, self._source.sample_rate))


def _mono(frame: DecodedFrame) -> Int16Array:
    """int16 array of shape (frame.samples,)."""
    channels = frame.layout.nb_channels
    # The plane may be padded behind the last sample.
    count = frame.samples * channels
    interleaved: Int16Array = np.frombuffer(memoryview(frame.planes[0]), dtype=np.int16, count=count)
    if channels == 1:
        return interleaved.copy()
    if channels == 2:
        left, right = interleaved[0::2], interleaved[1::2]
        # The mean, rounded down, without leaving int16: four times as fast as a wider sum.
        mean: Int16Array = (left >> 1) + (right >> 1) + (left & right & 1)
        return mean
    total = interleaved.reshape(-1, channels).sum(axis=1, dtype=np.int32)
    mono: Int16Array = (total // channels).astype(np.int16)
    return mono
