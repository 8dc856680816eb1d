"""The one thread on which a process recognises: what callers wait for comes before what is only nice to have."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from typing import Generic, TypeVar

from .model import Cancelled

T = TypeVar("T")

_IDLE_SECONDS = 10.0


class Priority(IntEnum):
    """Smaller runs first."""

    FINAL = 0
    LIKELY = 1  # a final that is wanted if the caller says no more
    INTERIM = 2


class Job(Generic[T]):
    """A piece of work and its result; `cancel` drops it, also while it runs."""

    def __init__(self, priority: Priority, work: Callable[[Callable[[], bool]], T]) -> None:
        self.priority = priority
        self.future: Future[T] = Future()
        self.seconds = 0.0  # that the work took
        self._work = work
        self._cancelled = False
        self._claimed = threading.Lock()

    def cancel(self) -> None:
        self._cancelled = True
        self.future.cancel()

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def run(self) -> None:
        """Do the work unless it was cancelled or is being done: a job that became urgent is queued twice."""
        if not self._claimed.acquire(blocking=False) or self._cancelled:
            return
        if not self.future.set_running_or_notify_cancel():
            return
        begun = time.perf_counter()
        try:
            result = self._work(lambda: self._cancelled)
        except Cancelled:
            self.future.set_exception(Cancelled())
        except Exception as error:
            self.future.set_exception(error)  # whoever waits for the result is told
        else:
            self.seconds = time.perf_counter() - begun
            self.future.set_result(result)


class Worker:
    """Runs jobs by priority on a thread of its own, which ends when there has been nothing to do for a while."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._queue: queue.PriorityQueue[tuple[int, int, Job[object]]] = queue.PriorityQueue()
        self._number = itertools.count()
        self._lock = threading.Lock()
        self._running = False
        self._current: Job[object] | None = None

    @property
    def idle(self) -> bool:
        """Whether a job would start at once."""
        return self._current is None and self._queue.empty()

    def submit(self, job: Job[T], priority: Priority | None = None) -> None:
        """Queue a job; queue it again with a higher priority to hurry it.

        An interim text that is being made is given up for it.
        """
        if priority is not None:
            job.priority = priority
        current = self._current
        if (
            current is not None
            and current.priority is Priority.INTERIM
            and job.priority is not Priority.INTERIM
        ):
            current.cancel()
        with self._lock:
            self._queue.put((job.priority, next(self._number), job))  # type: ignore[arg-type]
            if not self._running:
                self._running = True
                threading.Thread(target=self._work, name=self._name, daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                _, _, job = self._queue.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._queue.empty():
                        self._running = False
                        return
                continue
            self._current = job
            job.run()
            self._current = None
            del job
