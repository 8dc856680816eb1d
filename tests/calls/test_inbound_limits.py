"""Calls that reach several processes in the same instant: as many are taken as there are places, on both databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from antiphon.calls import call_capacity, inbound
from antiphon.calls.call_capacity import keeps_place
from antiphon.calls.inbound import InboundOptions, InboundRouter
from support.calls import Rehearsed, Stage, rehearsed, until

pytestmark = pytest.mark.needs("phonenumbers", "aiosqlite", "cryptography")

NUMBER = "+14155550199"


@pytest.fixture
def vendor() -> Iterator[Rehearsed]:
    with rehearsed() as vendor:
        yield vendor


@pytest.mark.parametrize("apart", [0.0, 5.0], ids=["one clock", "clocks 5 s apart"])
@pytest.mark.parametrize("of_trunk", [True, False], ids=["of the trunk", "in all"])
def test_no_process_takes_a_call_too_many(
    open_it: Any,
    vendor: Any,
    run_clean: Any,
    monkeypatch: pytest.MonkeyPatch,
    apart: float,
    of_trunk: bool,
) -> None:
    """The worst that can happen: all processes look before any of them has taken its place."""
    processes, limit = 5, 2

    async def nothing_yet(*_: Any) -> int:
        return 0

    monkeypatch.setattr(inbound, "count_places", nothing_yet)
    if apart:  # whoever waits there waits in vain
        monkeypatch.setattr(call_capacity, "_GIVING_WAY", (0.1,) * 5)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            stores = [
                await stack.enter_async_context(open_it(clock=lambda late=n * apart: time.time() - late))
                for n in range(processes)
            ]
            stages = [Stage(store, lease_seconds=30.0) for store in stores]
            hired = await stages[0].hire()
            line = {"name": "line", "active": True, "max_concurrent": limit if of_trunk else None}
            trunk = await stores[0].create("trunks", line)
            mapping = {"number": NUMBER, "assistant_id": hired["id"], "active": True}
            await stores[0].create("inbound_sip", mapping)
            options = InboundOptions(100 if of_trunk else limit)
            legs, taking = [], []
            for stage in stages:
                leg, incoming = stage.ring()
                router = InboundRouter(stage.store, stage.host, options)
                taking.append(router.take(replace(incoming, trunk_id=trunk["id"], number=NUMBER)))
                legs.append(leg)
            calls = [call for call in await asyncio.gather(*taking) if call is not None]
            assert len(calls) == processes
            await until(lambda: all(call.status in ("answered", "busy") for call in calls), 20.0)
            answered = [call for call in calls if call.status == "answered"]
            # A place may stay empty, as with clocks that disagree; there is never a call too many.
            assert len(answered) <= limit
            if not apart:
                assert answered
            for leg in legs:
                leg.bye()
            for call in calls:
                document = await call.wait()
                if call not in answered:
                    assert (document["status"], document["sip_code"]) == ("busy", 503)
                    assert "already" in document["detail"]
            hung_up = [asked[1] for leg in legs for asked in leg.asked if asked[0] == "hang_up"]
            assert hung_up == [503] * (processes - len(answered))
            for stage in stages:
                await stage.aclose()

    run_clean(main(), timeout=50)


def test_the_youngest_gives_way_and_the_others_wait_for_it(
    open_it: Any, clock: Any, run_clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_capacity, "_GIVING_WAY", (0.05,) * 5)

    async def main() -> None:
        async with open_it() as store:
            calls = []
            for _ in range(4):
                fields = {"status": "ringing", "direction": "inbound", "trunk_id": "trunk_1"}
                calls.append(await store.create("calls", fields, owner="x", lease_seconds=30))
                clock.now += 0.5
            eldest, elder, younger, youngest = calls
            assert not await keeps_place(store, youngest, 2)
            assert not await keeps_place(store, younger, 2, "trunk_1")
            waiting = [asyncio.create_task(keeps_place(store, call, 2)) for call in (eldest, elder)]
            for call in (younger, youngest):
                await store.complete("calls", call, {"status": "busy"})
            assert await asyncio.gather(*waiting) == [True, True]
            # Where the younger keep their places, because they did not see it, the elder goes in the end.
            late = await store.create("calls", {"status": "ringing"}, owner="x", lease_seconds=30)
            assert not await keeps_place(store, eldest, 2)
            assert await keeps_place(store, late, 3)

    run_clean(main())
