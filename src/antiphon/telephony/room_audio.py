"""The audio between a telephone leg and its room: the caller as a track, and everybody else mixed for the caller.

Every track of the others is brought to the leg's rate and waits in a short queue; each 20 ms what has come is mixed, with a soft
limit, and sent. While nobody speaks nothing is sent, and the media engine fills the time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from ..audio import AudioFrame, Resampler
from ..audio.frame import Int16Array
from ..audio.mixer import mix
from ..rooms import AudioSource, Participant, RemoteAudioTrack, Room, RoomEvent
from ..rooms.local.tick import MediaTick

TRACK = "telephone"
_LONGEST = 0.4  # seconds that wait in a queue; more means that nobody takes it

SendFrame = Callable[[Int16Array], None]


class _Voice:
    """What one track says, at the leg's rate."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._resampler: Resampler | None = None
        self._parts: deque[Int16Array] = deque()
        self._size = 0
        self._was = 0

    def push(self, frame: AudioFrame) -> None:
        mono = frame.to_mono()
        if mono.sample_rate != self._rate:
            if self._resampler is None or self._resampler.input_rate != mono.sample_rate:
                self._resampler = Resampler(mono.sample_rate, self._rate)
            samples = self._resampler.push(mono.samples)
        else:
            samples = mono.samples
        self._parts.append(samples)
        self._size += samples.size
        while self._size > _LONGEST * self._rate:
            self._size -= self._parts.popleft().size

    @property
    def empty(self) -> bool:
        return not self._size

    def take(self, count: int) -> Int16Array | None:
        """`count` samples; fewer, filled up with silence, when no more came since the last time; else None: wait for the rest."""
        if self._size < count and (not self._size or self._size != self._was):
            self._was = self._size
            return None
        joined = np.concatenate(self._parts)
        self._parts.clear()
        if joined.size > count:
            self._parts.append(joined[count:])
        self._size = max(0, joined.size - count)
        self._was = self._size
        taken = joined[:count]
        return taken if taken.size == count else np.pad(taken, (0, count - taken.size))


class RoomAudio:
    """One leg's audio in one room."""

    def __init__(self, room: Room, sample_rate: int, send: SendFrame, tick: MediaTick) -> None:
        """Publish the caller's track and listen to all others.

        Args:
            room: as the leg joined it.
            sample_rate: of the leg's audio, both ways.
            send: takes 20 ms for the far end.
            tick: paces the mixing; one for all calls of the process.

        Raises:
            RoomDisconnected: the leg is not in the room any more.
        """
        self._room = room
        self._rate = sample_rate
        self._send = send
        self._tick = tick
        self._frame = sample_rate // 50
        self._voices: dict[RemoteAudioTrack, _Voice] = {}
        self._stops: dict[RemoteAudioTrack, Callable[[], None]] = {}
        self._source: AudioSource = room.publish_source(TRACK, sample_rate)
        self._closed = False
        self.muted = False
        room.on(RoomEvent.TRACK_SUBSCRIBED, self._subscribed)
        room.on(RoomEvent.TRACK_UNSUBSCRIBED, self._unsubscribed)
        for participant, track in room.audio_tracks():
            self._subscribed(track, participant)

    def receive(self, samples: Int16Array) -> None:
        """What the far end says."""
        self._source.push(AudioFrame(samples, self._rate))

    def close(self) -> None:
        """Leave the room's audio; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._tick.remove(self)
        self._room.off(RoomEvent.TRACK_SUBSCRIBED, self._subscribed)
        self._room.off(RoomEvent.TRACK_UNSUBSCRIBED, self._unsubscribed)
        for stop in self._stops.values():
            stop()
        self._stops.clear()
        self._voices.clear()
        self._source.close()

    def _subscribed(self, track: RemoteAudioTrack, _participant: Participant) -> None:
        if track in self._voices or self._closed:
            return
        voice = self._voices[track] = _Voice(self._rate)

        def heard(frame: AudioFrame) -> None:
            voice.push(frame)
            self._tick.add(self, self._mix)

        self._stops[track] = track.subscribe(heard)

    def _unsubscribed(self, track: RemoteAudioTrack, _participant: Participant) -> None:
        self._voices.pop(track, None)
        stop = self._stops.pop(track, None)
        if stop is not None:
            stop()

    def _mix(self) -> bool:
        """On the tick, while anybody speaks."""
        spoken = [taken for voice in self._voices.values() if (taken := voice.take(self._frame)) is not None]
        if spoken and not self.muted:
            self._send(spoken[0] if len(spoken) == 1 else mix(np.stack(spoken)))
        return any(not voice.empty for voice in self._voices.values())
