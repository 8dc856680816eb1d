"""A voice that a participant publishes: a playback buffer paced by the media tick."""

from __future__ import annotations

from collections.abc import Callable

from ...audio import AudioFrame
from ..playback import PlaybackBuffer
from .tick import TICK, MediaTick
from .tracks import LocalTrack


class LocalOutput(PlaybackBuffer):
    """Made by `LocalRoom.publish_audio`. On the tick only while it has something to play, so silence costs nothing."""

    def __init__(self, track: LocalTrack, tick: MediaTick, unpublish: Callable[[LocalTrack], None]) -> None:
        super().__init__(track.sample_rate, TICK)
        self._track = track
        self._tick = tick
        self._unpublish = unpublish

    def push(self, frame: AudioFrame) -> None:
        super().push(frame)
        if self.has_audio and not self.paused:
            self._tick.add(self, self._play)

    def clear(self) -> float:
        self._tick.remove(self)
        return super().clear()

    def pause(self) -> None:
        super().pause()
        self._tick.remove(self)

    def resume(self) -> None:
        super().resume()
        if not self.idle:
            self._tick.add(self, self._play)

    def stop(self) -> None:
        """Play nothing any more, now or later."""
        self._closed = True
        self.clear()

    async def aclose(self) -> None:
        self.stop()
        self._unpublish(self._track)

    def _play(self) -> bool:
        audible = self.has_audio
        samples = self.pull()
        if audible:
            self._track.deliver(AudioFrame(samples, self.sample_rate))
        return self.has_audio and not self.paused

    def __repr__(self) -> str:
        return f"LocalOutput({self._track!r})"
