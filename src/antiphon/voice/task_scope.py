"""Tasks with an owner.

`asyncio.TaskGroup` ends all its tasks when one fails; a call must outlive a failed webhook or tool. A scope keeps its
tasks apart, reports what fails, and ends all of them, within a deadline, when it is closed.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

logger = logging.getLogger(__name__)
T = TypeVar("T")


class TaskScope:
    """The owner of a set of tasks.

    They run in copies of the context that the scope was made in. What causes one, such as audio that is judged for many
    callers at once, may come from the context of another call.
    """

    def __init__(self, name: str, on_error: Callable[[BaseException], None] | None = None) -> None:
        self._name = name
        self._on_error = on_error
        self._context = contextvars.copy_context()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def spawn(self, coroutine: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Run `coroutine` as a task of this scope.

        Raises:
            RuntimeError: the scope is closed.
        """
        if self._closed:
            coroutine.close()
            raise RuntimeError(f"{self._name} is closed and starts no task {name!r}")
        task = asyncio.get_running_loop().create_task(
            coroutine, name=f"{self._name}/{name}", context=self.context
        )
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    @property
    def context(self) -> contextvars.Context:
        """A copy of the context that the scope was made in."""
        return self._context.copy()

    @property
    def closed(self) -> bool:
        return self._closed

    def __len__(self) -> int:
        return len(self._tasks)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            return
        if self._on_error is not None:
            self._on_error(error)
        else:
            logger.error("%s failed", task.get_name(), exc_info=error)

    async def finish(self, timeout: float) -> None:
        """Let the tasks end by themselves for `timeout` seconds, then cancel what is left."""
        self._closed = True
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        await self.aclose(timeout)

    async def aclose(self, timeout: float) -> list[str]:
        """Cancel all tasks but the caller's and wait for them.

        Returns:
            The names of tasks that did not end within `timeout` seconds.
        """
        self._closed = True
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        if not tasks:
            return []
        _, pending = await asyncio.wait(tasks, timeout=timeout)
        return [task.get_name() for task in pending]
