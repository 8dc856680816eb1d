"""Audio between the participants of a local room: frames go from publisher to subscribers without a copy."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...audio import AudioFrame
from ..room import AudioSource, RemoteAudioTrack

logger = logging.getLogger(__name__)

OnFrame = Callable[[AudioFrame], None]


class LocalTrack(RemoteAudioTrack):
    """A published track, as every other participant of the room sees it."""

    def __init__(self, name: str, sample_rate: int, *, paced: bool) -> None:
        """Prepare a track.

        Args:
            name: what the publisher calls it.
            sample_rate: samples a second of every frame, mono.
            paced: frames come on the media tick, rather than when a network delivers them.
        """
        self.name = name
        self.sample_rate = sample_rate
        self.paced = paced
        self._subscribers: tuple[OnFrame, ...] = ()
        self._failed: list[OnFrame] = []

    @property
    def subscribed(self) -> bool:
        """Whether anybody listens."""
        return bool(self._subscribers)

    def subscribe(self, on_frame: OnFrame) -> Callable[[], None]:
        self._subscribers = (*self._subscribers, on_frame)

        def unsubscribe() -> None:
            remaining = list(self._subscribers)
            if on_frame in remaining:
                remaining.remove(on_frame)
                self._subscribers = tuple(remaining)

        return unsubscribe

    def deliver(self, frame: AudioFrame) -> None:
        """Hand `frame` to every subscriber; a failure of one is logged once and keeps nobody from hearing on."""
        for on_frame in self._subscribers:
            try:
                on_frame(frame)
            except Exception:
                if on_frame not in self._failed:
                    self._failed.append(on_frame)
                    logger.exception("a subscriber to track %r failed; it is not logged again", self.name)

    def end(self) -> None:
        """Forget the subscribers."""
        self._subscribers = ()
        self._failed.clear()

    def __repr__(self) -> str:
        return f"LocalTrack({self.name!r}, {self.sample_rate} Hz)"


class LocalSource(AudioSource):
    """A track whose publisher has a clock of its own, such as a microphone or a telephone line."""

    def __init__(self, track: LocalTrack, unpublish: Callable[[LocalTrack], None]) -> None:
        self.name = track.name
        self.sample_rate = track.sample_rate
        self._track = track
        self._unpublish = unpublish
        self._closed = False

    @property
    def subscribed(self) -> bool:
        """Whether anybody listens."""
        return self._track.subscribed

    def push(self, frame: AudioFrame) -> None:
        """Hand `frame` to the subscribers at once; nothing happens after `close`.

        Raises:
            ValueError: the frame is not mono at this source's rate.
        """
        if frame.sample_rate != self._track.sample_rate or frame.num_channels != 1:
            raise ValueError(
                f"source {self.name!r} takes mono at {self._track.sample_rate} Hz, got {frame!r}"
            )
        if not self._closed:
            self._track.deliver(frame)

    def close(self) -> None:
        """Unpublish the track; safe to call twice."""
        if not self._closed:
            self._closed = True
            self._unpublish(self._track)
