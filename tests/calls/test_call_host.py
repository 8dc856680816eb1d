"""The calls of a process: leases, several processes, and processes that die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.calls.call_parts import HostClosing
from antiphon.calls.call_requests import end_call, submit
from antiphon.calls.supervisor import CallSupervisor
from antiphon.models.errors import AntiphonError
from antiphon.store import Keyring, Store, open_store
from antiphon.telephony import LegRtpTimedOut
from support.calls import Rehearsed, ScriptedDialler, Stage, outage, rehearsed, sqlite_store, until

KEY = bytes(range(32))


@pytest.fixture
def vendor() -> Iterator[Rehearsed]:
    with rehearsed() as vendor:
        yield vendor


def test_a_lease_is_renewed_as_long_as_the_call_lasts(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            stage = Stage(store, lease_seconds=0.6, renew_seconds=0.15)
            await stage.hire()
            leg, call = await stage.talking()
            supervisor = CallSupervisor(store)
            for _ in range(12):
                await asyncio.sleep(0.1)
                assert await supervisor.sweep() == 0
            leg.bye()
            assert (await call.wait())["status"] == "completed"
            await stage.aclose()

    run_clean(main())


def test_a_call_that_somebody_else_ended_is_let_go_without_a_word(
    tmp_path: Path, vendor: Any, run_clean: Any
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            stage = Stage(store, lease_seconds=0.3, renew_seconds=0.5)
            await stage.hire()
            leg, call = await stage.talking()
            await asyncio.sleep(0.4)  # stalled, as far as anybody can see
            assert await CallSupervisor(store).sweep() == 1
            document = await call.wait()
            assert (document["status"], document["end_reason"]) == ("failed", "error")
            assert any(asked[0] == "hang_up" for asked in leg.asked)
            assert leg.closed == 1
            assert (await stage.events(call.id)).count("call.ended") == 1
            assert stage.observed[-1] == ("ended", call.id, "failed")
            assert stage.rooms.rooms == {}
            await stage.aclose()

    run_clean(main())


def test_all_calls_end_side_by_side_when_the_process_does(
    tmp_path: Path, vendor: Any, run_clean: Any
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            stage = Stage(store)
            await stage.hire()
            scenes = [await stage.talking() for _ in range(5)]
            ringing_leg, incoming = stage.ring()
            never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            ringing = await stage.host.start_inbound(incoming, {"id": "in_1"}, stage.assistant, never)
            for leg, _ in scenes:
                leg.slow = 0.5
            began = asyncio.get_running_loop().time()
            await stage.aclose()
            assert asyncio.get_running_loop().time() - began < 2.5
            for _, call in scenes:
                stored = await store.get("calls", call.id)
                assert (stored["status"], stored["end_reason"]) == ("completed", "shutdown")
            stored = await store.get("calls", ringing.id)
            assert (stored["status"], stored["end_reason"]) == ("cancelled", "shutdown")
            assert ("hang_up", 503, "shutdown") in ringing_leg.asked
            with pytest.raises(HostClosing):
                await stage.inbound()
            await stage.aclose()

    run_clean(main())


def test_a_call_that_does_not_end_in_time_is_left_to_a_supervisor(
    tmp_path: Path, vendor: Any, run_clean: Any
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            stage = Stage(store, shutdown_seconds=0.2, lease_seconds=0.5)
            await stage.hire()
            leg, call = await stage.talking()
            leg.slow = 60.0
            await stage.host.aclose()
            assert stage.host.calls == {}
            assert (await store.get("calls", call.id))["status"] == "answered"
            await asyncio.sleep(0.6)
            assert await CallSupervisor(store).sweep() == 1
            assert leg.closed == 1
            await stage.aclose()

    run_clean(main())


def test_a_request_from_another_process_reaches_the_owner(
    tmp_path: Path, vendor: Any, run_clean: Any
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store, sqlite_store(tmp_path) as elsewhere:
            stage, other = Stage(store), Stage(elsewhere)
            await stage.hire()
            await other.hire()
            leg, call = await stage.talking()
            _, bystander = await other.talking()
            await submit(elsewhere, call.id, "dtmf", {"digits": "5"})
            other.host.poke(call.id)
            await until(lambda: ("dtmf", "5") in leg.asked)
            assert bystander.status == "answered"
            await stage.aclose()
            await other.aclose()

    run_clean(main())


def test_a_dispatcher_that_is_cancelled_ends_no_call(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            stage = Stage(store)
            await stage.hire()
            dialler = ScriptedDialler(stage.rooms)
            running = asyncio.create_task(stage.host.run_outbound(await stage.queue(), dialler))
            await until(lambda: dialler.legs)
            await asyncio.sleep(0.1)
            running.cancel()
            await asyncio.wait([running])
            (call,) = stage.host.calls.values()
            assert call.status == "dialing"
            await stage.aclose()
            assert (await store.get("calls", call.id))["status"] == "cancelled"
            assert dialler.legs[0].asked == ["cancel"]

    run_clean(main())


def test_a_queued_call_of_an_assistant_that_was_made_inactive_fails_undialled(
    tmp_path: Path, vendor: Any, run_clean: Any
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            stage = Stage(store)
            await stage.hire(active=False)
            dialler = ScriptedDialler(stage.rooms)
            ended = await stage.host.run_outbound(await stage.queue(), dialler)
            assert (ended["status"], ended["end_reason"]) == ("failed", "error")
            assert "not active" in ended["detail"]
            assert dialler.requests == []
            await stage.aclose()

    run_clean(main())


def test_what_was_not_dialled_when_the_process_ends_stays_in_the_queue(
    tmp_path: Path, vendor: Any, run_clean: Any
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            stage = Stage(store)
            await stage.hire()
            dialler = ScriptedDialler(stage.rooms)
            claimed = await stage.queue()
            renew = store.renew

            async def renew_slowly(*args: Any) -> Any:
                await asyncio.sleep(0.3)
                return await renew(*args)

            store.renew = renew_slowly  # type: ignore[method-assign]
            running = asyncio.create_task(stage.host.run_outbound(claimed, dialler))
            await until(lambda: stage.host.calls)
            await stage.host.aclose()
            with pytest.raises(HostClosing):
                await running
            assert dialler.requests == []
            assert (await store.get("calls", claimed["id"]))["status"] == "queued"
            await stage.aclose()

    run_clean(main())


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_each_call_ends_once(tmp_path: Path, vendor: Any, run_clean: Any, seed: int) -> None:
    """Thirty calls, ended in several ways at once at any time, while the store fails now and then."""
    chance = random.Random(seed)

    async def disturb(stage: Stage, leg: Any, call: Any) -> None:
        async def api() -> None:
            with contextlib.suppress(AntiphonError):
                await end_call(stage.store, call.id)
                stage.host.poke(call.id)

        async def close_room() -> None:
            await stage.rooms.close(call.room)

        def close_session() -> None:
            if call.session is not None:
                call.session.shutdown(drain=False, reason="agent_hangup")

        ways: list[Any] = [leg.bye, api, close_room, close_session, lambda: leg.tell(LegRtpTimedOut())]
        await asyncio.sleep(chance.uniform(0, 0.6))
        leg.talk()
        await asyncio.sleep(chance.uniform(0, 0.6))
        for way in chance.sample(ways, 3):
            result = way()
            if asyncio.iscoroutine(result):
                await result
            await asyncio.sleep(chance.choice([0, 0, 0.01, 0.1]))

    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            stage = Stage(store, lease_seconds=10.0, no_rtp_seconds=2.0, setup_seconds=2.0)
            await stage.hire()
            scenes = []
            for number in range(30):
                leg, incoming = stage.ring()
                leg.slow = chance.choice([0, 0, 0.05])
                leg.answers = number % 7 != 0
                scenes.append(
                    (leg, await stage.host.start_inbound(incoming, {"id": "in_1"}, stage.assistant, {}))
                )
            disturbances = [asyncio.create_task(disturb(stage, *scene)) for scene in scenes]
            for _ in range(4):
                await asyncio.sleep(chance.uniform(0.05, 0.3))
                with outage(stage, after=chance.random() < 0.5):
                    await asyncio.sleep(chance.uniform(0.05, 0.3))
            await asyncio.gather(*disturbances)
            await asyncio.gather(*(call.wait() for _, call in scenes))
            for leg, call in scenes:
                stored = await store.get("calls", call.id)
                events = [event["type"] for event in stored["outbox"]]
                assert events.count("call.ended") == 1
                assert events[-1] == "call.ended"
                assert stored["status"] == str(call.status)
                assert stored["completed_at"]
                assert "lease" not in stored
                assert leg.closed == 1
            assert stage.rooms.rooms == {}
            assert sum(what == "ended" for what, _, _ in stage.observed) == 30
            await stage.aclose()

    run_clean(main())


# ---- a process that is killed

PROCESS = """
import asyncio, sys
sys.path.insert(0, {tests!r})
from support.calls import Stage, rehearsed
from antiphon.store import Keyring, open_store

