"""MongoDB that is not there, does not answer, or goes away: an error that says so, within the deadline."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from antiphon.store import Keyring, Store, StoreError, StoreUnavailable
from support import document_server

pytestmark = pytest.mark.needs("pymongo")


def store_at(url: str, deadline: float) -> Store:
    from antiphon.store.mongo import MongoBackend

    return Store(MongoBackend(url, deadline=deadline), keyring=Keyring([]))


def test_nobody_listens(run_clean: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def main() -> None:
        with pytest.raises(StoreUnavailable) as error:
            await store_at(f"mongodb://127.0.0.1:{port}/test", 0.5).open()
        assert error.value.retryable

    run_clean(main(), timeout=10)


def test_somebody_listens_and_never_answers(run_clean: Any) -> None:
    async def main() -> None:
        connected: list[asyncio.StreamWriter] = []
        silent = await asyncio.start_server(lambda _, writer: connected.append(writer), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(StoreUnavailable):
            await store_at(f"mongodb://127.0.0.1:{port}/test", 0.5).open()
        assert connected
        for writer in connected:
            writer.close()
        silent.close()
        await silent.wait_closed()

    run_clean(main(), timeout=10)


@pytest.mark.needs("java", "mvn")
def test_the_server_goes_away(run_clean: Any) -> None:
    async def main() -> None:
        with document_server.running() as url:
            store = await store_at(f"{url}/test", 2.0).open()
            made = await store.create("calls", {"name": "before"})
        try:
            for operation in (store.get("calls", made["id"]), store.create("calls", {}), store.ping()):
                with pytest.raises(StoreUnavailable):
                    await operation
        finally:
            await store.close()
        with pytest.raises(StoreUnavailable, match="closed"):
            await store.ping()

    run_clean(main(), timeout=60)


@pytest.mark.parametrize("url", ["mongodb://", "mongodb://host:port/x"])
def test_a_wrong_address_is_no_matter_of_waiting(run_clean: Any, url: str) -> None:
    async def main() -> None:
        with pytest.raises(StoreError, match="address of the store") as error:
            await store_at(url, 0.5).open()
        assert not error.value.retryable

    run_clean(main(), timeout=10)
