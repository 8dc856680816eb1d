"""What the agent's side says, on its way to the wire: a short queue that rides out a busy event loop."""

from __future__ import annotations

from collections import deque

_LEAST, _MOST = 1, 5  # frames that are waited for before playing
_FORGIVEN = 250  # frames without running dry after which less is waited for
_LONGEST = 25


class Downlink:
    """Frames of 20 ms of one call.

    It waits for a few frames before it plays, for more each time it ran dry in the middle of speech, and for fewer again when all
    went well for five seconds.

    Attributes:
        ran_dry: how often there was nothing to play in the middle of speech.
        dropped: frames that came too fast.
    """

    def __init__(self) -> None:
        self.ran_dry = 0
        self.dropped = 0
        self._frames: deque[bytes] = deque()
        self._wait_for = _LEAST
        self._playing = False
        self._smooth = 0
        self._dry_for = 0

    def push(self, frame: bytes) -> None:
        if len(self._frames) >= _LONGEST:
            self._frames.popleft()
            self.dropped += 1
        if not self._playing and not self._frames and 0 < self._dry_for <= 3:
            # It was a hole, not the end: the speech went on.
            self.ran_dry += 1
            self._wait_for = min(_MOST, self._wait_for + 1)
            self._smooth = 0
        self._frames.append(frame)

    def pull(self) -> bytes | None:
        """The next frame; None is silence."""
        if not self._playing and len(self._frames) >= self._wait_for:
            self._playing = True
        if not self._playing:
            self._dry_for += 1
            # The last frames of a segment shorter than the wait.
            if self._frames and self._dry_for > _MOST:
                self._playing = True
            else:
                return None
        if not self._frames:
            self._playing, self._dry_for = False, 1
            return None
        self._smooth += 1
        if self._smooth >= _FORGIVEN and self._wait_for > _LEAST:
            self._wait_for -= 1
            self._smooth = 0
        return self._frames.popleft()
