"""The store with 100,000 calls in it: how long each operation takes on SQLite and over MongoDB's protocol; and tokens per second.

What speaks MongoDB's protocol here is mongo-java-server and no `mongod`: it keeps everything in memory, and of indexes it has
the unique ones only. What is found by its id or a unique value shows what our code and the driver cost; for all else it looks at
every document, which a `mongod` with the same indexes as SQLite does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from . import token_route
from .measurement import ROOT, Plan, Row, percentile

CALLS = 100_000
WARM_UP = 2
RUNNING = 50  # of them go on
QUEUED = 2_000  # of them are due
ASSISTANTS = 20
TRUNKS = 5
MONTH = 30 * 86400.0
MONGO_HEAP = "3g"

# p95 in milliseconds that nobody should have to wait longer for; a claim is in the way of each call that is dialled.
BUDGETS = {
    "create a call": 50.0,
    "read a call": 10.0,
    "first page of 50": 50.0,
    "claim the next queued call": 50.0,
}

Operation = Callable[[int], Awaitable[Any]]


def call_document(number: int, chance: random.Random, now: float) -> dict[str, Any]:
    """A call as the platform leaves it, about 2 kB; the last ones are running or queued."""
    running = number >= CALLS - RUNNING - QUEUED
    queued = number >= CALLS - QUEUED
    began = now - MONTH * (1 - number / CALLS)
    status = "queued" if queued else "answered" if running else chance.choices(ENDS, WEIGHTS)[0]
    document: dict[str, Any] = {
        "id": f"call_{int(began * 1000):012x}{number:020x}",
        "version": 7,
        "created_at": began,
        "updated_at": began + 95,
        "attempts": 1,
        "assistant_id": f"asst_{chance.randrange(ASSISTANTS):04d}",
        "assistant_name": "Bank",
        "direction": chance.choice(("outbound", "outbound", "inbound", "web")),
        "status": status,
        "room": f"call-{number}",
        "identity": None,
        "trunk_id": f"trunk_{chance.randrange(TRUNKS)}",
        "service": "generic",
        "caller_number": f"+1415555{chance.randrange(10000):04d}",
        "called_number": f"+1212{chance.randrange(10**7):07d}",
        "variables": {"name": "Ann", "order": {"number": number, "items": ["a", "b", "c"]}},
        "context": {"name": "Ann", "segment": "gold"},
        "metadata": {"campaign": f"c{number % 40}"},
        "idempotency_key": f"{number:064x}",
        "request_digest": f"{number * 7:064x}",
        "queued_at": began,
        "owner": f"host:{chance.randrange(4)}",
        "usage": {"prompt_tokens": 5120, "completion_tokens": 310, "characters": 1400, "heard_seconds": 90.1},
        "metrics": {"turns": 9, "interruptions": 2, "response_latency": {"p50": 0.81, "p95": 1.32}},
        "requests": [],
        "_unique": {"idempotency_key": f"{number:064x}"},
    }
    if queued:
        document |= {"claimable_at": now - 60, "attempts": 0, "owner": None}
    elif running:
        document |= {
            "claimable_at": now + 3600,
            "lease": {"owner": "host:1", "token": f"{number:032x}", "since": now},
            "answered_at": began + 9,
        }
    else:
        document |= {
            "completed_at": began + 95,
            "dialing_at": began + 2,
            "ringing_at": began + 3,
            "answered_at": began + 9,
            "ended_at": began + 95,
            "end_reason": "caller_hangup",
            "billed_seconds": 86,
            "recording": {"id": f"rec_{number}", "state": "stored", "seconds": 86.0, "bytes": 344000},
        }
    return document


ENDS = ("completed", "no_answer", "busy", "failed", "rejected", "cancelled", "timeout", "unreachable")
WEIGHTS = (80, 8, 4, 1, 3, 2, 1, 1)


async def fill(store: Any, calls: int) -> float:
    """Put the calls in, as if they had been made in the last month; returns how many a second."""
    from antiphon.store.catalogue import CALLS as COLLECTION

    chance, now = random.Random(4), time.time()
    began = time.perf_counter()
    for start in range(CALLS - calls, CALLS, 64):
        batch = [call_document(number, chance, now) for number in range(start, min(start + 64, CALLS))]
        await asyncio.gather(*(store.backend.insert(COLLECTION, document) for document in batch))
    return calls / (time.perf_counter() - began)


async def operations(store: Any) -> dict[str, Operation]:
    """What is measured, by name. Each is what the platform asks for somewhere."""
    from antiphon.store import Changes, OneOf, Range

    chance, now = random.Random(5), time.time()
    # Ids and a cursor in the middle, as a client that pages has them.
    page = await store.find("calls", {"created_at": Range(gte=now - MONTH / 2)}, limit=500)
    ids, cursor = [call["id"] for call in page.items], page.next_cursor
    keys = [call["idempotency_key"] for call in page.items]
    active = OneOf(("dialing", "ringing", "answered"))
    fresh: list[str] = []
    claimed: list[Any] = []

    async def create(number: int) -> None:
        document = {
            "status": "queued",
            "direction": "outbound",
            "assistant_id": "asst_0001",
            "trunk_id": "trunk_1",
        }
        event = {"type": "call.queued", "data": {"status": "queued"}}
        made = await store.create(
            "calls", {**document, "idempotency_key": f"new {chance.random()} {number}"}, emit=[event]
        )
        fresh.append(made["id"])

    async def change(number: int) -> None:
        event = {"type": "call.dialing", "data": {"status": "dialing"}}
        changes = Changes(set={"metadata.seen": number})
        await store.update(
            "calls", fresh[number % len(fresh)], changes, where={"status": "queued"}, emit=[event]
        )

    async def claim(_number: int) -> None:
        where = {"status": "queued"}
        document = await store.claim("calls", where, owner="bench", lease_seconds=60, order_by="claimable_at")
        assert document is not None
        claimed.append(document)

    async def complete(number: int) -> None:
        await store.complete("calls", claimed[number], {"status": "completed"})

    async def relay(_number: int) -> None:
        document = await store.claim_outbox("calls", lease_seconds=60)
        assert document is not None
        await store.acknowledge("calls", document["id"], [event["id"] for event in document["outbox"]])

    def find(where: dict[str, Any], **options: Any) -> Operation:
        return lambda _number: store.find("calls", where, limit=50, **{"newest_first": True, **options})

    return {
        "create a call": create,
        "change a call, with an event": change,
        "read a call": lambda number: store.get("calls", ids[number * 7 % len(ids)]),
        "first page of 50": find({}),
        "page of 50 in the middle": find({}, cursor=cursor, newest_first=False),
        "page of one status of 80 %": find({"status": "completed"}),
        "page of one status of 1 %": find({"status": "unreachable"}),
        "page of one assistant of 20": find({"assistant_id": "asst_0007"}),
        "page of one assistant and a rare status": find(
            {"assistant_id": "asst_0007", "status": "unreachable"}
        ),
        "page of one assistant and any of 3 statuses": find(
            {"assistant_id": "asst_0007", "status": OneOf(("failed", "timeout", "unreachable"))}
        ),
        "page of one direction of a past day": find(
            {"direction": "web", "created_at": Range(gte=now - 9 * 86400, lt=now - 8 * 86400)}
        ),
        "find a call by its idempotency key": lambda number: store.find_one(
            "calls", {"idempotency_key": keys[number * 11 % len(keys)]}
        ),
        "claim the next queued call": claim,
        "complete it": complete,
        "collect and acknowledge an event": relay,
        "look for lapsed calls": lambda _number: store.find(
            "calls", {"status": active, "claimable_at": Range(lte=time.time())}, limit=100
        ),
        "count the running calls of a trunk": lambda _number: _places(store),
        "count what is queued and due": lambda _number: store.count(
            "calls", {"status": "queued", "claimable_at": Range(lte=time.time())}
        ),
    }


async def _places(store: Any) -> int:
    from antiphon.calls.call_capacity import count_places

    return await count_places(store, "trunk_1")


async def _measure_store(store: Any, calls: int, times: int) -> tuple[float, dict[str, list[float]]]:
    """Calls put in a second, and for each operation its times in milliseconds, one after another."""
    async with store:
        rate = await fill(store, calls)
        taken: dict[str, list[float]] = {}
        for name, operation in (await operations(store)).items():
            for number in range(WARM_UP):
                await operation(number)
            taken[name] = []
            for number in range(times):
                began = time.perf_counter()
                await operation(number + WARM_UP)
                taken[name].append((time.perf_counter() - began) * 1000)
        return rate, taken


@contextlib.contextmanager
def _mongo() -> Iterator[str]:
    """The server that the tests of the store use, with room for more documents."""
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        from support import document_server
    finally:
        sys.path.pop(0)
    with document_server.running(heap=MONGO_HEAP) as url:
        yield f"{url}/bench"


def _rows(
    what: str,
    calls: int,
    measured: tuple[float, dict[str, list[float]]],
    budgets: Mapping[str, float] = MappingProxyType({}),
) -> list[Row]:
    rate, taken = measured
    rows = [
        Row(
            f"{what}: calls put in, 64 at once",
            "per s",
            round(rate),
            higher_is_better=True,
            note=f"{calls:,} calls",
        )
    ]
    for name, times in taken.items():
        rows.append(Row(f"{what}: {name}, p50", "ms", round(percentile(times, 50), 2)))
        rows.append(Row(f"{what}: {name}, p95", "ms", round(percentile(times, 95), 2), budgets.get(name)))
    return rows


def measure(plan: Plan) -> list[Row]:
    from antiphon.models.errors import AntiphonError
    from antiphon.store import Keyring, open_store

    calls, times, scans = (10_000, 50, 10) if plan.quick else (CALLS, 300, 60)
    keyring = Keyring([bytes(32)])
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as folder:
        path = Path(folder) / "store.db"
        store = open_store(f"sqlite:{path}", keyring=keyring)
        rows = _rows("SQLite", calls, asyncio.run(_measure_store(store, calls, times)), BUDGETS)
        rows.append(Row("SQLite: size of the file", "MB", round(path.stat().st_size / 2**20, 1)))
    try:
        with _mongo() as url:
            store = open_store(url, keyring=keyring)
            rows += _rows("mongo-java-server", calls, asyncio.run(_measure_store(store, calls, scans)))
    except (AntiphonError, RuntimeError, OSError) as error:
        rows.append(Row("mongo-java-server", "", None, note=f"failed: {error}".splitlines()[0]))
    return rows + token_route.measure(plan)
