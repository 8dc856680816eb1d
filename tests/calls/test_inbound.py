"""Calls that come in: who answers, what is known of the caller, and how they are refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from antiphon.calls import refused_calls
from antiphon.calls.call_requests import end_call
from antiphon.calls.dispatcher import DispatcherOptions, OutboundDispatcher
from antiphon.calls.document import parse
from antiphon.calls.event_relay import EventRelay
from antiphon.calls.inbound import InboundOptions, InboundRouter
from antiphon.calls.outbound_queue import OutboundCall, enqueue
from antiphon.models.outbound_http import OutboundPolicy
from antiphon.store import Store
from antiphon.telephony.loopback import LoopbackDialler
from support.calls import Rehearsed, ScriptedLeg, Stage, outage, rehearsed, sqlite_store, until
from support.http_service import HttpService, http_answer, http_service
from support.outbound import eventually
from support.stores import Clock

pytestmark = pytest.mark.needs("phonenumbers", "httpx", "aiosqlite", "cryptography")

LOCAL = OutboundPolicy(allowed_networks=["127.0.0.0/8"])
NUMBER = "+14155550199"


@pytest.fixture
def vendor() -> Iterator[Rehearsed]:
    with rehearsed() as vendor:
        yield vendor


class Exchange:
    """A process that takes calls over one trunk."""

    def __init__(self, store: Store, max_concurrent: int = 100) -> None:
        self.store = store
        self.stage = Stage(store)
        self.refused: list[str] = []
        options = InboundOptions(max_concurrent, LOCAL, self.refused.append)
        self.router = InboundRouter(store, self.stage.host, options)
        self.trunk = ""
        self.mapping = ""

    async def set_up(
        self,
        *,
        trunk: dict[str, Any] | None = None,
        assistant: dict[str, Any] | None = None,
        **mapping: Any,
    ) -> None:
        hired = await self.stage.hire(**(assistant or {}))
        line = {
            "name": "line",
            "provider": "generic",
            "active": True,
            "default_region": "US",
            **(trunk or {}),
        }
        self.trunk = (await self.store.create("trunks", line))["id"]
        given = {"number": NUMBER, "assistant_id": hired["id"], "active": True, **mapping}
        self.mapping = (await self.store.create("inbound_sip", given))["id"]

    async def ask(self, service: HttpService, **fields: Any) -> None:
        """Callers are looked up at a service."""
        strategy = {"name": "crm", "url": service.url, "timeout_seconds": 1.0, **fields}
        made = await self.store.create("inbound_context_strategies", strategy)
        await self.store.update("inbound_sip", self.mapping, {"inbound_context_strategy_id": made["id"]})

    def ring(self, number: str = NUMBER, caller: str = "+14155550123") -> tuple[ScriptedLeg, Any]:
        leg, incoming = self.stage.ring()
        return leg, replace(incoming, trunk_id=self.trunk, number=number, caller_number=caller)

    async def calls(self) -> list[dict[str, Any]]:
        return [call async for call in self.store.each("calls")]

    async def aclose(self) -> None:
        assert self.stage.host.calls == {}
        assert not any(room.members for room in self.stage.rooms.rooms.values())
        await self.stage.aclose()


def test_a_call_is_taken_by_whoever_answers_the_number(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with (
            sqlite_store(tmp_path) as store,
            http_service(http_answer({"context": {"name": "Ann"}})) as service,
        ):
            exchange = Exchange(store)
            await exchange.set_up()
            await exchange.ask(service)
            leg, incoming = exchange.ring("(415) 555-0199", "4155550123")
            call = await exchange.router.take(incoming)
            assert call is not None
            await until(lambda: call.status == "answered")
            assert leg.asked[:2] == ["ring", "answer"]
            assert leg.room.name == call.room
            # The texts know who calls.
            leg.talk()
            await until(lambda: vendor.llms and vendor.llms[0].requests)
            leg.bye()
            await call.wait()
            document = await store.get("calls", call.id)
            shown = {
                name: document[name]
                for name in ("status", "called_number", "caller_number", "service", "trunk_id", "inbound_id")
            }
            assert shown == {
                "status": "completed",
                "called_number": NUMBER,
                "caller_number": "+14155550123",
                "service": "generic",
                "trunk_id": exchange.trunk,
                "inbound_id": exchange.mapping,
            }
            assert document["context"] == {"name": "Ann"}
            assert document["variables"] == {
                "caller_number": "+14155550123",
                "called_number": NUMBER,
                "direction": "inbound",
                "service": "generic",
            }
            assert document["context_lookup"]["outcome"] == "found"
            assert 0 <= document["context_lookup"]["seconds"] < 2
            asked = json.loads(service.requests[0][1])
            assert (asked["room_name"], asked["caller_number"], asked["inbound_id"]) == (
                call.room,
                "+14155550123",
                exchange.mapping,
            )
            await exchange.aclose()

    run_clean(main())


def test_it_rings_while_the_caller_is_looked_up(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        answer = http_answer({"context": {"name": "Ann"}})
        async with sqlite_store(tmp_path) as store, http_service(answer, delay=0.4) as service:
            exchange = Exchange(store)
            await exchange.set_up()
            await exchange.ask(service)
            leg, incoming = exchange.ring()
            call = await exchange.router.take(incoming)
            assert call is not None
            await until(lambda: leg.asked == ["ring"])
            await asyncio.wait_for(service.asked.wait(), 2)
            assert call.status == "ringing"
            await until(lambda: call.status == "answered")
            leg.bye()
            await call.wait()
            assert call.document["context"] == {"name": "Ann"}
            await exchange.aclose()

    run_clean(main())


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (http_answer({}, "500 Oops"), "bad_status"),
        (http_answer(b"junk"), "bad_answer"),
        (None, "timeout"),
        (b"", "unreachable"),
    ],
    ids=["500", "junk", "slow", "closed"],
)
def test_a_lookup_that_fails_fails_no_call(
    tmp_path: Path, vendor: Any, run_clean: Any, answer: bytes | None, outcome: str
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store, http_service(answer) as service:
            exchange = Exchange(store)
            await exchange.set_up()
            await exchange.ask(service)
            leg, incoming = exchange.ring()
            call = await exchange.router.take(incoming)
            assert call is not None
            await until(lambda: call.status == "answered")
            leg.talk()
            leg.bye()
            document = await call.wait()
            assert (document["context"], document["context_lookup"]["outcome"]) == ({}, outcome)
            assert document["status"] == "completed"
            await exchange.aclose()

    run_clean(main())


@pytest.mark.parametrize("caller", ["\ud800", "sip:%ed%a0%80@pbx", "x" * 5000, "'; DROP TABLE calls; --"])
def test_no_caller_is_refused_for_how_they_call_themselves(
    tmp_path: Path, vendor: Any, run_clean: Any, caller: str
) -> None:
    async def main() -> None:
        async with (
            sqlite_store(tmp_path) as store,
            http_service(http_answer({"context": {"name": "Ann"}})) as service,
        ):
            exchange = Exchange(store)
            await exchange.set_up()
            await exchange.ask(service)
            leg, incoming = exchange.ring(caller=caller)
            call = await exchange.router.take(incoming)
            assert call is not None
            await until(lambda: call.status == "answered")
            leg.bye()
            document = await call.wait()
            assert document["context_lookup"]["outcome"] == "found"
            assert document["caller_number"]
            await exchange.aclose()

    run_clean(main())


def test_a_strategy_that_is_gone_is_skipped(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            exchange = Exchange(store)
            await exchange.set_up(inbound_context_strategy_id="strategy_gone")
            leg, incoming = exchange.ring(caller="")
            call = await exchange.router.take(incoming)
            assert call is not None
            await until(lambda: call.status == "answered")
            leg.bye()
            document = await call.wait()
            assert document["context_lookup"]["outcome"] == "not_configured"
            assert document["caller_number"] == "anonymous"
            await exchange.aclose()

    run_clean(main())


ROWS: list[tuple[str, dict[str, Any], str, int, str, str]] = [
    ("no mapping", {}, "+14155550111", 480, "rejected", "unknown_number"),
    ("no number", {}, "sip:reception\ud800", 480, "rejected", "unknown_number"),
    ("inactive", {"active": False}, NUMBER, 480, "rejected", "detached"),
    ("detached", {"assistant_id": None}, NUMBER, 480, "rejected", "detached"),
    ("another trunk's", {"trunk_id": "trunk_other"}, NUMBER, 480, "rejected", "detached"),
    ("assistant gone", {"assistant_id": "asst_gone"}, NUMBER, 480, "rejected", "assistant"),
    ("assistant inactive", {"assistant": {"active": False}}, NUMBER, 480, "rejected", "assistant"),
    ("trunk inactive", {"trunk": {"active": False}}, NUMBER, 480, "rejected", "trunk"),
    ("trunk full", {"trunk": {"max_concurrent": 1}}, NUMBER, 503, "busy", "no_place"),
]


@pytest.mark.parametrize(
    ("name", "fields", "number", "code", "status", "reason"), ROWS, ids=[row[0] for row in ROWS]
)
def test_what_keeps_a_call_from_being_taken(
    tmp_path: Path,
    vendor: Any,
    run_clean: Any,
    name: str,
    fields: dict[str, Any],
    number: str,
    code: int,
    status: str,
    reason: str,
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            exchange = Exchange(store)
            hook = {"end_call_webhook": {"url": "https://crm.example.com/calls"}}
            await exchange.set_up(
                **{**fields, "assistant": {**hook, **fields.get("assistant", {})}},
            )
            if code == 503:
                running = {"status": "answered", "direction": "outbound", "trunk_id": exchange.trunk}
                await store.create("calls", running, owner="other", lease_seconds=30)
            leg, incoming = exchange.ring(number)
            assert await exchange.router.take(incoming) is None
            assert [asked[:2] for asked in leg.asked] == [("hang_up", code)]
            assert leg.closed == 1
            assert exchange.refused == [reason]
            refused = [call for call in await exchange.calls() if call["direction"] == "inbound"]
            assert len(refused) == 1
            call = refused[0]
            assert (call["status"], call["sip_code"], call["trunk_id"]) == (status, code, exchange.trunk)
            assert (call["caller_number"], call["billed_seconds"]) == ("+14155550123", 0)
            assert call["detail"]
            assert call["ended_at"]
            # It is over: nobody claims it, and the sweep may take it one day.
            assert call["completed_at"]
            assert await store.claim("calls", {"id": call["id"]}, owner="x", lease_seconds=1) is None
            # One event and, where an assistant is known and has one, one webhook.
            await EventRelay(store).relay_all()
            await EventRelay(store).relay_all()
            events = [event async for event in store.each("call_events", {"call_id": call["id"]})]
            assert [event["type"] for event in events] == ["call.ended"]
            expected = 0 if reason == "unknown_number" or name in ("detached", "assistant gone") else 1
            deliveries = [one async for one in store.each("webhook_deliveries", {"call_id": call["id"]})]
            assert len(deliveries) == expected
            await exchange.aclose()

    run_clean(main())


def test_strangers_who_try_numbers_are_only_counted(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            exchange = Exchange(store)
            await exchange.set_up()
            for last in range(30):
                leg, incoming = exchange.ring(f"+141555501{last:02d}")
                await exchange.router.take(replace(incoming, trunk_id="" if last % 2 else "trunk_gone"))
                assert leg.asked[0][:2] == ("hang_up", 480)
            assert await exchange.calls() == []
            assert set(exchange.refused) == {"unknown_number", "trunk"}
            assert len(exchange.refused) == 30
            await exchange.aclose()

    run_clean(main())


def test_a_flood_over_a_trunk_of_ours_does_not_fill_the_store(
    tmp_path: Path, vendor: Any, run_clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_calls, "RECORDS_AT_ONCE", 5)

    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            clock = Clock()
            store.clock = clock
            exchange = Exchange(store)
            await exchange.set_up()
            for _ in range(20):
                await exchange.router.take(exchange.ring("+14155550111")[1])
            assert (len(await exchange.calls()), len(exchange.refused)) == (5, 20)
            clock.now += 2.0
            for _ in range(5):
                await exchange.router.take(exchange.ring("+14155550111")[1])
            assert len(await exchange.calls()) == 7
            await exchange.aclose()

    run_clean(main())


def test_all_places_taken_is_503(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            exchange = Exchange(store, max_concurrent=2)
            await exchange.set_up()
            rings = [exchange.ring() for _ in range(5)]
            calls = await asyncio.gather(*(exchange.router.take(incoming) for _, incoming in rings))
            taken = [call for call in calls if call is not None]
            assert len(taken) == 2
            refused = [leg for (leg, _), call in zip(rings, calls, strict=True) if call is None]
            assert exchange.refused == ["no_place"] * 3
            assert all(leg.asked[0][:2] == ("hang_up", 503) for leg in refused)
            for (leg, _), call in zip(rings, calls, strict=True):
                if call is not None:
                    leg.bye()
                    await call.wait()
            await exchange.aclose()

    run_clean(main())


def test_a_store_that_is_down_is_500(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            exchange = Exchange(store)
            await exchange.set_up()
            leg, incoming = exchange.ring()
            with outage(exchange.stage):
                assert await exchange.router.take(incoming) is None
            assert leg.asked[0][:2] == ("hang_up", 500)
            assert exchange.refused == ["error"]
            assert leg.closed == 1
            await exchange.aclose()

    run_clean(main())


def test_a_room_that_cannot_be_had_is_500(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            exchange = Exchange(store)
            await exchange.set_up()
            leg, incoming = exchange.ring()
            await exchange.stage.rooms.aclose()
            call = await exchange.router.take(incoming)
            assert call is not None
            document = await call.wait()
            assert (document["status"], document["end_reason"]) == ("failed", "error")
            assert [asked[:2] for asked in leg.asked if asked[0] == "hang_up"] == [("hang_up", 500)]
            assert leg.closed == 1
            await exchange.aclose()

    run_clean(main())


def test_a_process_that_ends_is_503(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            exchange = Exchange(store)
            await exchange.set_up()
            leg, incoming = exchange.ring()
            await exchange.stage.host.aclose()
            assert await exchange.router.take(incoming) is None
            assert leg.asked[0][:2] == ("hang_up", 503)
            # Another process may take the caller: this is no end of a call.
            assert (await exchange.calls(), exchange.refused) == ([], ["closing"])
            await exchange.aclose()

    run_clean(main())


def test_a_caller_who_gives_up_during_the_lookup_leaves_nothing(
    tmp_path: Path, vendor: Any, run_clean: Any
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store, http_service(None) as service:
            exchange = Exchange(store)
            await exchange.set_up()
            await exchange.ask(service, timeout_seconds=10)
            leg, incoming = exchange.ring()
            call = await exchange.router.take(incoming)
            assert call is not None
            await asyncio.wait_for(service.asked.wait(), 2)
            began = asyncio.get_running_loop().time()
            leg.bye()
            document = await call.wait()
            assert asyncio.get_running_loop().time() - began < 2
            assert (document["status"], document["end_reason"]) == ("cancelled", "caller_hangup")
            assert leg.closed == 1
            await until(lambda: service.open_connections == 0)
            await exchange.aclose()

    run_clean(main())


def test_a_caller_who_gives_up_before_it_rings_leaves_nothing(
    tmp_path: Path, vendor: Any, run_clean: Any
) -> None:
    """At any moment: before there is a record, and while it is made."""

    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            exchange = Exchange(store)
            await exchange.set_up()
            for moment in range(30):
                leg, incoming = exchange.ring()
                taking = asyncio.create_task(exchange.router.take(incoming))
                for _ in range(moment):
                    await asyncio.sleep(0.0005)
                if leg.on_event is None:
                    await asyncio.sleep(0)
                leg.bye()
                call = await taking
                if call is not None:
                    document = await call.wait()
                    assert document["status"] in ("cancelled", "completed", "failed")
                assert leg.closed == 1
            assert {call["status"] for call in await exchange.calls()} <= {"cancelled", "completed", "failed"}
            await exchange.aclose()

    run_clean(main())


def test_a_loopback_call_is_two_calls_that_talk(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    """The whole way: queued, dispatched, dialled, looked up, answered, hung up; two records, two rooms."""

    async def main() -> None:
        async with (
            sqlite_store(tmp_path) as store,
            http_service(http_answer({"context": {"name": "Ann"}})) as service,
        ):
            exchange = Exchange(store)
            await exchange.set_up(trunk={"provider": "loopback", "numbers": ["+14155550123"]})
            await exchange.ask(service)
            stage = exchange.stage
            dialler = LoopbackDialler(stage.rooms, take=exchange.router.take)
            options = DispatcherOptions(poll_seconds=0.2)
            dispatcher = OutboundDispatcher(store, stage.host, {"loopback": dialler}, options)
            dispatcher.start()
            request = {
                "assistant_id": stage.assistant["id"],
                "trunk_id": exchange.trunk,
                "to_number": NUMBER,
                "variables": {"context": {"name": "Bob"}},
            }
            queued = await enqueue(store, parse(OutboundCall, request), wake=dispatcher.poke)

            async def both_are_answered() -> bool:
                calls = await exchange.calls()
                return [call["status"] for call in calls] == ["answered", "answered"] and all(
                    call.get("media_at") for call in calls
                )

            await eventually(both_are_answered)
            assert len(stage.rooms.rooms) == 2
            await end_call(store, queued["id"])

            async def both_are_over() -> bool:
                return [call["status"] for call in await exchange.calls()] == ["completed", "completed"]

            await eventually(both_are_over)
            outbound, inbound = await exchange.calls()
            assert (outbound["direction"], inbound["direction"]) == ("outbound", "inbound")
            assert (outbound["end_reason"], inbound["end_reason"]) == ("agent_hangup", "caller_hangup")
            assert (inbound["service"], inbound["caller_number"]) == ("loopback", "+14155550123")
            assert inbound["context"] == {"name": "Ann"}
            await eventually(lambda: dispatcher.under_way == 0)
            await dispatcher.stop()
            await dialler.aclose()
            await dispatcher.aclose()
            await exchange.aclose()

    run_clean(main())


def test_a_loopback_call_to_a_number_that_nobody_answers(tmp_path: Path, vendor: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            exchange = Exchange(store)
            await exchange.set_up(trunk={"provider": "loopback"}, active=False)
            dialler = LoopbackDialler(exchange.stage.rooms, take=exchange.router.take)
            dispatcher = OutboundDispatcher(store, exchange.stage.host, {"loopback": dialler})
            request = {
                "assistant_id": exchange.stage.assistant["id"],
                "trunk_id": exchange.trunk,
                "to_number": NUMBER,
            }
            queued = await enqueue(store, parse(OutboundCall, request))
            assert await dispatcher.work() == 1

            async def over() -> bool:
                return (await store.get("calls", queued["id"]))["status"] == "no_answer"

            await eventually(over)
            document = await store.get("calls", queued["id"])
            assert (document["sip_code"], document["attempts_failed"]) == (480, 0)
            await dispatcher.aclose()
            await dialler.aclose()
            await exchange.aclose()

    run_clean(main())


@pytest.mark.parametrize(
    ("dialled", "public", "over_trunk", "answered"),
    [
        ("id", True, False, True),
        ("name", True, False, True),
        ("name", False, False, False),
        ("name", True, True, False),
        ("nobody", True, False, False),
    ],
)
def test_a_telephone_without_a_trunk_may_dial_a_public_assistant(
    tmp_path: Path,
    vendor: Any,
    run_clean: Any,
    dialled: str,
    public: bool,
    over_trunk: bool,
    answered: bool,
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            exchange = Exchange(store)
            await exchange.set_up()
            assistant = await store.update(
                "assistants", (await store.find("assistants")).items[0]["id"], {"public": public}
            )
            leg, incoming = exchange.ring(
                {"id": assistant["id"], "name": assistant["name"]}.get(dialled, dialled)
            )
            call = await exchange.router.take(incoming if over_trunk else replace(incoming, trunk_id=""))
            assert (call is not None) is answered
            if call is not None:
                await until(lambda: call.status == "answered")
                leg.bye()
                await call.wait()
            else:
                assert "480" in str(leg.asked[0])
            await exchange.aclose()

    run_clean(main())
