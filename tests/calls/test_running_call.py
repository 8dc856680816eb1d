"""One call in a process: from its first ring to its one end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from antiphon.calls.call_parts import DialFailure
from antiphon.calls.call_requests import CallOver, NotInProgress, end_call, end_queued, submit
from antiphon.calls.lifecycle_events import CancelRequested, Errored, TimerFired
from antiphon.calls.supervisor import CallSupervisor
from antiphon.models.chat_context import ToolCall
from antiphon.models.errors import AntiphonError, ConfigurationError
from antiphon.store import NotFound
from antiphon.telephony import LegAnswered, LegProgress, LegRejected, LegRtpTimedOut, TransferFailed
from support.calls import (
    Rehearsed,
    ScriptedDialler,
    ScriptedLeg,
    Stage,
    outage,
    rehearsed,
    sqlite_store,
    until,
)


@pytest.fixture
def vendor() -> Iterator[Rehearsed]:
    with rehearsed() as vendor:
        yield vendor


@pytest.fixture
def play(vendor: Rehearsed, tmp_path: Path, run_clean: Any) -> Callable[..., None]:
    """Run a scene on a stage with an assistant; options are of the calls."""

    def play(scene: Callable[[Stage], Awaitable[None]], **options: Any) -> None:
        async def main() -> None:
            async with sqlite_store(tmp_path) as store:
                stage = Stage(store, **options)
                try:
                    await stage.hire()
                    await scene(stage)
                finally:
                    await stage.aclose()

        run_clean(main())

    return play


def test_an_inbound_call_rings_until_the_agent_is_ready_and_is_recorded_to_its_end(
    play: Any, vendor: Rehearsed
) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.inbound()
        assert call.document["status"] == "ringing"
        await until(lambda: call.status == "answered")
        leg.talk()
        await until(lambda: stage.said)
        leg.bye()
        document = await call.wait()
        assert leg.asked[:2] == ["ring", "answer"]
        assert leg.closed == 1
        assert document["status"] == "completed"
        assert document["end_reason"] == "caller_hangup"
        assert document["billed_seconds"] == 1
        assert document["caller_number"] == "+14155550123"
        assert document["usage"]["llm_requests"] == 1
        assert "lease" not in document
        assert await stage.events(call.id) == [
            "call.ringing",
            "call.media_path_ready",
            "call.agent_ready",
            "call.answered",
            "call.media_received",
            "call.ended",
        ]
        assert [(e["role"], e["text"]) for e in await stage.transcript(call.id)] == [
            ("assistant", "Hello there.")
        ]
        assert [what for what, _, _ in stage.observed] == ["started", "ended"]
        assert stage.rooms.rooms == {}
        assert stage.host.calls == {}

    play(scene)


def test_an_outbound_call_is_on_record_before_it_is_dialled(play: Any, vendor: Rehearsed) -> None:
    async def scene(stage: Stage) -> None:
        dialler = ScriptedDialler(stage.rooms)
        stored: list[str] = []
        claimed = await stage.queue()
        running = asyncio.create_task(stage.host.run_outbound(claimed, dialler))
        await until(lambda: dialler.legs)
        stored.append((await stage.store.get("calls", claimed["id"]))["status"])
        leg = dialler.legs[0]
        leg.tell(LegProgress(180))
        leg.tell(LegAnswered())
        leg.talk()
        call = stage.host.get(claimed["id"])
        assert call is not None
        await until(lambda: vendor.llms and vendor.llms[0].requests)
        leg.bye()
        document = await running
        assert stored == ["dialing"]
        assert dialler.requests[0].number == "+14155550100"
        assert (document["status"], document["end_reason"]) == ("completed", "caller_hangup")
        assert document["owner"] == stage.host.process_id
        assert "Ann" in vendor.llms[0].requests[0][1][0].content

    play(scene)


@pytest.mark.parametrize(
    ("code", "status"),
    [(486, "busy"), (480, "no_answer"), (603, "rejected"), (404, "unreachable"), (500, "failed")],
)
def test_a_refused_attempt_says_so_and_costs_nothing(play: Any, code: int, status: str) -> None:
    async def scene(stage: Stage) -> None:
        dialler = ScriptedDialler(stage.rooms)
        dialler.script = lambda leg: leg.tell(LegRejected(code, "Sorry \udce4"))
        document = await stage.host.run_outbound(await stage.queue(), dialler)
        assert (document["status"], document["sip_code"]) == (status, code)
        assert document["detail"] == "Sorry ?"
        assert document["billed_seconds"] == 0
        assert dialler.legs[0].asked == []
        assert dialler.legs[0].closed == 1

    play(scene)


def test_an_attempt_that_could_not_begin_goes_back_into_the_queue(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        dialler = ScriptedDialler(stage.rooms)
        dialler.refuse = AntiphonError("no trunk is registered")
        claimed = await stage.queue()
        with pytest.raises(DialFailure, match="no trunk") as failed:
            await stage.host.run_outbound(claimed, dialler)
        document = failed.value.call
        assert document["status"] == "queued"
        released = await stage.store.release("calls", document, {"attempts_failed": 1})
        assert released["claimable_at"] <= stage.store.clock()
        claimed = await stage.store.claim("calls", {"status": "queued"}, owner="d", lease_seconds=5)
        assert claimed is not None
        ended = await end_queued(stage.store, claimed, Errored("no trunk is registered"))
        assert (ended["status"], ended["end_reason"]) == ("failed", "error")
        assert await stage.events(claimed["id"]) == ["call.dialing", "call.requeued", "call.ended"]

    play(scene)


def test_what_breaks_while_dialling_fails_the_call(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        dialler = ScriptedDialler(stage.rooms)
        dialler.refuse = RuntimeError("surprise")
        document = await stage.host.run_outbound(await stage.queue(), dialler)
        assert (document["status"], document["end_reason"]) == ("failed", "error")

    play(scene)


def test_a_queued_call_that_somebody_ends_is_never_dialled(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        dialler = ScriptedDialler(stage.rooms)
        claimed = await stage.queue()
        await end_call(stage.store, claimed["id"])
        claimed = await stage.store.get("calls", claimed["id"])
        document = await stage.host.run_outbound(claimed, dialler)
        assert document["status"] == "cancelled"
        assert dialler.requests == []
        with pytest.raises(CallOver):
            await end_call(stage.store, claimed["id"])

    play(scene)


def test_a_callee_who_does_not_answer_is_given_up(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        dialler = ScriptedDialler(stage.rooms)
        document = await stage.host.run_outbound(await stage.queue(), dialler)
        assert document["status"] == "timeout"
        assert dialler.legs[0].asked == ["cancel"]

    play(scene, setup_seconds=0.3)


def test_the_trunk_says_how_long_a_callee_may_take(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        dialler = ScriptedDialler(stage.rooms)
        trunk = await stage.store.create("trunks", {"name": "line", "setup_seconds": 0.3})
        document = await stage.host.run_outbound(await stage.queue(trunk_id=trunk["id"]), dialler)
        assert document["status"] == "timeout"
        assert dialler.requests[0].setup_seconds == 0.3

    play(scene)


# ---- ends


def hang_up(leg: ScriptedLeg) -> Any:
    return next((asked for asked in leg.asked if asked[0] == "hang_up"), None)


async def agent_hangs_up(stage: Stage, _leg: ScriptedLeg, call: Any) -> None:
    call.session.shutdown(drain=False, reason="agent_hangup")


async def silence_ends_it(stage: Stage, _leg: ScriptedLeg, call: Any) -> None:
    call.session.shutdown(drain=False, reason="silence_timeout")


async def announced_limit(stage: Stage, _leg: ScriptedLeg, call: Any) -> None:
    call.session.shutdown(drain=False, reason="max_duration")


async def session_breaks(stage: Stage, _leg: ScriptedLeg, call: Any) -> None:
    call.session.fail(RuntimeError("the model is gone"))


async def api_ends_it(stage: Stage, _leg: ScriptedLeg, call: Any) -> None:
    await end_call(stage.store, call.id)
    stage.host.poke(call.id)


async def caller_hangs_up(stage: Stage, leg: ScriptedLeg, _call: Any) -> None:
    leg.bye()


async def caller_leaves_the_room(stage: Stage, leg: ScriptedLeg, _call: Any) -> None:
    await leg.room.disconnect()


async def room_is_deleted(stage: Stage, _leg: ScriptedLeg, call: Any) -> None:
    await stage.rooms.close(call.room)


async def line_goes_dead(stage: Stage, leg: ScriptedLeg, _call: Any) -> None:
    leg.tell(LegRtpTimedOut())


async def process_stops(stage: Stage, _leg: ScriptedLeg, _call: Any) -> None:
    await stage.host.aclose()


async def passed_on(stage: Stage, _leg: ScriptedLeg, call: Any) -> None:
    await call.actions.transfer("+14155550177")


@pytest.mark.parametrize(
    ("end", "status", "reason", "released"),
    [
        (agent_hangs_up, "completed", "agent_hangup", True),
        (silence_ends_it, "completed", "silence_timeout", True),
        (announced_limit, "completed", "max_duration", True),
        (session_breaks, "failed", "error", True),
        (api_ends_it, "completed", "agent_hangup", True),
        (caller_hangs_up, "completed", "caller_hangup", False),
        (caller_leaves_the_room, "completed", "caller_hangup", False),
        (room_is_deleted, "completed", "room_closed", True),
        (line_goes_dead, "completed", "rtp_timeout", True),
        (process_stops, "completed", "shutdown", True),
        (passed_on, "completed", "transferred", True),
    ],
)
def test_every_way_a_conversation_ends(
    play: Any, end: Callable[..., Awaitable[None]], status: str, reason: str, released: bool
) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        await end(stage, leg, call)
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == (status, reason)
        assert (hang_up(leg) is not None) is released
        assert leg.closed == 1
        assert document["billed_seconds"] == 1
        assert (await stage.events(call.id)).count("call.ended") == 1
        stored = await stage.store.get("calls", call.id)
        assert [event["webhook"] for event in stored["outbox"] if event["webhook"]] == ["call.ended"]
        assert stored["completed_at"]
        assert call.session.closed
        assert stage.rooms.rooms == {}

    play(scene)


def test_the_hard_limit_ends_a_call(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        call.feed(TimerFired("max_duration"))
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == ("completed", "max_duration")
        assert hang_up(leg) == ("hang_up", None, "max_duration")

    play(scene)


def test_a_caller_who_is_never_heard_costs_nothing(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        _, call = await stage.inbound()
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == ("failed", "no_rtp_after_answer")
        assert document["billed_seconds"] == 0

    play(scene, no_rtp_seconds=0.3)


def test_an_agent_that_cannot_be_made_ends_the_ringing(play: Any, vendor: Rehearsed) -> None:
    vendor.fail = ConfigurationError("the key of the model is missing")

    async def scene(stage: Stage) -> None:
        leg, call = await stage.inbound()
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == ("failed", "error")
        assert "the key of the model is missing" in document["detail"]
        assert hang_up(leg) == ("hang_up", 500, "error")

    play(scene)


def test_an_agent_that_does_not_come_ends_an_answered_call(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        never: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        await stage.rooms.join("web-1", "ann")
        call = await stage.host.start_web(stage.assistant, "web-1", "ann", variables=never)
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == ("failed", "error")
        assert "not ready" in document["detail"]

    play(scene, agent_seconds=0.3)


def test_an_answer_that_breaks_fails_the_call(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, incoming = stage.ring()
        leg.fails.add("answer")
        call = await stage.host.start_inbound(incoming, {"id": "in_1"}, stage.assistant, {})
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == ("failed", "error")
        assert hang_up(leg) == ("hang_up", 500, "error")

    play(scene)


def test_a_caller_who_hangs_up_while_it_is_answered(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, incoming = stage.ring()
        leg.slow = 5.0
        call = await stage.host.start_inbound(incoming, {"id": "in_1"}, stage.assistant, {})
        await until(lambda: "answer" in leg.asked)
        leg.bye()
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == ("cancelled", "caller_hangup")
        assert hang_up(leg) is None
        assert leg.closed == 1

    play(scene)


def test_a_caller_who_gives_up_while_the_room_is_joined_is_no_error(
    play: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(stage: Stage) -> None:
        leg, incoming = stage.ring()

        async def join(_room: str) -> None:
            leg.bye()
            raise AntiphonError("the far end hung up before its telephone was in the room")

        incoming = replace(incoming, join=join)
        call = await stage.host.start_inbound(incoming, {"id": "in_1"}, stage.assistant, {})
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == ("cancelled", "caller_hangup")

    play(scene)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_leg_that_does_not_let_go_holds_nothing_up(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.calls.call_ending.HANG_UP_PATIENCE", 0.1)

    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        leg.slow, leg.fails = 60.0, {"hang_up"}
        await agent_hangs_up(stage, leg, call)
        document = await call.wait()
        assert document["status"] == "completed"
        assert leg.closed == 1

    play(scene)


def test_everything_at_once_is_one_end(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        await end_call(stage.store, call.id)
        stage.host.poke(call.id)
        closing = asyncio.create_task(stage.rooms.close(call.room))
        leg.tell(LegRtpTimedOut())
        leg.bye()
        call.session.shutdown(drain=False, reason="agent_hangup")
        stopping = asyncio.create_task(stage.host.aclose())
        await asyncio.gather(closing, stopping)
        await call.wait()
        assert (await stage.events(call.id)).count("call.ended") == 1
        stored = await stage.store.get("calls", call.id)
        assert [event["webhook"] for event in stored["outbox"] if event["webhook"]] == ["call.ended"]
        assert stored["status"] == "completed"
        assert leg.asked.count("answer") == 1
        assert sum(1 for asked in leg.asked if asked[0] == "hang_up") == 1

    play(scene)


# ---- the store is down


def test_a_hang_up_does_not_wait_for_the_store(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        with outage(stage) as refused:
            call.feed(CancelRequested())
            await until(lambda: hang_up(leg))
            await until(lambda: call.session.closed)
            assert call.over
            await until(lambda: refused)
            assert not call.record.document.get("completed_at")
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == ("completed", "agent_hangup")
        assert (await stage.events(call.id)).count("call.ended") == 1

    play(scene)


def test_a_conversation_goes_on_without_the_store_and_is_caught_up_with(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, incoming = stage.ring()
        call = await stage.host.start_inbound(incoming, {"id": "in_1"}, stage.assistant, {})
        with outage(stage):
            await until(lambda: call.status == "answered")
            leg.talk()
            await until(lambda: stage.said)
            assert (await stage.store.get("calls", call.id))["status"] == "ringing"
        leg.bye()
        document = await call.wait()
        assert document["status"] == "completed"
        assert [type for type in await stage.events(call.id) if "ready" not in type] == [
            "call.ringing",
            "call.answered",
            "call.media_received",
            "call.ended",
        ]
        assert [entry["text"] for entry in await stage.transcript(call.id)] == ["Hello there."]

    play(scene)


def test_a_write_that_was_cut_off_after_it_happened_is_not_done_twice(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        with outage(stage, after=True):
            leg.bye()
            await until(lambda: call.over)
            await asyncio.sleep(0.3)
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == ("completed", "caller_hangup")
        assert (await stage.events(call.id)).count("call.ended") == 1

    play(scene)


def test_an_end_that_cannot_be_written_is_left_to_the_supervisor(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        with outage(stage):
            leg.bye()
            await call.wait()
            assert stage.host.calls == {}
        await asyncio.sleep(0.5)
        assert await CallSupervisor(stage.store).sweep() == 1
        stored = await stage.store.get("calls", call.id)
        assert (stored["status"], stored["end_reason"]) == ("failed", "error")

    play(scene, commit_seconds=0.3, lease_seconds=0.5)


def test_nothing_is_dialled_that_is_not_on_record(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        dialler = ScriptedDialler(stage.rooms)
        claimed = await stage.queue()
        with outage(stage), pytest.raises(DialFailure):
            await stage.host.run_outbound(claimed, dialler)
        assert dialler.requests == []
        stored = await stage.store.get("calls", claimed["id"])
        assert stored["status"] == "queued"

    play(scene, commit_seconds=0.3)


# ---- what is asked of a call


def test_requests_are_carried_out_in_order_and_once(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        for digits in ("1", "2", "3"):
            await submit(stage.store, call.id, "dtmf", {"digits": digits})
        await submit(stage.store, call.id, "say", {"text": "One moment."})
        stage.host.poke(call.id)
        stage.host.poke(call.id)
        await until(lambda: any(text == "One moment." for _, text in call.session.tts.texts))
        await asyncio.sleep(0.3)
        assert [asked for asked in leg.asked if asked[0] == "dtmf"] == [("dtmf", digit) for digit in "123"]
        assert (await stage.store.get("calls", call.id))["requests"] == []
        assert await outcomes(stage, call.id, 4) == [None, None, None, "finished"]

    play(scene)


async def outcomes(stage: Stage, call_id: str, number: int) -> list[Any]:
    """Of the requests that are done, once there are so many."""
    async with asyncio.timeout(5):
        while True:
            outbox = (await stage.store.get("calls", call_id)).get("outbox", [])
            found = [event["data"].get("outcome") for event in outbox if event["type"] == "call.request_done"]
            if len(found) >= number:
                return found
            await asyncio.sleep(0.02)


def test_who_asked_for_words_is_told_that_they_were_cut_off(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        _, call = await stage.talking()
        await submit(stage.store, call.id, "say", {"text": "One moment, this takes a while to say."})
        stage.host.poke(call.id)
        await until(lambda: any(text.startswith("One moment") for _, text in call.session.tts.texts))
        call.session.interrupt(force=True)
        assert await outcomes(stage, call.id, 1) == ["interrupted"]

    play(scene)


def test_requests_of_another_process_are_found(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        await submit(stage.store, call.id, "dtmf", {"digits": "9"})
        await until(lambda: ("dtmf", "9") in leg.asked)
        await submit(stage.store, call.id, "hang_up")
        document = await call.wait()
        assert document["end_reason"] == "agent_hangup"

    play(scene)


def test_a_request_that_fails_says_so_and_the_call_goes_on(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        leg.fails.add("transfer")
        await submit(stage.store, call.id, "transfer", {"target": "+14155550177"})
        stage.host.poke(call.id)
        await until(lambda: ("transfer", "+14155550177") in leg.asked)
        await asyncio.sleep(0.2)
        stored = await stage.store.get("calls", call.id)
        failed = [event["data"] for event in stored["outbox"] if event["type"] == "call.request_failed"]
        assert [data["error"] for data in failed] == ["they do not answer"]
        assert call.status == "answered"

    play(scene)


def test_only_a_call_in_progress_can_be_asked(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        claimed = await stage.queue()
        with pytest.raises(NotInProgress):
            await submit(stage.store, claimed["id"], "say", {"text": "Hello"})
        await end_queued(stage.store, claimed, CancelRequested())
        with pytest.raises(CallOver):
            await submit(stage.store, claimed["id"], "hang_up")
        with pytest.raises(NotFound):
            await submit(stage.store, "call_none", "hang_up")

    play(scene)


def test_a_caller_who_leaves_during_a_transfer_was_passed_on(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        leg.slow = 0.3
        asked = asyncio.create_task(call.actions.transfer("+14155550177"))
        await until(lambda: ("transfer", "+14155550177") in leg.asked)
        await leg.room.disconnect()
        await asked
        document = await call.wait()
        assert (document["end_reason"], document["detail"]) == ("transferred", "+14155550177")

    play(scene)


def test_a_caller_who_leaves_during_a_transfer_that_fails_has_hung_up(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        leg.slow, leg.fails = 0.3, {"transfer"}
        asked = asyncio.create_task(call.actions.transfer("+14155550177"))
        await until(lambda: ("transfer", "+14155550177") in leg.asked)
        leg.bye()
        with pytest.raises(TransferFailed):
            await asked
        document = await call.wait()
        assert document["end_reason"] == "caller_hangup"

    play(scene)


def test_the_agent_transfers_by_its_tool(play: Any, vendor: Rehearsed) -> None:
    async def scene(stage: Stage) -> None:
        await stage.hire(transfer_destinations={"billing": "+14155550177"})
        vendor.says("Billing, please.", "", (ToolCall("1", "transfer_call", '{"to": "billing"}'),))
        leg, call = await stage.talking()
        call.session.input_text("Billing, please.")
        document = await call.wait()
        assert ("transfer", "+14155550177") in leg.asked
        assert (document["status"], document["end_reason"]) == ("completed", "transferred")

    play(scene)


# ---- calls from a room


def test_a_web_call_is_watched_in_its_room(play: Any) -> None:
    async def scene(stage: Stage) -> None:
        browser = await stage.rooms.join("web-1", "ann")
        call = await stage.host.start_web(
            stage.assistant, "web-1", "ann", variables={"context": {"name": "Ann"}}
        )
        await until(lambda: stage.said)
        await browser.send_text("Hello!", topic="chat")
        await until(lambda: len(stage.said) == 3)
        await browser.disconnect()
        document = await call.wait()
        assert (document["status"], document["end_reason"]) == ("completed", "caller_hangup")
        assert (document["direction"], document["identity"]) == ("web", "ann")
        assert document["metrics"]["turns"] == 1
        assert [entry["role"] for entry in await stage.transcript(call.id)] == [
            "assistant",
            "user",
            "assistant",
        ]

    play(scene)


def test_what_is_learnt_while_it_rings_is_in_the_prompt_and_on_record(play: Any, vendor: Rehearsed) -> None:
    async def scene(stage: Stage) -> None:
        async def look_up() -> dict[str, Any]:
            await asyncio.sleep(0.2)
            return {"context": {"name": "Zoe"}, "tier": "gold"}

        leg, call = await stage.inbound(look_up())
        await until(lambda: call.status == "answered")
        leg.talk()
        leg.bye()
        document = await call.wait()
        assert document["context"] == {"name": "Zoe"}
        assert document["variables"] == {"tier": "gold"}

    play(scene)


def test_it_is_heard_only_after_the_answer(play: Any, vendor: Rehearsed) -> None:
    async def scene(stage: Stage) -> None:
        leg, incoming = stage.ring()
        leg.answers = False
        call = await stage.host.start_inbound(incoming, {"id": "in_1"}, stage.assistant, {})
        await until(lambda: "answer" in leg.asked)
        await asyncio.sleep(0.2)
        assert vendor.llms[0].requests == []
        leg.tell(LegAnswered())
        await until(lambda: vendor.llms[0].requests)
        call.feed(CancelRequested())
        await call.wait()

    play(scene)


class Tape:
    """Records nothing, and counts."""

    def __init__(self, broken: bool = False) -> None:
        self.broken, self.heard = broken, []
        self.info = SimpleNamespace(summary={"id": "rec_1", "state": "recording"})

    def recorder(self, call_id: str, rooms: Any, room_name: str, **_: Any) -> Tape:
        self.heard.append(room_name)
        return self

    async def start(self) -> None:
        if self.broken:
            raise OSError("no space left")
        self.heard.append("start")

    async def stop(self) -> None:
        self.heard.append("stop")
        self.info.summary = {"id": "rec_1", "state": "stored"}


@pytest.mark.parametrize("broken", [False, True])
def test_it_is_recorded_from_the_answer_and_the_record_says_so(play: Any, broken: bool) -> None:
    tape = Tape(broken)

    async def scene(stage: Stage) -> None:
        leg, call = await stage.talking()
        leg.bye()
        document = await call.wait()
        assert document["status"] == "completed"
        assert document["recording"]["state"] == "stored"
        assert tape.heard == ([call.room, "stop"] if broken else [call.room, "start", "stop"])

    play(scene, recorders=tape)
