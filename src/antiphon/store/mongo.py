"""The store in MongoDB: single-document operations only, unique and plain indexes only, so a standalone server is enough.

Source: https://www.mongodb.com/docs/manual/core/write-operations-atomicity/.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pymongo
from bson.errors import BSONError
from pymongo import AsyncMongoClient, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import ConfigurationError, PyMongoError

from . import mql
from .backend import Backend
from .changes import Changes
from .cursor import Place
from .documents import UNIQUE, Collection, Document
from .errors import StoreError, StoreUnavailable
from .filters import Where
from .hurry import seconds_allowed
from .mongo_errors import translated

DEADLINE_SECONDS = 10.0
DATABASE = "antiphon"


class MongoBackend(Backend):
    """The store in the database that `url` names (`antiphon` if it names none).

    Args:
        url: as in `mongodb://host:27017/antiphon`.
        deadline: seconds that an operation may take, with all its tries.
    """

    def __init__(self, url: str, *, deadline: float = DEADLINE_SECONDS) -> None:
        self._url = url
        self._deadline = deadline
        self._client: AsyncMongoClient[dict[str, Any]] | None = None

    async def connect(self) -> None:
        try:
            self._client = AsyncMongoClient(
                self._url,
                serverSelectionTimeoutMS=int(self._deadline * 1000),
                connectTimeoutMS=int(self._deadline * 1000),
                socketTimeoutMS=int(self._deadline * 1000),
                tz_aware=True,
            )
        except (ConfigurationError, ValueError) as error:
            raise StoreError(f"the address of the store is wrong: {error}") from None
        try:
            await self.ping()
        except BaseException:
            await self.disconnect()
            raise

    async def disconnect(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def ping(self) -> None:
        with self._asking():
            await self._connected().admin.command("ping")

    async def prepare(self, collection: Collection) -> None:
        with self._asking(collection):
            documents = self._documents(collection)
            await documents.create_index([("created_at", 1), ("_id", 1)], name="by_time")
            for name in collection.unique:
                await documents.create_index(
                    [(f"{UNIQUE}.{name}", 1)], name=f"unique_{name}", unique=True, sparse=True
                )
            for path in collection.indexed:
                others = [(other, 1) for other in collection.narrowed if other != path]
                keys = [(path, 1), ("created_at", 1), ("_id", 1), *others]
                await documents.create_index(keys, name=f"by_{path}_and_time")
            for path in collection.queues:
                keys = [(path, 1), ("claimable_at", 1), ("_id", 1)]
                await documents.create_index(keys, name=f"by_{path}_queue")
            for path in collection.system_indexed:
                await documents.create_index([(path, 1)], name=f"by_{path}", sparse=True)

    async def insert(self, collection: Collection, document: Document) -> None:
        with self._asking(collection):
            await self._documents(collection).insert_one(mql.stored(document))

    async def fetch(self, collection: Collection, id: str) -> Document | None:
        with self._asking(collection):
            found = await self._documents(collection).find_one({"_id": id})
        return None if found is None else mql.loaded(found)

    async def select(
        self,
        collection: Collection,
        where: Where,
        *,
        limit: int,
        after: Place | None = None,
        newest_first: bool = False,
    ) -> list[Document]:
        query = mql.query(where)
        direction = pymongo.DESCENDING if newest_first else pymongo.ASCENDING
        if after is not None:
            beyond = "$lt" if newest_first else "$gt"
            later = {"created_at": {beyond: after.created_at}}
            same_time = {"created_at": after.created_at, "_id": {beyond: after.id}}
            query = {"$and": [query, {"$or": [later, same_time]}]}
        with self._asking(collection):
            found = self._documents(collection).find(
                query, sort=[("created_at", direction), ("_id", direction)], limit=limit
            )
            return [mql.loaded(document) for document in await found.to_list()]

    async def count(self, collection: Collection, where: Where) -> int:
        with self._asking(collection):
            return await self._documents(collection).count_documents(mql.query(where))

    async def modify(
        self, collection: Collection, where: Where, changes: Changes, *, order_by: str = "created_at"
    ) -> Document | None:
        # One document at most needs no order, which would only lead the server to another index than that of the ids.
        first = [(mql.name(order_by), pymongo.ASCENDING), ("_id", pymongo.ASCENDING)]
        with self._asking(collection):
            changed = await self._documents(collection).find_one_and_update(
                mql.query(where),
                mql.update(changes),
                sort=None if isinstance(where.get("id"), str) else first,
                return_document=ReturnDocument.AFTER,
            )
        return None if changed is None else mql.loaded(changed)

    async def remove(self, collection: Collection, where: Where, *, limit: int) -> int:
        query = mql.query(where)
        with self._asking(collection):
            documents = self._documents(collection)
            chosen = await documents.find(query, projection={"_id": 1}, limit=limit).to_list()
            if not chosen:
                return 0
            ids = {"_id": {"$in": [document["_id"] for document in chosen]}}
            return (await documents.delete_many({"$and": [query, ids]})).deleted_count

    def _connected(self) -> AsyncMongoClient[dict[str, Any]]:
        if self._client is None:
            raise StoreUnavailable("the store is closed")
        return self._client

    def _documents(self, collection: Collection) -> AsyncCollection[dict[str, Any]]:
        return self._connected().get_default_database(DATABASE)[collection.name]

    @contextlib.contextmanager
    def _asking(self, collection: Collection | None = None) -> Iterator[None]:
        """One deadline for what is asked inside, and the driver's errors as the store's.

        The driver waits by `asyncio.wait_for`, which up to Python 3.11 forgets a cancellation that comes together with the
        answer (https://github.com/python/cpython/issues/86296); whoever was cancelled is told here.
        """
        deadline = seconds_allowed(self._deadline)
        asking = asyncio.current_task()
        before = asking.cancelling() if asking else 0
        try:
            with pymongo.timeout(deadline):
                yield
            if asking and asking.cancelling() > before:
                raise asyncio.CancelledError
        except (PyMongoError, BSONError, OSError) as error:
            raise translated(error, collection, deadline) from error
