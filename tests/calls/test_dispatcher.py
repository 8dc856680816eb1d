"""Calls leave the queue one by one: each once, not too many, not too fast."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from antiphon.calls.call_capacity import count_places, reserve_pace
from antiphon.calls.call_requests import end_call
from antiphon.calls.dispatcher import DispatcherOptions, OutboundDispatcher
from antiphon.calls.document import parse
from antiphon.calls.outbound_queue import OutboundCall, enqueue
from antiphon.calls.supervisor import CallSupervisor
from antiphon.store import OneOf, Store
from support.outbound import CountingDialler, QueueHost, add_trunk, eventually, seed

pytestmark = pytest.mark.needs("phonenumbers")

ROOT = Path(__file__).resolve().parents[2]


async def queue(
    store: Store, assistant: str, trunk: str, count: int, first: int = 0, **fields: Any
) -> list[str]:
    """Queue calls to numbers of their own; their ids."""
    requests = [
        parse(
            OutboundCall,
            {"assistant_id": assistant, "trunk_id": trunk, "to_number": f"+1415555{first + n:04}", **fields},
        )
        for n in range(count)
    ]
    return [call["id"] for call in await asyncio.gather(*(enqueue(store, one) for one in requests))]


def dispatcher(
    store: Store, dialler: CountingDialler, name: str = "d", *, talk: float = 0.0, **options: Any
) -> OutboundDispatcher:
    chosen = DispatcherOptions(**{"poll_seconds": 0.1, "first_retry_seconds": 0.02, **options})
    return OutboundDispatcher(store, QueueHost(store, name, talk), {"loopback": dialler}, chosen)


async def finished(store: Store, count: int) -> bool:
    return await store.count("calls", {"status": "completed"}) == count


@pytest.mark.slow
def test_two_dispatchers_drain_500_calls_each_once(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as one, open_it(clock=time.time) as two:
            assistant, trunk = await seed(one)
            await queue(one, assistant, trunk, 500)
            dialler = CountingDialler()
            both = [dispatcher(one, dialler, "one"), dispatcher(two, dialler, "two")]
            for each in both:
                each.start()
            await eventually(lambda: finished(one, 500), within=60)
            for each in both:
                await each.aclose()
            assert len(dialler.dialled) == 500
            assert set(dialler.dialled.values()) == {1}
            assert dialler.most["all"] <= 100
            assert await count_places(one) == 0

    run_clean(main(), timeout=90)


def test_limits_hold_over_all_dispatchers(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as one, open_it(clock=time.time) as two:
            assistant, narrow = await seed(one, max_concurrent=2)
            wide = await add_trunk(one)
            await queue(one, assistant, narrow, 10)
            await queue(one, assistant, wide, 25, first=100)
            dialler = CountingDialler()
            both = [
                dispatcher(store, dialler, name, talk=0.1, max_concurrent=5)
                for store, name in ((one, "one"), (two, "two"))
            ]
            for each in both:
                each.start()
            await eventually(lambda: finished(one, 35), within=25)
            for each in both:
                await each.aclose()
            assert dialler.most["all"] <= 5
            assert dialler.most[narrow] <= 2
            # The full trunk kept nobody from calling over the other one.
            assert dialler.most["all"] > 2
            assert set(dialler.dialled.values()) == {1}

    run_clean(main(), timeout=60)


def test_calls_of_other_directions_take_places_too(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store, max_concurrent=1)
            inbound = {"status": "answered", "direction": "inbound", "trunk_id": trunk}
            running = await store.create("calls", inbound, owner="other", lease_seconds=30)
            await queue(store, assistant, trunk, 1)
            dialler = CountingDialler()
            one = dispatcher(store, dialler)
            assert await one.work() == 0
            await store.update("calls", running["id"], {"status": "completed"}, complete=True)
            assert await one.work() == 1
            await eventually(lambda: dialler.dialled)
            await one.aclose()

    run_clean(main())


def test_a_call_whose_process_is_late_keeps_its_place(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            call = {"status": "answered", "direction": "outbound", "trunk_id": "trunk_1"}
            await store.create("calls", call, owner="slow", lease_seconds=10)
            await store.create("calls", {**call, "trunk_id": "trunk_11"}, owner="slow", lease_seconds=10)
            assert (await count_places(store), await count_places(store, "trunk_11")) == (2, 1)
            clock.now += 60
            assert (await count_places(store), await count_places(store, "trunk_11")) == (2, 1)
            # What waits, now or for later, takes none.
            await store.create("calls", {**call, "status": "queued"})
            await store.create("calls", {**call, "status": "queued", "claimable_at": clock.now + 5})
            assert await count_places(store) == 2
            assert await store.claim("calls", {"status": "queued"}, owner="d", lease_seconds=10)
            assert await count_places(store) == 3

    run_clean(main())


def test_a_dead_dispatchers_call_is_taken_by_another(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as dead, open_it() as alive:
            assistant, trunk = await seed(dead)
            [call_id] = await queue(dead, assistant, trunk, 1)
            assert await dead.claim("calls", {"status": "queued"}, owner="dead", lease_seconds=30)
            dialler = CountingDialler()
            one = dispatcher(alive, dialler)
            assert await one.work() == 0
            clock.now += 31
            assert await one.work() == 1
            await eventually(lambda: finished(alive, 1))
            await one.aclose()
            assert dialler.dialled.total() == 1
            assert (await alive.get("calls", call_id))["attempts"] == 2

    run_clean(main())


def test_the_pace_of_a_trunk_holds_over_all_dispatchers(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as one, open_it(clock=time.time) as two:
            assistant, slow = await seed(one, calls_per_second=10)
            fast = await add_trunk(one)
            await queue(one, assistant, slow, 12)
            await queue(one, assistant, fast, 5, first=100)
            dialler = CountingDialler()
            both = [dispatcher(one, dialler, "one"), dispatcher(two, dialler, "two")]
            for each in both:
                each.start()
            await eventually(lambda: finished(one, 17))
            for each in both:
                await each.aclose()
            times = [at for trunk, at in dialler.times if trunk == slow]
            assert len(times) == 12
            # A dispatcher that was late may catch up for half a second, no more.
            assert times[-1] - times[0] > 11 / 10 - 0.5
            quick = [at for trunk, at in dialler.times if trunk == fast]
            assert max(quick) < times[-1]

    run_clean(main())


def test_a_pace_is_one_after_the_other(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            granted = await asyncio.gather(*(reserve_pace(store, "trunk_1", 2.0) for _ in range(5)))
            assert granted.count(None) == 1
            assert await reserve_pace(store, "trunk_1", 2.0) == clock.now + 0.5
            assert await reserve_pace(store, "trunk_2", 2.0) is None
            clock.now += 0.6
            assert await reserve_pace(store, "trunk_1", 2.0) is None
            assert await reserve_pace(store, "trunk_1", 2.0) == pytest.approx(clock.now + 0.4)
            clock.now += 1000
            granted = await asyncio.gather(*(reserve_pace(store, "trunk_1", 2.0) for _ in range(5)))
            assert granted.count(None) == 1, "nothing is saved up while nobody calls"

    run_clean(main())


def test_an_attempt_that_cannot_begin_is_repeated_later(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store)
            [call_id] = await queue(store, assistant, trunk, 1)
            dialler = CountingDialler(refuse=lambda _request: len(dialler.refused) < 2)
            one = dispatcher(store, dialler)
            one.start()
            await eventually(lambda: finished(store, 1))
            await one.aclose()
            assert (len(dialler.refused), dialler.dialled.total()) == (2, 1)
            assert (await store.get("calls", call_id))["attempts_failed"] == 2

    run_clean(main())


def test_an_attempt_that_never_begins_is_given_up(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store)
            [call_id] = await queue(store, assistant, trunk, 1)
            dialler = CountingDialler(refuse=lambda _request: True)
            one = dispatcher(store, dialler, max_attempts=3)
            one.start()

            async def over() -> bool:
                return (await store.get("calls", call_id))["status"] == "failed"

            await eventually(over)
            await one.aclose()
            call = await store.get("calls", call_id)
            assert (len(dialler.refused), call["attempts_failed"], call["end_reason"]) == (3, 3, "error")
            assert "no connection to the trunk" in call["detail"]
            ends = [event for event in call["outbox"] if event.get("webhook") == "call.ended"]
            assert len(ends) == 1
            assert call.get("lease") is None

    run_clean(main())


def test_the_waits_between_attempts_grow(open_it: Any, run_clean: Any, clock: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            assistant, trunk = await seed(store)
            [call_id] = await queue(store, assistant, trunk, 1)
            one = dispatcher(
                store,
                CountingDialler(refuse=lambda _request: True),
                max_attempts=9,
                first_retry_seconds=2.0,
                longest_retry_seconds=10.0,
            )
            waits = []
            for attempt in range(1, 6):
                assert await one.work() == 1

                async def failed(attempt: int = attempt) -> bool:
                    return (await store.get("calls", call_id))["attempts_failed"] == attempt

                await eventually(failed)
                await eventually(lambda: one.under_way == 0)
                waits.append((await store.get("calls", call_id))["claimable_at"] - clock.now)
                assert await one.work() == 0, "not before its time"
                clock.now += waits[-1] + 0.001
            for wait, expected in zip(waits, [2, 4, 8, 10, 10], strict=True):
                assert 0.75 * expected < wait < 1.25 * expected
            await one.aclose()

    run_clean(main())


def test_a_scheduled_call_is_dialled_when_its_time_comes(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store)
            due = time.time() + 0.5
            await queue(store, assistant, trunk, 1, scheduled_at=due)
            dialler = CountingDialler()
            one = dispatcher(store, dialler)
            one.start()
            await eventually(lambda: finished(store, 1))
            await one.aclose()
            assert time.time() >= due

    run_clean(main())


def test_a_call_that_was_cancelled_is_not_dialled(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store)
            waiting, claimed, kept = await queue(store, assistant, trunk, 3)
            await end_call(store, waiting)
            # Somebody holds this one, so its end can only be asked for.
            held = await store.claim(
                "calls", {"status": "queued", "id": claimed}, owner="x", lease_seconds=30
            )
            assert held is not None
            assert (await end_call(store, claimed))["status"] == "queued"
            await store.release("calls", held)
            dialler = CountingDialler()
            one = dispatcher(store, dialler)
            await one.work()
            await eventually(lambda: finished(store, 1))
            await one.aclose()
            statuses = [(await store.get("calls", id))["status"] for id in (waiting, claimed, kept)]
            assert statuses == ["cancelled", "cancelled", "completed"]
            assert dialler.dialled.total() == 1

    run_clean(main())


def test_one_that_is_given_back_can_be_cancelled_meanwhile(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store)
            [call_id] = await queue(store, assistant, trunk, 1)
            cancelling: list[asyncio.Task[Any]] = []

            def refuse(_request: Any) -> bool:
                cancelling.append(asyncio.get_running_loop().create_task(end_call(store, call_id)))
                return True

            dialler = CountingDialler(refuse=refuse)
            one = dispatcher(store, dialler, first_retry_seconds=0.3)
            one.start()

            async def over() -> bool:
                return (await store.get("calls", call_id))["status"] == "cancelled"

            await eventually(over)
            await one.aclose()
            await asyncio.gather(*cancelling, return_exceptions=True)
            assert dialler.dialled.total() == 0

    run_clean(main())


@pytest.mark.parametrize("how", ["inactive", "another provider's"])
def test_calls_over_a_trunk_that_rests_wait(open_it: Any, run_clean: Any, how: str) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store)
            [call_id] = await queue(store, assistant, trunk, 1)
            change = {"active": False} if how == "inactive" else {"provider": "exotel"}
            await store.update("trunks", trunk, change)
            one = dispatcher(store, CountingDialler())
            assert await one.work() == 0
            call = await store.get("calls", call_id)
            assert (call["status"], call["attempts"]) == ("queued", 0)
            await store.update("trunks", trunk, {"active": True, "provider": "loopback"})
            assert await one.work() == 1
            await one.aclose()

    run_clean(main())


@pytest.mark.parametrize("hard", [False, True])
def test_calls_over_a_deleted_trunk_fail(open_it: Any, run_clean: Any, hard: bool) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store)
            [call_id] = await queue(store, assistant, trunk, 1)
            await store.delete("trunks", trunk, hard=hard)
            one = dispatcher(store, CountingDialler())
            assert await one.work() == 0
            call = await store.get("calls", call_id)
            assert (call["status"], call["detail"]) == ("failed", "the trunk was deleted")
            await one.aclose()

    run_clean(main())


def test_a_queued_call_wakes_the_dispatcher_of_its_process(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store)
            dialler = CountingDialler()
            one = dispatcher(store, dialler, poll_seconds=30.0)
            one.start()
            await asyncio.sleep(0.3)
            request = {"assistant_id": assistant, "trunk_id": trunk, "to_number": "+14155550123"}
            await enqueue(store, parse(OutboundCall, request), wake=one.poke)
            await eventually(lambda: finished(store, 1), within=5)
            await one.aclose()

    run_clean(main())


def test_stopping_claims_no_more_and_keeps_what_is_under_way(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store)
            await queue(store, assistant, trunk, 4)
            dialler = CountingDialler()
            one = dispatcher(store, dialler, talk=0.5, max_here=2)
            one.start()
            await eventually(lambda: dialler.dialled.total() == 2)
            await one.stop()
            await asyncio.sleep(0.7)
            assert await store.count("calls", {"status": "completed"}) == 2
            assert await store.count("calls", {"status": "queued", "lease": None}) == 2
            await one.aclose()
            assert dialler.dialled.total() == 2

    run_clean(main())


DISPATCHER = """
import asyncio, os, sys, time
from antiphon.calls.dispatcher import DispatcherOptions, OutboundDispatcher
from antiphon.store import Keyring, open_store
from support.outbound import CountingDialler, QueueHost

