"""An event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar
from unittest import mock

from antiphon.plugins.turn_detector import network

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: where a selector would sleep, time moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout is None or timeout <= 0:
            return ready if ready or timeout is not None else super().select(5.0)
        self.now += timeout
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs timers in order, as fast as the processor allows. Threads are not waited for."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._jumping.now


def run(coroutine: Coroutine[Any, Any, T], limit: float = 600.0) -> T:
    """Run to completion on virtual time; fails when `limit` virtual seconds pass or a task is left over.

    Silence alone ends turns unless a test gives a detector: that of the package answers from a thread.
    """

    async def main() -> T:
        async with asyncio.timeout(limit):
            result = await coroutine
        await asyncio.sleep(0)
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert not left, f"tasks left over: {[t.get_name() for t in left]}"
        return result

    with (
        mock.patch.object(network, "model_file", return_value=None),
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
    ):
        return runner.run(main())
