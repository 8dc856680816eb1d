"""Answers the questions of one event loop in batches, in a thread, so that the loop is free meanwhile.

While a batch is being judged, the questions that arrive wait and become the next one: nobody waits for company, and many
sessions cost little more than one.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from .network import Question

Judge = Callable[[Sequence[Question]], NDArray[np.float32]]

MAX_BATCH = 4  # more take as much time each, and more memory at once

# One thread for the process: calls take turns on one core rather than all of them.
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="turn-detector")


class Batcher:
    """The questions of one event loop to one judge."""

    def __init__(self, judge: Judge) -> None:
        """Take what answers questions; it is called in a thread, never twice at once."""
        self._judge = judge
        self._waiting: list[tuple[Question, asyncio.Future[float]]] = []
        self._judging: asyncio.Future[NDArray[np.float32]] | None = None

    async def ask(self, question: Question) -> float:
        """The probability; whatever the judge raises."""
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._judging is None:
            self._begin()
        return await answer

    def _begin(self) -> None:
        waiting = [(question, answer) for question, answer in self._waiting if not answer.done()]
        batch, self._waiting = waiting[:MAX_BATCH], waiting[MAX_BATCH:]
        if not batch:
            return
        loop = asyncio.get_running_loop()
        self._judging = loop.run_in_executor(_thread, self._judge, [question for question, _ in batch])
        self._judging.add_done_callback(lambda judged: self._deliver(judged, [answer for _, answer in batch]))

    def _deliver(
        self, judged: asyncio.Future[NDArray[np.float32]], answers: Sequence[asyncio.Future[float]]
    ) -> None:
        self._judging = None
        error = None if judged.cancelled() else judged.exception()
        for k, answer in enumerate(answers):
            if answer.done():
                continue  # whoever asked has gone
            if judged.cancelled():
                answer.cancel()
            elif error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(float(judged.result()[k]))
        self._begin()


_batchers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Batcher]] = (
    weakref.WeakKeyDictionary()
)


def batcher_of_running_loop(judge: Judge) -> Batcher:
    """The batcher that all who ask this judge on the running event loop share."""
    batchers = _batchers.setdefault(asyncio.get_running_loop(), {})
    batcher = batchers.get(id(judge))
    if batcher is None:
        batcher = batchers[id(judge)] = Batcher(judge)  # keeps the judge, so that its id stays its own
    return batcher
