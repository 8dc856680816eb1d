"""A database that may be away: one request asks whether it is back, and the others need not wait, so they do not pile up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .backend import Backend
from .changes import Changes
from .cursor import Place
from .documents import Collection, Document
from .errors import StoreError, StoreUnavailable
from .filters import Where
from .hurry import hurry_now

T = TypeVar("T")


class GuardedBackend(Backend):
    """Does what `inner` does, or fails at once for those in a hurry while somebody asks whether it is back."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self._answers = 0
        self._away = False
        self._asking = False

    async def connect(self) -> None:
        await self.inner.connect()

    async def disconnect(self) -> None:
        await self.inner.disconnect()

    async def ping(self) -> None:
        await self._ask(self.inner.ping)

    async def prepare(self, collection: Collection) -> None:
        await self.inner.prepare(collection)

    async def insert(self, collection: Collection, document: Document) -> None:
        await self._ask(lambda: self.inner.insert(collection, document))

    async def fetch(self, collection: Collection, id: str) -> Document | None:
        return await self._ask(lambda: self.inner.fetch(collection, id))

    async def select(
        self,
        collection: Collection,
        where: Where,
        *,
        limit: int,
        after: Place | None = None,
        newest_first: bool = False,
    ) -> list[Document]:
        return await self._ask(
            lambda: self.inner.select(collection, where, limit=limit, after=after, newest_first=newest_first)
        )

    async def count(self, collection: Collection, where: Where) -> int:
        return await self._ask(lambda: self.inner.count(collection, where))

    async def modify(
        self, collection: Collection, where: Where, changes: Changes, *, order_by: str = "created_at"
    ) -> Document | None:
        return await self._ask(lambda: self.inner.modify(collection, where, changes, order_by=order_by))

    async def remove(self, collection: Collection, where: Where, *, limit: int) -> int:
        return await self._ask(lambda: self.inner.remove(collection, where, limit=limit))

    async def _ask(self, operation: Callable[[], Awaitable[T]]) -> T:
        hurry = hurry_now()
        if hurry is not None and (hurry.failed or (self._away and self._asking)):
            raise StoreUnavailable("the database did not answer a moment ago")
        alone = hurry is not None and self._away
        self._asking = self._asking or alone
        answers = self._answers
        try:
            result = await operation()
        except StoreUnavailable:
            # One that is slow for one question, but answered others meanwhile, is not away.
            self._away = self._away or self._answers == answers
            if hurry is not None:
                hurry.failed = True
            raise
        except StoreError:
            self._answered()
            raise
        finally:
            if alone:
                self._asking = False
        self._answered()
        return result

    def _answered(self) -> None:
        self._answers += 1
        self._away = False
