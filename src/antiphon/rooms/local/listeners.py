"""Listeners to a room's events, and the tasks that coroutine listeners run in."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from ..room import RoomEvent

logger = logging.getLogger(__name__)

Listener = Callable[..., Any]


class Listeners:
    """Calls listeners in the order they were added and owns the tasks of those that are coroutine functions.

    A listener that raises is logged with the room it belongs to; the others are still called.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._by_event: dict[str, list[Listener]] = {}
        self._tasks: dict[asyncio.Task[Any], RoomEvent] = {}

    def add(self, event: str, listener: Listener) -> None:
        """Add a listener.

        Raises:
            ValueError: rooms have no such event.
        """
        self._by_event.setdefault(RoomEvent(event), []).append(listener)

    def remove(self, event: str, listener: Listener) -> None:
        """Remove a listener; nothing happens when it is not there."""
        listeners = self._by_event.get(event, [])
        if listener in listeners:
            listeners.remove(listener)

    def emit(self, event: RoomEvent, *args: object) -> None:
        """Call everybody who listens to `event` now."""
        for listener in tuple(self._by_event.get(event, ())):
            try:
                result = listener(*args)
            except Exception:
                logger.exception("a listener to %s failed in %s", event.value, self._owner)
                continue
            if inspect.iscoroutine(result):
                self._run(result, event)

    async def aclose(self, *, deadline: float, spare: asyncio.Task[Any] | None = None) -> None:
        """Cancel the running listeners and await them; those to `disconnected` get `deadline` seconds to end first.

        Args:
            deadline: seconds, once to end and once more to obey a cancellation.
            spare: a task to leave alone: the listener that is closing the room it listens to.
        """
        pending = {task for task in self._tasks if task is not spare}
        farewells = {task for task in pending if self._tasks[task] is RoomEvent.DISCONNECTED}
        for task in pending - farewells:
            task.cancel()
        if farewells:
            _, late = await asyncio.wait(farewells, timeout=deadline)
            for task in late:
                task.cancel()
        pending = {task for task in pending if not task.done()}
        if pending:
            _, stuck = await asyncio.wait(pending, timeout=deadline)
            for task in stuck:
                logger.error("%s ignores its cancellation", task.get_name())
        self._by_event.clear()

    def _run(self, coroutine: Coroutine[Any, Any, Any], event: RoomEvent) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self._owner} on {event.value}")
        self._tasks[task] = event
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)
