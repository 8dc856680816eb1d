"""Work in the background that goes on whatever happens: at once when asked, else from time to time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable

from ..store import StoreError

logger = logging.getLogger(__name__)

_FIRST_BACKOFF = 0.5


class BackgroundLoop:
    """Does `work` again and again until it is closed.

    While it fails, as with a store that is down, it waits longer and longer and does not listen to `poke`.

    Args:
        name: what the work is, for the log.
        work: one round of it.
        interval: seconds from the end of a round to the next one that nobody asked for.
        most_backoff: the longest wait after a failure, in seconds.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[object]],
        *,
        interval: float,
        most_backoff: float = 30.0,
    ) -> None:
        self._name = name
        self._work = work
        self._interval = interval
        self._most_backoff = most_backoff
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin with a round; once started, nothing more happens."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=self._name)

    def poke(self) -> None:
        """There is something to do now. Call it in the loop's own thread."""
        self._wanted.set()

    async def aclose(self) -> None:
        """Stop; a round in progress is cancelled."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        failures = 0
        while True:
            self._wanted.clear()
            try:
                await self._work()
            except Exception as error:
                delay = self._backoff(failures)
                failures += 1
                # What the store says of itself needs no stack; anything else is a fault of ours that must not stop the rest.
                logger.error(
                    "%s failed, next try in %.1f s: %s",
                    self._name,
                    delay,
                    error,
                    exc_info=None if isinstance(error, StoreError) else error,
                )
                await asyncio.sleep(delay)
                continue
            if failures:
                logger.info("%s works again", self._name)
                failures = 0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._wanted.wait()

    def _backoff(self, failures: int) -> float:
        longest = min(_FIRST_BACKOFF * 2.0 ** min(failures, 20), self._most_backoff)
        return random.uniform(0.5, 1.0) * longest
