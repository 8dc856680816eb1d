"""Text on its way from the model to the voice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable


class TextFeed:
    """An async iterator, for one reader, over pieces of text that are put in from elsewhere.

    `mirror` gets the same pieces, for a second reader. `on_first` is called with the first piece, `on_close` at the end.
    """

    def __init__(self) -> None:
        self._pieces: deque[str] = deque()
        self._changed = asyncio.Event()
        self._parts: list[str] = []
        self.closed = False
        self.on_first: Callable[[], None] | None = None
        self.on_close: Callable[[], None] | None = None
        self.mirror: TextFeed | None = None

    @property
    def text(self) -> str:
        """All that was put in."""
        return "".join(self._parts)

    def put(self, piece: str) -> None:
        if piece and not self.closed:
            self._parts.append(piece)
            self._pieces.append(piece)
            self._changed.set()
            if self.on_first is not None:
                on_first, self.on_first = self.on_first, None
                on_first()
            if self.mirror is not None:
                self.mirror.put(piece)

    def close(self) -> None:
        """Nothing more will come."""
        if not self.closed:
            self.closed = True
            self._changed.set()
            if self.mirror is not None:
                self.mirror.close()
            if self.on_close is not None:
                self.on_close()

    async def __aiter__(self) -> AsyncIterator[str]:
        while True:
            while self._pieces:
                yield self._pieces.popleft()
            if self.closed:
                return
            self._changed.clear()
            await self._changed.wait()
