"""What MongoDB and its driver say goes out as an error of the store, so that callers know whether to try again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from antiphon.store import (
    AlreadyExists,
    Document,
    InvalidDocument,
    Keyring,
    Store,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

pytestmark = pytest.mark.needs("pymongo", "aiosqlite")


def _errors() -> Iterator[tuple[BaseException, type[StoreError]]]:
    try:
        from bson import errors as bson_errors
        from pymongo import errors
    except ModuleNotFoundError:
        return
    yield errors.AutoReconnect("connection closed"), StoreUnavailable
    yield errors.NetworkTimeout("timed out"), StoreUnavailable
    yield errors.NotPrimaryError("stepped down"), StoreUnavailable
    yield errors.ServerSelectionTimeoutError("no servers"), StoreUnavailable
    yield errors.WaitQueueTimeoutError("no connection is free"), StoreUnavailable
    yield errors.ExecutionTimeout("too slow", 50), StoreUnavailable
    yield errors.WTimeoutError("waited too long", 64), StoreUnavailable
    yield errors.WriteConcernError("waited too long", 64), StoreUnavailable
    for code in (91, 112, 189, 11600, 11602, 13436):
        yield errors.OperationFailure("it passes", code), StoreUnavailable
    yield errors.OperationFailure("disk", 14031), StoreFull
    yield errors.OperationFailure("not allowed", 13), StoreError
    yield errors.DuplicateKeyError("E11000", 11000, {}), AlreadyExists
    yield errors.DocumentTooLarge("17 MB"), InvalidDocument
    yield errors.InvalidOperation("Cannot use AsyncMongoClient after close"), StoreUnavailable
    yield bson_errors.InvalidDocument("no such type"), InvalidDocument
    yield ConnectionResetError("reset"), StoreUnavailable


@pytest.mark.parametrize(
    ("error", "expected"),
    list(_errors()),
    ids=[f"{type(error).__name__} {getattr(error, 'code', None) or ''}" for error, _ in _errors()],
)
def test_each_error_of_the_driver_is_one_of_the_store(
    error: BaseException, expected: type[StoreError], run_clean: Any
) -> None:
    from antiphon.store.catalogue import CALLS
    from antiphon.store.mongo import MongoBackend

    backend = MongoBackend("mongodb://127.0.0.1:1/test")

    async def main() -> None:
        with backend._asking(CALLS):
            raise error

    with pytest.raises(StoreError) as raised:
        run_clean(main())
    assert type(raised.value) is expected
    assert raised.value.retryable is (expected in (StoreUnavailable, StoreFull))


def test_a_write_that_the_driver_sends_twice_is_no_collision(tmp_path: Any, run_clean: Any) -> None:
    from antiphon.store.documents import Collection
    from antiphon.store.sqlite import SqliteBackend

    class Twice(SqliteBackend):
        """The answer to each first write gets lost, and the driver writes again."""

        async def insert(self, collection: Collection, document: Document) -> None:
            await super().insert(collection, document)
            await super().insert(collection, document)

    async def main() -> None:
        async with Store(SqliteBackend(tmp_path / "store.db"), keyring=Keyring([])):
            pass
        async with Store(Twice(tmp_path / "store.db"), keyring=Keyring([])) as store:
            call = await store.create("calls", {"status": "queued"}, emit=[{"type": "call.queued"}])
            assert (await store.get("calls", call["id"]))["status"] == "queued"
            # Whoever names the document wants to know whether somebody else was faster.
            with pytest.raises(AlreadyExists):
                await store.create("calls", {}, id="call_of_ours")
            assert await store.count("calls") == 2

    run_clean(main())
