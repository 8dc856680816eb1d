"""A database around another: each operation goes through one place, which may time, refuse or watch it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .backend import Backend
from .changes import Changes
from .cursor import Place
from .documents import Collection, Document
from .filters import Where

T = TypeVar("T")


class WrappedBackend(Backend):
    """Does what `inner` does, by way of `_do`; opening and closing go straight through."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner

    @abstractmethod
    async def _do(self, operation: str, doing: Callable[[], Awaitable[T]]) -> T:
        """Give the result of `doing()`, an operation of this name, or raise."""

    async def connect(self) -> None:
        await self.inner.connect()

    async def disconnect(self) -> None:
        await self.inner.disconnect()

    async def prepare(self, collection: Collection) -> None:
        await self.inner.prepare(collection)

    async def ping(self) -> None:
        await self._do("ping", self.inner.ping)

    async def insert(self, collection: Collection, document: Document) -> None:
        await self._do("insert", lambda: self.inner.insert(collection, document))

    async def fetch(self, collection: Collection, id: str) -> Document | None:
        return await self._do("fetch", lambda: self.inner.fetch(collection, id))

    async def select(
        self,
        collection: Collection,
        where: Where,
        *,
        limit: int,
        after: Place | None = None,
        newest_first: bool = False,
    ) -> list[Document]:
        return await self._do(
            "select",
            lambda: self.inner.select(collection, where, limit=limit, after=after, newest_first=newest_first),
        )

    async def count(self, collection: Collection, where: Where) -> int:
        return await self._do("count", lambda: self.inner.count(collection, where))

    async def modify(
        self, collection: Collection, where: Where, changes: Changes, *, order_by: str = "created_at"
    ) -> Document | None:
        return await self._do(
            "modify", lambda: self.inner.modify(collection, where, changes, order_by=order_by)
        )

    async def remove(self, collection: Collection, where: Where, *, limit: int) -> int:
        return await self._do("remove", lambda: self.inner.remove(collection, where, limit=limit))
