"""The store is away: an answer that says so, soon, however many ask."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

pytestmark = pytest.mark.needs("aiosqlite", "cryptography", "fastapi", "pymongo")


def test_a_database_that_is_silent_or_gone_is_503_within_seconds(
    rest: Any, run_clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from antiphon.server.rest import prompt_answers
    from antiphon.store.mongo import MongoBackend

    monkeypatch.setattr(prompt_answers, "STORE_SECONDS", 0.4)
    asked: list[asyncio.StreamWriter] = []

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            gone = free.getsockname()[1]
        silent = await asyncio.start_server(lambda _, writer: asked.append(writer), "127.0.0.1", 0)
        async with rest() as api:
            for port in (gone, silent.sockets[0].getsockname()[1]):
                backend = MongoBackend(f"mongodb://127.0.0.1:{port}/test", deadline=60.0)
                connecting = asyncio.create_task(backend.connect())
                await asyncio.sleep(0.1)
                kept, api.store.backend.inner = api.store.backend.inner, backend
                try:
                    # Far below the deadline of the database; each alone takes what the first is given.
                    async with asyncio.timeout(20):
                        answers = await asyncio.gather(*(api.get("/calls") for _ in range(30)))
                        answers += [await api.post("/calls/outbound", {}), await api.client.get("/readyz")]
                finally:
                    api.store.backend.inner = kept
                    await backend.disconnect()
                    connecting.cancel()
                    await asyncio.wait([connecting])
                assert {answer.status_code for answer in answers} == {503}
                assert answers[0].json()["code"] == "store_unavailable"
                assert answers[0].headers["retry-after"]
                assert (await api.get("/calls")).status_code == 200
        for writer in asked:
            writer.close()
        silent.close()
        await silent.wait_closed()

    run_clean(scenario(), timeout=50)
