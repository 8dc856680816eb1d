"""Audio on its way: from a model that speaks to the listener, or from the user to an agent's own `stt_node`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from ..audio import AudioFrame


class AudioFeed:
    """An async iterator, for one reader, over frames that are put in from elsewhere."""

    def __init__(self) -> None:
        self._frames: deque[AudioFrame] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, frame: AudioFrame) -> None:
        self._frames.append(frame)
        self._changed.set()

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[AudioFrame]:
        while True:
            while self._frames:
                yield self._frames.popleft()
            if self._closed:
                return
            self._changed.clear()
            await self._changed.wait()
