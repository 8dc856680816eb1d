"""The store is away: an answer that says so, soon, however many ask."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
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


def test_every_error_of_the_store_is_a_problem_that_says_what_to_do(rest: Any, run_clean: Any) -> None:
    from antiphon.store import errors

    expected: list[tuple[errors.StoreError, int, str]] = [
        (errors.NotFound("calls", "x"), 404, "not_found"),
        (errors.AlreadyExists("calls", "id"), 409, "already_exists"),
        (errors.Conflict("changed"), 409, "conflict"),
        (errors.LeaseLost("over"), 409, "conflict"),
        (errors.InvalidDocument("wrong", field="name"), 422, "invalid_document"),
        (errors.InvalidCursor("wrong"), 422, "invalid_document"),
        (errors.SecretError("no key"), 409, "secret_key"),
        (errors.StoreUnavailable("away"), 503, "store_unavailable"),
        (errors.StoreFull("full"), 507, "store_full"),
        (errors.StoreCorrupt("damaged"), 500, "store_failed"),
        (errors.SchemaError("newer"), 500, "store_failed"),
        (errors.StoreError("refused"), 500, "store_failed"),
    ]
    known = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    assert {type(error) for error, _, _ in expected} == {
        kind for kind in known if issubclass(kind, errors.StoreError)
    }

    async def scenario() -> None:
        async with rest() as api:
            assistant = await api.assistant()
            trunk = await api.create("/trunks", {"name": "line", "provider": "loopback", "numbers": []})
            body = {"assistant_id": assistant["id"], "trunk_id": trunk["id"], "to_number": "+14155550123"}
            insert = api.store.backend.insert
            for error, status, code in expected:

                async def fails(*_: Any, error: Exception = error) -> None:
                    raise error

                api.store.backend.insert = fails
                for key in ({}, {"Idempotency-Key": "one"}):
                    answer = await api.post("/calls/outbound", body, headers=key)
                    assert (answer.status_code, answer.json()["code"]) == (status, code)
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert answer.json()["detail"]
            api.store.backend.insert = insert
            assert (await api.post("/calls/outbound", body)).status_code == 202

    run_clean(scenario())


def test_who_only_reads_is_served_while_another_process_locks_the_file(
    rest: Any, run_clean: Any, rest_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from antiphon.server.rest import prompt_answers

    monkeypatch.setattr(prompt_answers, "STORE_SECONDS", 1.0)

    async def scenario() -> None:
        async with rest() as api:
            key = await api.with_scopes("*")  # whose first use is to be noted
            other = sqlite3.connect(rest_store.removeprefix("sqlite:"), isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            try:
                assert (await key.get("/calls")).status_code == 200
                tool = {"name": "t", "description": "d", "static": {"value": 1}}
                refused = await key.post("/tools", tool)
                assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
                assert (await key.get("/calls")).status_code == 200
            finally:
                other.execute("ROLLBACK")
                other.close()
            for _ in range(100):  # the writer waits for the lock up to its own time limit
                if (made := await key.post("/tools", {**tool, "name": "after"})).status_code == 201:
                    break
                await asyncio.sleep(0.1)
            assert made.status_code == 201

    run_clean(scenario())
