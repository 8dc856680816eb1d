"""SQLite finds what the platform asks for by an index, and in its order: no look through all calls, no sorting of many."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from antiphon.store import COLLECTIONS, Keyring, OneOf, Range, open_store, sql
from antiphon.store.catalogue import CALLS, WEBHOOK_DELIVERIES

pytestmark = pytest.mark.needs("aiosqlite", "cryptography")

LIVE = {"deleted_at": None}
ACTIVE = OneOf(("dialing", "ringing", "answered"))
BY_TIME = "created_at DESC, id DESC"
DUE = '"f_claimable_at", id'

QUERIES = [
    # collection, where, order, the index that it is found by
    (CALLS, {}, BY_TIME, "calls_by_time"),
    (CALLS, {"status": "failed"}, BY_TIME, "calls_status_by_time"),
    (CALLS, {"assistant_id": "a"}, BY_TIME, "calls_assistant_id_by_time"),
    (CALLS, {"assistant_id": "a", "direction": "web"}, BY_TIME, "calls_(assistant_id|direction)_by_time"),
    (CALLS, {"direction": "web", "created_at": Range(gte=1, lt=2)}, BY_TIME, "calls_direction_by_time"),
    (CALLS, {"idempotency_key": "k"}, BY_TIME, "calls_idempotency_key_by_time"),
    (CALLS, {"status": "queued", "claimable_at": Range(lte=1)}, DUE, "calls_status_queue"),
    (CALLS, {"claimable_at": Range(lte=1)}, DUE, "calls_claimable_at_first"),
    (CALLS, {"trunk_id": "t", "claimable_at": Range(gt=1, lte=2)}, "", "calls_trunk_id_queue"),
    (CALLS, {"status": ACTIVE, "claimable_at": Range(lte=1)}, "", "calls_status_queue"),
    (CALLS, {"outbox_due": Range(lte=1)}, '"f_outbox_due", id', "calls_outbox_due_first"),
    (WEBHOOK_DELIVERIES, {"claimable_at": Range(lte=1)}, DUE, "webhook_deliveries_claimable_at_first"),
    (WEBHOOK_DELIVERIES, {"call_id": "c"}, BY_TIME, "webhook_deliveries_call_id_by_time"),
]


@pytest.fixture
def database(tmp_path: Path, run_clean: Any) -> sqlite3.Connection:
    path = tmp_path / "store.db"

    async def make() -> None:
        for _ in range(2):  # the second time, nothing is missing
            async with open_store(f"sqlite:{path}", keyring=Keyring([bytes(32)])):
                pass

    run_clean(make())
    return sqlite3.connect(path)


@pytest.mark.parametrize(("collection", "where", "order", "index"), QUERIES)
def test_what_the_platform_asks_for_has_its_index(
    database: sqlite3.Connection, collection: Any, where: dict[str, Any], order: str, index: str
) -> None:
    clause, parameters = sql.where_clause(collection, {**where, **LIVE})
    query = f"EXPLAIN QUERY PLAN SELECT body FROM {collection.name} WHERE {clause}"
    query += f" ORDER BY {order} LIMIT 51" if order else ""
    plan = " | ".join(row[3] for row in database.execute(query, parameters))
    assert re.search(rf"USING (?:COVERING )?INDEX {index}\b", plan), plan
    assert "TEMP B-TREE" not in plan


def test_every_index_is_there_once(database: sqlite3.Connection) -> None:
    found = [
        row[0]
        for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    ]
    assert len(found) == len(set(found))
    assert {f"{collection.name}_by_time" for collection in COLLECTIONS} <= set(found)
