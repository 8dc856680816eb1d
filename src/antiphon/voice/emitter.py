"""Named events with listeners."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from .task_scope import TaskScope

logger = logging.getLogger(__name__)
Listener = Callable[..., Any]


class Emitter:
    """Calls listeners in the order they were added, in the context of the scope.

    A failing one is logged and harms nobody else.
    """

    def __init__(self, scope: TaskScope) -> None:
        self._scope = scope
        self._listeners: dict[str, list[Listener]] = {}

    def on(self, event: str, listener: Listener | None = None) -> Listener:
        """Add a listener; without one, returns a decorator. Coroutine functions run as tasks of the owner."""
        if listener is None:
            return lambda function: self.on(event, function)
        self._listeners.setdefault(str(event), []).append(listener)
        return listener

    def once(self, event: str, listener: Listener | None = None) -> Listener:
        """Like `on`, for the next event only."""
        if listener is None:
            return lambda function: self.once(event, function)
        function = listener

        def call_once(*args: Any) -> Any:
            self.off(event, call_once)
            return function(*args)

        return self.on(event, call_once)

    def off(self, event: str, listener: Listener) -> None:
        """Remove a listener; nothing happens when it is not there."""
        listeners = self._listeners.get(str(event), [])
        if listener in listeners:
            listeners.remove(listener)

    def emit(self, event: str, *args: Any) -> None:
        for listener in tuple(self._listeners.get(str(event), ())):
            try:
                result = self._scope.context.run(listener, *args)
            except Exception:
                logger.exception("a listener for %r failed", str(event))
                continue
            if inspect.iscoroutine(result):
                self._run(event, result)

    def has_listeners(self, event: str) -> bool:
        return bool(self._listeners.get(str(event)))

    def _run(self, event: str, coroutine: Any) -> None:
        if self._scope.closed:
            asyncio.get_running_loop().call_soon(coroutine.close)
            logger.warning("a coroutine listener for %r came after the end and was not run", str(event))
            return
        self._scope.spawn(coroutine, name=f"on {event}")
