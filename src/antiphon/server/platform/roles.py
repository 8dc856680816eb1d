"""Keeps the parts of the platform running: one that dies is started again, later each time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

FIRST_BACKOFF = 0.5
MOST_BACKOFF = 30.0
STEADY = 60.0
"""Seconds after which a part that ran counts as sound, and its next failure as the first."""

Run = Callable[[Callable[[], None]], Awaitable[None]]


class SupervisedRole:
    """Runs one part for ever.

    Args:
        name: for the log and `/readyz`.
        run: the part, as a coroutine function: it calls what it is given once it works, and goes on until it is cancelled.
    """

    def __init__(self, name: str, run: Run) -> None:
        self.name = name
        self.ready = False
        self._run = run
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, and wait until it works. Raises what the part raises before that: the first failure is no accident."""
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(self._supervise(first), name=f"role {self.name}")
        try:
            await asyncio.shield(first)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """End it; safe to call twice."""
        self.ready = False
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _supervise(self, first: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        failures = 0

        def works() -> None:
            self.ready = True
            if not first.done():
                first.set_result(None)

        while True:
            began = loop.time()
            error: Exception | None = None
            try:
                await self._run(works)
            except Exception as raised:
                error = raised
            self.ready = False
            if not first.done():
                first.set_exception(error or RuntimeError(f"{self.name} ended at once"))
                return
            failures = 0 if loop.time() - began > STEADY else failures
            delay = random.uniform(0.5, 1.0) * min(FIRST_BACKOFF * 2.0 ** min(failures, 20), MOST_BACKOFF)
            failures += 1
            logger.error("%s ended by itself; it starts again in %.1f s", self.name, delay, exc_info=error)
            await asyncio.sleep(delay)
