"""What may be queued, and what the same request twice is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.calls.call_requests import CallOver, end_call
from antiphon.calls.document import DocumentRefused, parse
from antiphon.calls.outbound_queue import IdempotencyKeyReused, OutboundCall, enqueue
from antiphon.store import OneOf, Store
from support.outbound import seed

pytestmark = pytest.mark.needs("phonenumbers")


async def request(store: Store, **fields: Any) -> OutboundCall:
    assistant = await store.find_one("assistants", {})
    trunk = await store.find_one("trunks", {})
    if assistant is None or trunk is None:
        assistant_id, trunk_id = await seed(
            store, numbers=["+14155550100", "+14155550101"], default_region="IN"
        )
    else:
        assistant_id, trunk_id = assistant["id"], trunk["id"]
    given = {"assistant_id": assistant_id, "trunk_id": trunk_id, "to_number": "98765 43210", **fields}
    return parse(OutboundCall, given)


async def events(store: Store, call_id: str) -> list[str]:
    return [event["type"] for event in (await store.get("calls", call_id)).get("outbox", [])]


def test_a_queued_call_is_its_own_record(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            woken: list[bool] = []
            asked = await request(
                store, variables={"name": "Ann", "context": {"debt": 7}}, metadata={"campaign": "june"}
            )
            call = await enqueue(store, asked, wake=lambda: woken.append(True))
            shown = {
                name: call[name]
                for name in ("status", "direction", "service", "called_number", "caller_number", "queued_at")
            }
            assert shown == {
                "status": "queued",
                "direction": "outbound",
                "service": "loopback",
                "called_number": "+919876543210",
                "caller_number": "+14155550100",
                "queued_at": clock.now,
            }
            assert call["assistant_name"] == "Bank"
            assert call["variables"] == {
                "caller_number": "+14155550100",
                "called_number": "+919876543210",
                "name": "Ann",
            }
            assert (call["context"], call["metadata"]) == ({"debt": 7}, {"campaign": "june"})
            assert woken == [True]
            assert await events(store, call["id"]) == ["call.queued"]
            claimed = await store.claim("calls", {"status": "queued"}, owner="d", lease_seconds=30)
            assert claimed is not None
            assert claimed["id"] == call["id"]

    run_clean(main())


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"assistant_id": "asst_gone"}, "assistant_id"),
        ({"trunk_id": "trunk_gone"}, "trunk_id"),
        ({"to_number": "12"}, "to_number"),
        ({"to_number": "+919876543210\r\nX: y"}, "to_number"),
        ({"to_number": "sip:someone@example.com"}, "to_number"),
        ({"from_number": "+14155550999"}, "from_number"),
        ({"from_number": "nobody"}, "from_number"),
        ({"variables": {"context": "text"}}, "variables.context"),
        ({"scheduled_at": 4e9}, "scheduled_at"),
    ],
    ids=str,
)
def test_what_could_never_be_dialled_is_refused(
    open_it: Any, run_clean: Any, fields: dict[str, Any], field: str
) -> None:
    async def main() -> None:
        async with open_it() as store:
            asked = await request(store, **fields)
            with pytest.raises(DocumentRefused) as caught:
                await enqueue(store, asked)
            assert [problem.field for problem in caught.value.problems] == [field]
            assert await store.count("calls") == 0

    run_clean(main())


@pytest.mark.parametrize(
    "fields",
    [
        {"variables": {"text": "x" * 65536}},
        {"metadata": {"text": "é" * 40000}},
        {"variables": {"number": 2**70}},
        {"variables": {"half": "\ud800"}},
        {"variables": []},
        {"scheduled_at": "2030-01-31T09:00:00"},
        {"scheduled_at": "tomorrow"},
        {"scheduled_at": -1},
        {"assistant_id": ""},
        {"to_number": ""},
        {"unknown": 1},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_what_cannot_be_read_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(DocumentRefused) as caught:
        parse(OutboundCall, {"assistant_id": "a", "trunk_id": "t", "to_number": "+14155550123", **fields})
    # What is no Unicode text is not read far enough to know the field.
    name = "" if "half" in str(fields) else next(iter(fields))
    assert name in caught.value.problems[0].field


def test_an_inactive_assistant_calls_nobody(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            asked = await request(store)
            await store.update("assistants", asked.assistant_id, {"active": False})
            with pytest.raises(DocumentRefused, match=r"assistant_id: assistant .* is not active"):
                await enqueue(store, asked)

    run_clean(main())


def test_an_inactive_or_deleted_trunk_takes_no_calls(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            asked = await request(store)
            await store.update("trunks", asked.trunk_id, {"active": False})
            with pytest.raises(DocumentRefused, match="not active"):
                await enqueue(store, asked)
            await store.delete("trunks", asked.trunk_id)
            with pytest.raises(DocumentRefused, match="no trunk"):
                await enqueue(store, asked)

    run_clean(main())


def test_a_scheduled_call_waits_for_its_time(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            call = await enqueue(store, await request(store, scheduled_at=clock.now + 3600))
            again = await enqueue(store, await request(store, scheduled_at="2020-01-01T00:00:00Z"))
            assert again["scheduled_at"] == 1577836800.0
            due = await store.claim("calls", {"status": "queued"}, owner="d", lease_seconds=9999)
            assert due is not None
            assert due["id"] == again["id"]
            assert await store.claim("calls", {"status": "queued"}, owner="d", lease_seconds=1) is None
            clock.now += 3600
            due = await store.claim("calls", {"status": "queued"}, owner="d", lease_seconds=1)
            assert due is not None
            assert due["id"] == call["id"]

    run_clean(main())


def test_the_same_key_and_request_is_the_same_call(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            asked = await request(store, variables={"a": 1, "b": 2})
            same = await request(store, variables={"b": 2, "a": 1})
            call = await enqueue(store, asked, api_key_id="key_1", idempotency_key="k")
            assert (await enqueue(store, same, api_key_id="key_1", idempotency_key="k"))["id"] == call["id"]
            # Also once it is over, and the assistant is gone.
            await end_call(store, call["id"])
            await store.delete("assistants", asked.assistant_id)
            repeated = await enqueue(store, asked, api_key_id="key_1", idempotency_key="k")
            assert (repeated["id"], repeated["status"]) == (call["id"], "cancelled")

    run_clean(main())


def test_a_key_belongs_to_whom_it_was_sent_by_and_to_one_request(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            asked = await request(store)
            other = await request(store, to_number="98765 43211")
            call = await enqueue(store, asked, api_key_id="key_1", idempotency_key="k")
            with pytest.raises(IdempotencyKeyReused) as caught:
                await enqueue(store, other, api_key_id="key_1", idempotency_key="k")
            assert caught.value.call_id == call["id"]
            assert (await enqueue(store, other, api_key_id="key_2", idempotency_key="k"))["id"] != call["id"]
            for key in ("", "x" * 256, "a\nb"):
                with pytest.raises(DocumentRefused):
                    await enqueue(store, asked, api_key_id="key_1", idempotency_key=key)
            assert await store.count("calls") == 2

    run_clean(main())


def test_the_same_request_twenty_times_at_once_is_one_call(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as one, open_it() as two:
            asked = await request(one)
            calls = await asyncio.gather(
                *(enqueue((one, two)[n % 2], asked, api_key_id="k", idempotency_key="k") for n in range(20))
            )
            assert len({call["id"] for call in calls}) == 1
            assert await one.count("calls") == 1
            different = [await request(one, to_number=f"98765 4321{n}") for n in range(8)]
            results = await asyncio.gather(
                *(enqueue(one, asked, api_key_id="k", idempotency_key="j") for asked in different),
                return_exceptions=True,
            )
            refused = [result for result in results if isinstance(result, IdempotencyKeyReused)]
            assert len(refused) == 7

    run_clean(main())


def test_a_queued_call_is_cancelled_once(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            call = await enqueue(store, await request(store))
            assert (await end_call(store, call["id"]))["status"] == "cancelled"
            with pytest.raises(CallOver):
                await end_call(store, call["id"])
            assert (
                await store.claim("calls", {"status": OneOf(("queued",))}, owner="d", lease_seconds=1) is None
            )
            assert await events(store, call["id"]) == ["call.queued", "call.ended"]

    run_clean(main())
