"""A database whose operations are timed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from ..store import Backend
from ..store.errors import AlreadyExists
from ..store.wrapped_backend import WrappedBackend

if TYPE_CHECKING:
    from .metrics import Metrics

T = TypeVar("T")


class MeasuredBackend(WrappedBackend):
    """Does what `inner` does, and tells `metrics` how long it took.

    Give it to the store before it is opened: `store.backend = MeasuredBackend(store.backend, metrics)`.
    """

    def __init__(self, inner: Backend, metrics: Metrics) -> None:
        super().__init__(inner)
        self._metrics = metrics

    async def _do(self, operation: str, doing: Callable[[], Awaitable[T]]) -> T:
        began = time.monotonic()
        failed = True
        try:
            result = await doing()
            failed = False
            return result
        except AlreadyExists:
            failed = False  # the database did its work
            raise
        finally:
            self._metrics.store_operation(operation, time.monotonic() - began, failed=failed)
