"""What a browser hears: the voices of the room, mixed and paced at 20 ms."""

from __future__ import annotations

import asyncio
import fractions
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av.packet import Packet

from ....audio import AudioFrame, AudioMixer, Resampler
from ....audio.frame import Int16Array
from ...room import RemoteAudioTrack
from ..tracks import LocalTrack

RATE = 48000
FRAME = 960
_TIME_BASE = fractions.Fraction(1, RATE)
_BIT_RATE = 48_000
_MAX_LATE = 0.06  # seconds that are made up for; of more, time is skipped instead of sent in a burst
_MAX_QUEUED = RATE // 5  # of one voice; more is stale and dropped from the front
_MAX_QUEUED_BEFORE_CONNECTION = RATE * 5  # a greeting waits for the browser
_NETWORK_MARGIN = 2 * FRAME  # queued before a voice starts that a network delivers unevenly


class _VoiceQueue:
    """Audio of one track that waits to be mixed."""

    def __init__(self, margin: int) -> None:
        self._margin = margin
        self._waiting = margin
        self._chunks: deque[Int16Array] = deque()
        self._offset = 0
        self.size = 0
        self._resampler: Resampler | None = None

    def push(self, frame: AudioFrame) -> None:
        if self._resampler is None or self._resampler.input_rate != frame.sample_rate:
            self._resampler = Resampler(frame.sample_rate, RATE)
        samples = self._resampler.push(frame.samples)
        if samples.size:
            self._chunks.append(samples)
            self.size += samples.size

    def drop_stale(self, limit: int) -> None:
        """Forget the oldest audio beyond `limit` samples."""
        while self.size > limit and self._chunks:
            self.size -= self._chunks.popleft().size - self._offset
            self._offset = 0

    def take(self) -> Int16Array | None:
        """The next `FRAME` samples, or what is left; None while there is nothing to say."""
        if self.size < max(1, self._waiting):
            return None
        self._waiting = 0
        out = np.zeros(FRAME, dtype=np.int16)
        filled = 0
        while filled < FRAME and self._chunks:
            head = self._chunks[0]
            count = min(head.size - self._offset, FRAME - filled)
            out[filled : filled + count] = head[self._offset : self._offset + count]
            filled += count
            self._offset += count
            if self._offset == head.size:
                self._chunks.popleft()
                self._offset = 0
        self.size -= filled
        if not self.size:
            self._waiting = self._margin
        return out


class RoomVoices:
    """Listens to tracks and gives their mix, one frame of 20 ms at 48 kHz at a time."""

    def __init__(self) -> None:
        self._queues: dict[RemoteAudioTrack, _VoiceQueue] = {}
        self._stop: dict[RemoteAudioTrack, Callable[[], None]] = {}
        self._mixer = AudioMixer(RATE)
        self._connected = False

    def add(self, track: RemoteAudioTrack) -> None:
        """Listen to a track; again does nothing."""
        if track in self._queues:
            return
        paced = isinstance(track, LocalTrack) and track.paced
        queue = self._queues[track] = _VoiceQueue(0 if paced else _NETWORK_MARGIN)

        def on_frame(frame: AudioFrame) -> None:
            queue.push(frame.to_mono())
            queue.drop_stale(_MAX_QUEUED if self._connected else _MAX_QUEUED_BEFORE_CONNECTION)

        self._stop[track] = track.subscribe(on_frame)

    def remove(self, track: RemoteAudioTrack) -> None:
        """Listen no more; unknown tracks are ignored."""
        if track in self._queues:
            del self._queues[track]
            self._stop.pop(track)()
            self._mixer.remove(track)

    def take(self) -> Int16Array | None:
        """int16 array of shape (960,), or None for silence."""
        heard: dict[Hashable, AudioFrame] = {}
        silent = True
        for track, queue in self._queues.items():
            samples = queue.take()
            silent = silent and not queue.size
            if samples is not None:
                heard[track] = AudioFrame(samples, RATE)
        # Whatever was said before the browser could hear is out once everything is quiet; from then on be prompt.
        self._connected = self._connected or silent
        if not heard:
            return None
        if len(heard) == 1:
            return next(iter(heard.values())).samples
        return self._mixer.mix(heard).samples

    def close(self) -> None:
        """Listen to nothing any more."""
        for track in tuple(self._queues):
            self.remove(track)


class RoomVoiceTrack(MediaStreamTrack):
    """The track that aiortc sends: one Opus packet each 20 ms on an absolute grid, silence when nobody speaks.

    Encoded here, mono, since aiortc's own encoder takes a thread, stereo and twice the bits for it.
    """

    kind = "audio"

    def __init__(self, voices: RoomVoices) -> None:
        super().__init__()
        self._voices = voices
        self._next: float | None = None
        self._pts = 0
        self._silence = np.zeros(FRAME, dtype=np.int16)
        self._encoder = _opus_encoder()

    async def recv(self) -> Packet[Any]:
        """The next packet, when its time has come.

        Raises:
            MediaStreamError: the track has ended.
        """
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._next is None:
            self._next = now
        late = now - self._next
        if late > _MAX_LATE:
            skipped = int(late * RATE) // FRAME
            self._next += skipped * FRAME / RATE
            self._pts += skipped * FRAME
        elif late < 0:
            await asyncio.sleep(-late)
        samples = self._voices.take()
        packet = self._encode(self._silence if samples is None else samples)
        packet.time_base = _TIME_BASE
        packet.pts = self._pts
        self._pts += FRAME
        self._next += FRAME / RATE
        return packet

    def _encode(self, samples: Int16Array) -> Packet[Any]:
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.time_base = _TIME_BASE
        # The encoder numbers what it gets by its own count; time that is skipped is no hole to it.
        frame.pts = None
        [packet] = self._encoder.encode(frame)
        return packet


def _opus_encoder() -> av.AudioCodecContext:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.bit_rate = _BIT_RATE
    encoder.format = "s16"
    encoder.layout = "mono"
    encoder.sample_rate = RATE
    encoder.time_base = _TIME_BASE
    encoder.options = {"application": "audio", "compression_level": "5", "frame_duration": "20"}
    return encoder