async def main():
    with rehearsed():
        async with open_store({address!r}, keyring=Keyring([bytes(range(32))])) as store:
            stage = Stage(store, lease_seconds=1.5, renew_seconds=0.3)
            await stage.hire()
            for number in range(7):
                await stage.talking()
            for number in range(3):
                leg, incoming = stage.ring()
                leg.answers = False
                await stage.host.start_inbound(incoming, {{"id": "in_1"}}, stage.assistant, {{}})
            print("ready", flush=True)
            await asyncio.sleep(60)

asyncio.run(main())
"""


def test_ten_calls_of_a_killed_process_end_once_each(address: str, run_clean: Any) -> None:
    tests = str(Path(__file__).parents[1])
    code = PROCESS.format(tests=tests, address=address)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()

    async def main() -> None:
        async with stores(address) as one, stores(address) as other:
            supervisors = [CallSupervisor(one), CallSupervisor(other)]
            ended = 0
            async with asyncio.timeout(20):
                while ended < 10:
                    ended += sum(await asyncio.gather(*(supervisor.sweep() for supervisor in supervisors)))
                    await asyncio.sleep(0.1)
            assert ended == 10
            calls = [call async for call in one.each("calls")]
            assert Counter(call["status"] for call in calls) == {"failed": 10}
            for call in calls:
                events = [event["type"] for event in call["outbox"]]
                assert events.count("call.ended") == 1
                assert sum(event["webhook"] is not None for event in call["outbox"]) == 1
                assert call["detail"] == "the process that ran the call died"
                assert call["ended_at"] <= call["updated_at"]
                assert "lease" not in call
            assert sum("answered_at" in call for call in calls) == 7

    run_clean(main())


def stores(address: str) -> Store:
    return open_store(address, keyring=Keyring([KEY]))
