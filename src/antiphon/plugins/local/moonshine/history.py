"""The audio of a stream that may still be needed, addressed by its position in the stream."""

from __future__ import annotations

from collections import deque

import numpy as np

from ....audio.frame import Int16Array


class AudioHistory:
    """Audio between two positions (samples since the start of the stream)."""

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self._parts: deque[Int16Array] = deque()

    def append(self, samples: Int16Array) -> None:
        if samples.size:
            self._parts.append(samples)
            self.end += samples.size

    def drop_before(self, position: int) -> None:
        """Forget whole pieces that lie before `position`."""
        while self._parts and self.start + self._parts[0].size <= position:
            self.start += self._parts.popleft().size

    def between(self, first: int, last: int) -> Int16Array:
        """A copy of what is still known of a range."""
        first, last = max(first, self.start), min(last, self.end)
        if last <= first:
            return np.zeros(0, dtype=np.int16)
        pieces: list[Int16Array] = []
        position = self.start
        for part in self._parts:
            if position >= last:
                break
            if position + part.size > first:
                pieces.append(part[max(0, first - position) : last - position])
            position += part.size
        return np.concatenate(pieces)
