"""Calls of dead processes are ended, once, and no others are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.calls.supervisor import CallSupervisor
from antiphon.store import StoreUnavailable

LEASE = 30.0
ANSWERED: dict[str, Any] = {
    "status": "answered",
    "direction": "inbound",
    "ringing_at": 1_800_000_000.0,
    "answered_at": 1_800_000_002.0,
    "agent_ready_at": 1_800_000_001.0,
    "media_at": 1_800_000_003.0,
}


async def running(store: Any, **fields: Any) -> Any:
    call = {**ANSWERED, "lease_seconds": LEASE, "owner": "p", **fields}
    return await store.create("calls", call, owner="p", lease_seconds=LEASE)


@pytest.mark.parametrize(
    ("fields", "billed"),
    [
        ({}, 8),
        ({"media_at": None}, 0),
        ({"agent_ready_at": None}, 0),
        ({"status": "ringing", "answered_at": None, "media_at": None}, 0),
        ({"status": "dialing", "direction": "outbound", "answered_at": None, "media_at": None}, 0),
    ],
)
def test_a_call_under_way_ends_when_its_lease_does(
    open_it: Any, clock: Any, run_clean: Any, fields: dict[str, Any], billed: int
) -> None:
    async def main() -> None:
        async with open_it() as store:
            call = await running(store, **fields)
            supervisor = CallSupervisor(store)
            clock.now += 10.0
            await store.renew("calls", call, LEASE)
            clock.now += LEASE - 0.1
            assert await supervisor.sweep() == 0
            clock.now += 0.2
            assert await supervisor.sweep() == 1
            ended = await store.get("calls", call["id"])
            assert (ended["status"], ended["end_reason"]) == ("failed", "error")
            assert ended["ended_at"] == 1_800_000_010.0
            assert ended["billed_seconds"] == billed
            assert [event["webhook"] for event in ended["outbox"]] == ["call.ended"]
            assert await supervisor.sweep() == 0

    run_clean(main())


def test_an_end_tells_what_became_of_the_recording(open_it: Any, clock: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            stored = {"state": "stored", "seconds": 6.5, "bytes": 4000, "error": "", "upload": None}
            recording = await store.create("recordings", {**stored, "call_id": "call_1"})
            begun = {"id": recording["id"], "state": "recording", "seconds": 0.0, "bytes": 0, "error": None}
            call = await running(store, recording=begun)
            clock.now += LEASE + 1
            assert await CallSupervisor(store).sweep() == 1
            assert (await store.get("calls", call["id"]))["recording"] == {
                "id": recording["id"],
                "state": "stored",
                "seconds": 6.5,
                "bytes": 4000,
                "error": None,
            }

    run_clean(main())


def test_queued_and_ended_calls_are_not_its_business(open_it: Any, clock: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            queued = await running(store, status="queued", direction="outbound")
            done = await running(store)
            await store.complete("calls", done, {"status": "completed"})
            clock.now += 1000.0
            assert await CallSupervisor(store).sweep() == 0
            assert (await store.get("calls", queued["id"]))["status"] == "queued"

    run_clean(main())


def test_of_several_supervisors_one_ends_each_call(open_it: Any, clock: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as one, open_it() as other:
            ids = [(await running(one))["id"] for _ in range(20)]
            clock.now += LEASE + 1
            supervisors = [CallSupervisor(store) for store in (one, other, one)]
            ended = await asyncio.gather(*(supervisor.sweep() for supervisor in supervisors))
            assert sum(ended) == 20
            for id in ids:
                assert len((await one.get("calls", id))["outbox"]) == 1

    run_clean(main())


def test_an_owner_that_is_merely_late_keeps_its_call(open_it: Any, clock: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            call = await running(store)
            clock.now += LEASE + 1
            find = store.find

            async def renewed_meanwhile(*args: Any, **options: Any) -> Any:
                page = await find(*args, **options)
                await store.renew("calls", call, LEASE)
                return page

            store.find = renewed_meanwhile
            assert await CallSupervisor(store).sweep() == 0
            assert (await store.get("calls", call["id"]))["status"] == "answered"

    run_clean(main())


def test_it_looks_again_when_the_store_was_down(open_it: Any, clock: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            call = await running(store)
            clock.now += LEASE + 1
            find, failures = store.find, 0

            async def down_at_first(*args: Any, **options: Any) -> Any:
                nonlocal failures
                failures += 1
                if failures < 3:
                    raise StoreUnavailable("the database does not answer")
                return await find(*args, **options)

            store.find = down_at_first
            supervisor = CallSupervisor(store, interval=0.02)
            supervisor.start()
            supervisor.start()
            async with asyncio.timeout(5):
                while failures < 6:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                assert (await store.get("calls", call["id"]))["status"] == "answered", (
                    "its owner could not renew"
                )
                while (await store.get("calls", call["id"]))["status"] == "answered":
                    clock.now += 1.0
                    await asyncio.sleep(0.02)
            await supervisor.aclose()
            await supervisor.aclose()
            assert clock.now >= 1_800_000_000.0 + LEASE + 1 + LEASE

    run_clean(main())


def test_what_stood_still_is_given_time_to_renew(open_it: Any, clock: Any, run_clean: Any) -> None:
    """As when a machine was suspended, with all its processes."""

    async def main() -> None:
        async with open_it() as store:
            call = await running(store)
            supervisor = CallSupervisor(store, interval=5.0)
            for pause, ended in ((0, 0), (5, 0), (300, 0), (5, 0), (5, 0)):
                clock.now += pause
                assert await supervisor.sweep(patient=True) == ended
            await store.renew("calls", call, LEASE)
            for ended in (0, 0, 0, 0, 0, 0, 1, 0):
                assert await supervisor.sweep(patient=True) == ended
                clock.now += 5.0

    run_clean(main())
