"""The one clock of a session: its audio.

Times are seconds since the session started. A position in the caller's audio is mapped to them by when its samples
arrived; the earliest arrivals count, so that network jitter does not move the end of speech.
"""

from __future__ import annotations

import asyncio

GAP = 0.25  # audio later than this is a gap in the stream (muted, packets lost), not jitter
DRIFT = 0.001  # share of a late arrival by which the mapping follows a slow sender


class SessionClock:
    """Maps the event loop's time and the caller's audio to session time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._time = loop.time
        self._start = loop.time()
        self._received = 0.0
        self._offset: float | None = None
        self._interrupted = False

    def now(self) -> float:
        return self._time() - self._start

    def loop_time(self, at: float) -> float:
        """The event loop's time at session time `at`."""
        return self._start + at

    @property
    def received(self) -> float:
        """Seconds of the caller's audio listened to so far."""
        return self._received

    def audio_received(self, duration: float) -> None:
        """`duration` seconds of audio have just arrived."""
        self._received += duration
        offset = self._time() - self._start - self._received
        known = self._offset
        if known is None or self._interrupted or offset < known or offset > known + GAP:
            self._offset = offset
            self._interrupted = False
        else:
            self._offset = known + DRIFT * (offset - known)

    def interrupt(self) -> None:
        """Audio comes that nobody listens to and that is not counted; what comes after it is mapped anew."""
        self._interrupted = True

    def at(self, audio_position: float) -> float:
        """When the sample at `audio_position` seconds of the caller's audio was spoken."""
        return audio_position + (self._offset or 0.0)
