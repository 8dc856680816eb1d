"""SIGINT and SIGTERM: the first asks for an orderly end, the second for one now, the third gets none at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

_FAILED = 1


class StopRequests:
    """What was asked for so far.

    Attributes:
        stop: end when it suits.
        now: end at once.
    """

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.now = asyncio.Event()

    def ask(self) -> None:
        """Ask once more."""
        if self.now.is_set():
            os._exit(_FAILED)
        if self.stop.is_set():
            self.now.set()
        self.stop.set()


@contextlib.contextmanager
def listening_to_signals() -> Iterator[StopRequests]:
    """Signals of this process while the block runs; only the main thread of a process gets any."""
    requests = StopRequests()
    loop = asyncio.get_running_loop()

    def handle(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(requests.ask)

    previous = {}
    with contextlib.suppress(ValueError):
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handle)
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