class Witness(CountingDialler):
    async def dial(self, request, on_event):
        os.write(1, (request.number + "\\n").encode())
        return await super().dial(request, on_event)

async def main():
    async with open_store(sys.argv[1], keyring=Keyring([bytes(range(32))])) as store:
        host = QueueHost(store, f"process-{os.getpid()}", talk=0.02)
        options = DispatcherOptions(max_concurrent=8, poll_seconds=0.1, lease_seconds=1.0)
        OutboundDispatcher(store, host, {"loopback": Witness()}, options).start()
        await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_killed_dispatcher_loses_no_call_and_repeats_none(
    address: str, open_it: Any, run_clean: Any
) -> None:
    """What it had begun to dial is left to the supervisor; all that waits is dialled by the next one."""

    async def start() -> asyncio.subprocess.Process:
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests"), str(ROOT)])
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", DISPATCHER, address),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )

    waiting: Any = {"status": OneOf(("queued", "dialing"))}

    async def main() -> None:
        async with open_it(clock=time.time) as store:
            assistant, trunk = await seed(store)
            await queue(store, assistant, trunk, 60)
            supervisor = CallSupervisor(store, interval=0.2)
            supervisor.start()
            dialled: list[str] = []
            for killed_after in (7, 19, 60):
                process = await start()
                assert process.stdout is not None
                try:
                    async with asyncio.timeout(40):
                        while len(dialled) < killed_after and await store.count("calls", waiting):
                            with contextlib.suppress(TimeoutError):
                                line = await asyncio.wait_for(process.stdout.readline(), 0.2)
                                assert line, "the dispatcher ended by itself"
                                dialled.append(line.decode().strip())
                finally:
                    process.kill()
                    dialled += (await process.stdout.read()).decode().split()
                    await process.wait()

            async def all_are_over() -> bool:
                return not await store.count("calls", waiting)

            await eventually(all_are_over)
            await supervisor.aclose()
            assert len(dialled) == len(set(dialled)), "nothing is dialled twice"
            calls = [call async for call in store.each("calls")]
            assert {call["status"] for call in calls} <= {"completed", "failed"}
            assert all(
                [event.get("webhook") for event in call["outbox"]].count("call.ended") == 1
                for call in calls
                if call["status"] == "failed"
            )
            # On record before anything is sent: what was killed in between was not dialled, and its end is known.
            completed = {call["called_number"] for call in calls if call["status"] == "completed"}
            assert completed <= set(dialled)
            assert len(completed) >= 60 - 3 * 8

    run_clean(main(), timeout=100)
