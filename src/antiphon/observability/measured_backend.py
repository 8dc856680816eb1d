"""A database whose operations are timed."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, TypeVar

from ..store import Backend, Collection, Document, Where
from ..store.changes import Changes
from ..store.cursor import Place
from ..store.errors import AlreadyExists

if TYPE_CHECKING:
    from .metrics import Metrics

T = TypeVar("T")


class MeasuredBackend(Backend):
    """Does what `backend` does, and tells `metrics` how long it took.

    Give it to the store before it is opened: `store.backend = MeasuredBackend(store.backend, metrics)`.
    """

    def __init__(self, backend: Backend, metrics: Metrics) -> None:
        self._backend = backend
        self._metrics = metrics

    async def connect(self) -> None:
        await self._backend.connect()

    async def disconnect(self) -> None:
        await self._backend.disconnect()

    async def ping(self) -> None:
        await self._timed("ping", self._backend.ping())

    async def prepare(self, collection: Collection) -> None:
        await self._backend.prepare(collection)

    async def insert(self, collection: Collection, document: Document) -> None:
        await self._timed("insert", self._backend.insert(collection, document))

    async def fetch(self, collection: Collection, id: str) -> Document | None:
        return await self._timed("fetch", self._backend.fetch(collection, id))

    async def select(
        self,
        collection: Collection,
        where: Where,
        *,
        limit: int,
        after: Place | None = None,
        newest_first: bool = False,
    ) -> list[Document]:
        selecting = self._backend.select(
            collection, where, limit=limit, after=after, newest_first=newest_first
        )
        return await self._timed("select", selecting)

    async def count(self, collection: Collection, where: Where) -> int:
        return await self._timed("count", self._backend.count(collection, where))

    async def modify(
        self, collection: Collection, where: Where, changes: Changes, *, order_by: str = "created_at"
    ) -> Document | None:
        return await self._timed(
            "modify", self._backend.modify(collection, where, changes, order_by=order_by)
        )

    async def remove(self, collection: Collection, where: Where, *, limit: int) -> int:
        return await self._timed("remove", self._backend.remove(collection, where, limit=limit))

    async def _timed(self, operation: str, doing: Awaitable[T]) -> T:
        began = time.monotonic()
        failed = True
        try:
            result = await doing
            failed = False
            return result
        except AlreadyExists:
            failed = False  # the database did its work
            raise
        finally:
            self._metrics.store_operation(operation, time.monotonic() - began, failed=failed)
