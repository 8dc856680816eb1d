"""Calls end to end over SIP and RTP on loopback: a service with an agent in the room, and a telephone on the other side."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from antiphon.models.errors import AntiphonError
from antiphon.rtp.codecs import codec_named
from antiphon.sip import events as sip
from antiphon.sip.offer_answer import Srtp
from antiphon.sip.sdp import Direction
from antiphon.telephony import (
    IncomingCall,
    LegAnswered,
    LegEnded,
    LegFailed,
    LegMediaReady,
    LegMediaReceived,
    LegProgress,
    LegRejected,
    TransferFailed,
)
from antiphon.telephony.sip_service import SipStartError
from support.phone_platform import Platform, eventually, platform, trunk_to
from support.telephone import gaps, measure_tone, telephone

HANG_UP = (None, "agent_hangup")


def middle(samples: np.ndarray[Any, Any], rate: int, seconds: float = 0.6) -> np.ndarray[Any, Any]:
    """The last `seconds` but for the very end."""
    assert samples.size > rate * (seconds + 0.1), f"only {samples.size / rate:.2f} s were heard"
    return samples[-round(rate * (seconds + 0.05)) : -round(rate * 0.05)]


def is_tone(samples: np.ndarray[Any, Any], rate: int, frequency: float) -> None:
    found, level = measure_tone(middle(samples, rate), rate)
    assert found == pytest.approx(frequency, abs=1.0)
    assert level == pytest.approx(0.0, abs=1.0)
    assert gaps(middle(samples, rate), rate) < 0.1


@pytest.mark.parametrize(
    ("codec", "srtp"),
    [
        ("PCMU", Srtp.OFF),
        ("PCMA", Srtp.OFF),
        ("G722", Srtp.OFF),
        ("OPUS", Srtp.OFF),
        ("PCMU", Srtp.REQUIRED),
    ],
)
def test_a_call_that_comes_in_is_heard_both_ways(codec: str, srtp: Srtp, run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone(codecs=(codec,), srtp=srtp) as phone:
            call = await phone.dial("+14155550100", ours.address)
            await call.until(sip.Answered)
            incoming = await ours.took()
            log, agent = ours.logs["room1"], ours.agents["room1"]
            assert (incoming.number, incoming.caller_number) == ("+14155550100", "+14155550111")
            assert (incoming.service, incoming.trunk_id) == ("generic", "")
            assert call.agreed is not None
            assert call.agreed.codec == codec
            assert (call.agreed.send_key is not None) is (srtp is Srtp.REQUIRED)
            await log.until(LegMediaReceived)
            assert [type(event) for event in log.events] == [LegAnswered, LegMediaReady, LegMediaReceived]
            await agent.speak(440, 1.5)
            await asyncio.sleep(1.0)
            is_tone(call.ear.heard, call.ear.rate, 440)
            is_tone(agent.heard, agent.rate, 1000)
            assert agent.rate == codec_named(codec).sample_rate
            assert agent.caller("sip.phoneNumber") == "+14155550111"
            assert agent.caller("sip.trunkPhoneNumber") == "+14155550100"
            await eventually(lambda: agent.caller("sip.callStatus") == "active")
            assert agent.told == ["call_answered"]
            call.hang_up()
            await log.until(LegEnded)
            await eventually(lambda: incoming.leg.statistics)  # type: ignore[attr-defined]
            statistics = incoming.leg.statistics  # type: ignore[attr-defined]
            assert statistics["packets_lost"] == 0
            assert statistics["packets_received"] > 40
            assert statistics["mos"] > 3.9

    run_clean(main())


@pytest.mark.parametrize("srtp", ["off", "optional", "required"])
def test_an_outbound_call_is_heard_both_ways(srtp: str, run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone(codecs=("PCMA", "PCMU"), srtp=Srtp(srtp)) as phone:
            room, leg = await ours.dial(trunk_to(phone.port, codecs=["pcma", "pcmu"], srtp=srtp))
            log, agent = ours.logs[room], ours.agents[room]
            call = await phone.ringing()
            assert call.incoming is not None
            assert call.incoming.request_uri.number == "+14155550100"
            assert call.incoming.from_.uri.number == "+14155550199"
            phone.endpoint.ring(call.handle)
            assert (await log.until(LegProgress)).code == 180
            call.answer()
            await log.until(LegMediaReceived)
            assert [type(event) for event in log.events] == [
                LegProgress,
                LegAnswered,
                LegMediaReady,
                LegMediaReceived,
            ]
            assert call.agreed is not None
            assert (call.agreed.send_key is None) is (srtp == "off")
            await agent.speak(440, 1.5)
            await asyncio.sleep(1.0)
            is_tone(call.ear.heard, 8000, 440)
            is_tone(agent.heard, 8000, 1000)
            await leg.hang_up(*HANG_UP)
            assert "16" in (await call.until(sip.Ended)).detail
            assert agent.told == ["call_answered"]

    run_clean(main())


@pytest.mark.parametrize("direction", [Direction.SENDONLY, Direction.INACTIVE])
def test_hold_and_resume_reach_the_room_and_whoever_joins_it_late(
    direction: Direction, run_clean: Any
) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            call = await phone.dial("bank", ours.address)
            await call.until(sip.Answered)
            await ours.took()
            agent = ours.agents["room1"]
            await ours.logs["room1"].until(LegMediaReceived)
            for _ in range(2):
                phone.endpoint.hold(call.handle, direction)
                await eventually(lambda: agent.told[-1:] == ["call_hold"])
                await eventually(lambda: agent.caller("sip.hold") == "true")
                assert call.agreed is not None
                assert call.agreed.direction is direction, "what we answered mirrors what was asked"
                await asyncio.sleep(0.05)
                before = call.ear.count
                await asyncio.sleep(0.1)
                assert call.ear.count == before, "nothing is sent to who holds us"
                phone.endpoint.hold(call.handle, Direction.SENDRECV)
                await eventually(lambda: agent.told[-1:] == ["call_resume"])
                await eventually(lambda: agent.caller("sip.hold") == "false")
                await eventually(lambda before=before: call.ear.count > before)
            assert agent.told == ["call_answered", *["call_hold", "call_resume"] * 2]
            call.hang_up()

    run_clean(main())


def test_keys_reach_the_agent_once_each_by_whichever_way_they_come(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            call = await phone.dial("bank", ours.address)
            await call.until(sip.Answered)
            incoming = await ours.took()
            agent = ours.agents["room1"]
            await ours.logs["room1"].until(LegMediaReceived)
            call.ear.press("11#D")
            await eventually(lambda: "".join(agent.digits) == "11#D")
            for key in "7700":
                phone.endpoint.send_digit(call.handle, key)
                await asyncio.sleep(0.02)
            await eventually(lambda: "".join(agent.digits) == "11#D7700")
            for key in "34":
                call.ear.press(key)
                phone.endpoint.send_digit(call.handle, key)
                await eventually(lambda: not call.ear.pressing)
                await asyncio.sleep(0.1)
            assert "".join(agent.digits) == "11#D770034"
            await incoming.leg.send_dtmf("9w*")
            await eventually(lambda: "".join(call.ear.keys) == "9*")
            with pytest.raises(ValueError, match="not a telephone key"):
                await incoming.leg.send_dtmf("x")
            assert ours.service.calls == 1
            call.hang_up()

    run_clean(main())


def test_keys_go_by_info_to_who_takes_none_in_rtp(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            room, leg = await ours.dial(trunk_to(phone.port))
            call = await phone.ringing()
            call.media = type(call.media)(call.media.address, call.media.port, dtmf=False)
            call.answer()
            await ours.logs[room].until(LegMediaReady)
            await leg.send_dtmf("5#")
            assert [(await call.until(sip.DigitReceived)).digit for _ in range(2)] == ["5", "#"]
            await leg.hang_up(*HANG_UP)

    run_clean(main())


def test_a_telephone_without_a_trunk_is_hung_up_by_itself_alone(run_clean: Any) -> None:
    """RFC 3261 section 26.1.5: a neighbour in the open network that knows the tags is not the caller."""

    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            call = await phone.dial("bank", ours.address)
            await call.until(sip.Answered)
            dialog = phone.endpoint.user_agent._stack.calls[call.handle].dialog
            assert dialog is not None
            bye = dialog.request("BYE")
            bye.headers.prepend("Via", "SIP/2.0/UDP 127.0.0.9:9;branch=z9hG4bKspoofed")
            endpoint = ours.service._running
            endpoint._datagram(bye.to_bytes(), "127.0.0.9", 9)
            await asyncio.sleep(0.05)
            assert ours.service.calls == 1
            assert ours.agents["room1"].caller("sip.trunkID") is None
            call.hang_up()
            await ours.logs["room1"].until(LegEnded)

    run_clean(main())


def test_a_callee_that_refuses_ends_the_leg_with_its_code(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            for code in (404, 480, 486, 503, 603):
                room, _ = await ours.dial(trunk_to(phone.port))
                call = await phone.ringing()
                call.hang_up(code=code)
                assert (await ours.logs[room].until(LegRejected)).code == code
                assert [type(event) for event in ours.logs[room].events] == [LegRejected]

    run_clean(main())


def test_a_trunk_that_is_overloaded_is_left_alone_as_long_as_it_asks(run_clean: Any) -> None:
    """RFC 3261 section 21.5.4."""

    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            room, _ = await ours.dial(trunk_to(phone.port))
            call = await phone.ringing()
            call.hang_up(code=503, headers={"Retry-After": "60 (lunch);duration=3600"})
            await ours.logs[room].until(LegRejected)
            with pytest.raises(AntiphonError, match="overloaded"):
                await ours.dial(trunk_to(phone.port))
            await ours.dial(trunk_to(phone.port, id="another"))
            (await phone.ringing()).hang_up(code=486)

    run_clean(main())


def test_a_callee_that_does_not_answer_is_taken_back(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            room, leg = await ours.dial(trunk_to(phone.port))
            call = await phone.ringing()
            phone.endpoint.ring(call.handle)
            await ours.logs[room].until(LegProgress)
            await leg.cancel()
            assert (await call.until(sip.Ended)).cause is sip.EndCause.CANCELLED

    run_clean(main())


def test_a_trunk_that_is_not_there_rejects_the_leg(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours:
            room, _ = await ours.dial(trunk_to(9, transport="tcp"))
            assert (await ours.logs[room].until(LegRejected)).code == 503
            with pytest.raises(AntiphonError, match="12"):
                await ours.dial(trunk_to(9), number="12")

    run_clean(main())


def test_an_answer_that_crosses_our_cancel_is_hung_up(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            _, leg = await ours.dial(trunk_to(phone.port))
            call = await phone.ringing()
            call.answer()
            await leg.cancel()
            assert (await call.until(sip.Ended)).cause is sip.EndCause.PEER_HUNG_UP

    run_clean(main())


@pytest.mark.parametrize("joins", ["before", "after", "never"])
def test_a_caller_that_gives_up_leaves_nothing(joins: str, run_clean: Any) -> None:
    async def main() -> None:
        gone = asyncio.Event()
        finished = asyncio.Event()

        async def slowly(ours: Platform, call: IncomingCall) -> None:
            room = await ours.received(call)
            if joins == "before":
                await call.join(room)
            await call.ring()
            await gone.wait()
            if joins == "after":
                with pytest.raises(AntiphonError, match="hung up"):
                    await call.join(room)
            await call.ring()
            await call.leg.answer()
            await call.leg.hang_up(480, "late")
            finished.set()

        async with platform(slowly) as ours, telephone() as phone:
            call = await phone.dial("bank", ours.address)
            await call.until(sip.Progress)
            call.hang_up()
            rejected = await call.until(sip.Ended)
            assert rejected.cause in (sip.EndCause.LOCAL, sip.EndCause.CANCELLED)
            await ours.logs["room1"].until(LegEnded)
            gone.set()
            await asyncio.wait_for(finished.wait(), 5)

    run_clean(main())


def test_a_caller_may_be_refused_before_the_answer(run_clean: Any) -> None:
    async def main() -> None:
        async def refuse(ours: Platform, call: IncomingCall) -> None:
            await call.leg.hang_up(int(call.number), "no_mapping")

        async with platform(refuse) as ours, telephone() as phone:
            for code in (480, 500, 503):
                call = await phone.dial(str(code), ours.address)
                assert (await call.until(sip.Rejected)).code == code

    run_clean(main())


def test_a_fault_in_whoever_takes_calls_is_500(run_clean: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async def fail(ours: Platform, call: IncomingCall) -> None:
            await call.join(await ours.received(call))
            raise RuntimeError("broken")

        async with platform(fail) as ours, telephone() as phone:
            call = await phone.dial("bank", ours.address)
            assert (await call.until(sip.Rejected)).code == 500

    run_clean(main())
    assert "could not be taken" in caplog.text


def test_an_engine_that_dies_fails_its_calls_and_the_next_call_has_another(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            call = await phone.dial("bank", ours.address)
            await call.until(sip.Answered)
            await ours.took()
            await ours.logs["room1"].until(LegMediaReceived)
            (engine,) = ours.service.engines.engines
            assert engine._process is not None
            engine._process.kill()
            failed = await ours.logs["room1"].until(LegFailed)
            assert "engine" in failed.detail
            assert "cause=41" in (await call.until(sip.Ended)).detail
            again = await phone.dial("bank", ours.address)
            await again.until(sip.Answered)
            await ours.took("room2")
            await ours.logs["room2"].until(LegMediaReceived)
            again.hang_up()

    run_clean(main())


def test_calls_that_are_refused_use_no_ports_up(run_clean: Any) -> None:
    async def main() -> None:
        async def refuse(ours: Platform, incoming: IncomingCall) -> None:
            code = 480 if len(ours.logs) < 4 else 503
            incoming.leg.on_event = ours.logs[await ours.new_room()]
            await incoming.leg.hang_up(code, "refused")

        ports = {"rtp_first": 42500, "rtp_last": 42503, "port_rest": 60.0}
        async with platform(refuse, **ports) as ours, telephone() as phone:
            for _ in range(4):
                call = await phone.dial("bank", ours.address)
                assert (await call.until(sip.Rejected)).code == 480
            call = await phone.dial("bank", ours.address)
            rejected = await call.until(sip.Rejected)
            assert (rejected.code, rejected.headers.get("Retry-After")) == (503, "5")

    run_clean(main())


def test_ports_that_run_out_are_503_and_come_back(run_clean: Any) -> None:
    async def main() -> None:
        async with platform(rtp_first=42500, rtp_last=42503) as ours, telephone() as phone:
            calls = [await phone.dial("bank", ours.address) for _ in range(2)]
            for call in calls:
                await call.until(sip.Answered)
            third = await phone.dial("bank", ours.address)
            rejected = await third.until(sip.Rejected)
            assert (rejected.code, rejected.headers.get("Retry-After")) == (503, "5")
            calls[0].hang_up()
            await eventually(lambda: ours.service.calls == 1 and ours.service.engines.ports.used == 1)
            fourth = await phone.dial("bank", ours.address)
            await fourth.until(sip.Answered)
            calls[1].hang_up()
            fourth.hang_up()

    run_clean(main())


@pytest.mark.parametrize(
    ("ours_has", "theirs_has"),
    [
        ({"codecs": ["pcma"]}, {"codecs": ("G722",)}),
        ({"srtp": "required"}, {"srtp": Srtp.OFF}),
        ({"srtp": "off"}, {"srtp": Srtp.REQUIRED}),
    ],
)
def test_nothing_in_common_is_488_both_ways(
    ours_has: dict[str, Any], theirs_has: dict[str, Any], run_clean: Any
) -> None:
    async def main() -> None:
        async with telephone(**theirs_has) as phone:
            trunk = trunk_to(phone.port, **ours_has)
            async with platform(trunks=(trunk,)) as ours:
                call = await phone.dial("bank", ours.address)
                rejected = await call.until(sip.Rejected)
                assert rejected.code == 488
                assert "Warning" in rejected.headers
                assert (await ours.logs["room1"].until(LegFailed)).sip_code == 488
                room, _ = await ours.dial(trunk)
                called = await phone.ringing()
                called.answer()
                assert (await ours.logs[room].until(LegRejected)).code == 488

    run_clean(main())


def test_a_caller_without_an_offer_gets_ours(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            call = await phone.dial("bank", ours.address, delayed_offer=True)
            await call.until(sip.Answered)
            await ours.took()
            agent = ours.agents["room1"]
            await ours.logs["room1"].until(LegMediaReceived)
            await agent.speak(440, 1.5)
            await asyncio.sleep(1.0)
            is_tone(call.ear.heard, call.ear.rate, 440)
            is_tone(agent.heard, agent.rate, 1000)
            call.hang_up()

    run_clean(main())


def test_early_media_is_not_heard_before_the_answer(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            room, leg = await ours.dial(trunk_to(phone.port))
            log, agent = ours.logs[room], ours.agents[room]
            call = await phone.ringing()
            phone.endpoint.ring(call.handle, code=183, media=call.media)
            assert (await log.until(LegProgress)).code == 183
            await eventually(lambda: call.ear.count > 10)
            assert not agent.heard.size
            assert [type(event) for event in log.events] == [LegProgress]
            call.answer()
            await log.until(LegMediaReceived)
            await eventually(lambda: agent.heard.size > 1600)
            await leg.hang_up(*HANG_UP)

    run_clean(main())


def test_a_transfer_ends_with_the_far_end_elsewhere(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone(takes_transfers=True) as phone:
            room, leg = await ours.dial(trunk_to(phone.port))
            call = await phone.ringing()
            call.answer()
            await ours.logs[room].until(LegMediaReady)
            transfer = asyncio.create_task(leg.transfer("+14155550123"))
            wanted = await call.until(sip.TransferRequested)
            assert wanted.target.number == "+14155550123"
            phone.endpoint.report_transfer(call.handle, 180)
            phone.endpoint.report_transfer(call.handle, 200)
            await asyncio.wait_for(transfer, 5)
            await leg.hang_up(None, "transferred")
            await call.until(sip.Ended)

    run_clean(main())


@pytest.mark.parametrize("how", ["method", "busy"])
def test_a_transfer_that_does_not_come_about_leaves_the_call(how: str, run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone(takes_transfers=how != "method") as phone:
            room, leg = await ours.dial(trunk_to(phone.port))
            call = await phone.ringing()
            with pytest.raises(TransferFailed, match="not on"):
                await leg.transfer("+14155550123")
            call.answer()
            await ours.logs[room].until(LegMediaReady)
            transfer = asyncio.create_task(leg.transfer("sip:desk@127.0.0.1"))
            if how != "method":
                await call.until(sip.TransferRequested)
            if how == "busy":
                phone.endpoint.report_transfer(call.handle, 486)
            with pytest.raises(TransferFailed, match="486" if how == "busy" else "603"):
                await asyncio.wait_for(transfer, 5)
            with pytest.raises(TransferFailed):
                await leg.transfer("not a number")
            assert ours.service.calls == 1
            await leg.hang_up(*HANG_UP)

    run_clean(main())


def test_a_far_end_that_hangs_up_once_it_took_the_transfer_on_was_passed_on(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone(takes_transfers=True) as phone:
            room, leg = await ours.dial(trunk_to(phone.port))
            call = await phone.ringing()
            call.answer()
            await ours.logs[room].until(LegMediaReady)
            transfer = asyncio.create_task(leg.transfer("sip:desk@127.0.0.1"))
            await call.until(sip.TransferRequested)
            call.hang_up()
            await asyncio.wait_for(transfer, 5)
            await ours.logs[room].until(LegEnded)

    run_clean(main())


def test_the_callee_hangs_up_and_so_may_both_at_once(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            room, leg = await ours.dial(trunk_to(phone.port))
            call = await phone.ringing()
            call.answer()
            await ours.logs[room].until(LegAnswered)
            call.hang_up(reason='Q.850;cause=16;text="bye"')
            assert "bye" in (await ours.logs[room].until(LegEnded)).detail
            room, leg = await ours.dial(trunk_to(phone.port))
            call = await phone.ringing()
            call.answer()
            await ours.logs[room].until(LegAnswered)
            call.hang_up()
            await leg.hang_up(*HANG_UP)
            await leg.hang_up(*HANG_UP)
            await leg.send_dtmf("1")
            await leg.answer()

    run_clean(main())


def test_calls_still_on_are_hung_up_when_the_service_ends(run_clean: Any) -> None:
    async def main() -> None:
        async with telephone() as phone:
            async with platform() as ours:
                calls = [await phone.dial("bank", ours.address) for _ in range(3)]
                for call in calls:
                    await call.until(sip.Answered)
                await ours.service.aclose()
                await ours.service.aclose()
            for call in calls:
                await call.until(sip.Ended)

    run_clean(main())


def test_fifty_calls_leave_nothing_behind(run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            for _ in range(2):
                calls = []
                for index in range(24):
                    calls.append(await phone.dial(f"bank{index}", ours.address))
                    await asyncio.sleep(0.01)
                for call in calls:
                    await call.until(sip.Answered, 10)
                assert ours.service.calls == 24
                for index, call in enumerate(calls):
                    if index % 2:
                        call.hang_up()
                for incoming in list(ours.incoming.values()):
                    if int(incoming.number.removeprefix("bank")) % 2 == 0:
                        await incoming.leg.hang_up(*HANG_UP)
                for call in calls:
                    await call.until(sip.Ended, 10)
                for incoming in ours.incoming.values():
                    await incoming.leg.hang_up(*HANG_UP)
                ours.incoming.clear()
                await ours.nothing_left()

    run_clean(main(), timeout=60)


def test_a_system_without_media_engines_cannot_begin(run_clean: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("select.epoll")

    async def main() -> None:
        with pytest.raises(SipStartError, match="Linux"):
            async with platform():
                pass

    run_clean(main())
