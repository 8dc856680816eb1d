"""Calls with sipp, whose messages we did not write: each scenario checks what we answer, and fails when it is something else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from antiphon.telephony import IncomingCall, LegEnded, LegMediaReceived, LegRejected
from support.phone_platform import Platform, eventually, platform, ring_only, trunk_to
from support.sipp import (
    Sipp,
    call,
    call_in,
    called,
    expect,
    expect_request,
    pause,
    play,
    provisional,
    request,
    respond,
    scenario,
    sdp,
    stop_stream,
    stream,
)
from support.telephone import gaps, measure_tone

pytestmark = pytest.mark.needs("sipp")

HELD = "a=(recvonly|inactive)"
LIVE = "a=sendrecv"


@pytest.mark.needs("raw sockets")
def test_a_caller_holds_resumes_and_presses_keys_both_ways(tmp_path: Path, run_clean: Any) -> None:
    """Its captures have packets of 30 ms, and keys on an SSRC of their own."""
    pcma = "8 PCMA"
    text = call(
        play("g711a.pcap"),
        pause(1.0),
        play("dtmf_2833_5.pcap"),
        pause(0.7),
        request("INVITE", 2, body=sdp("sendonly", codec=pcma, version=2)),
        provisional(),
        expect(200, body=HELD),
        request("ACK", 2),
        pause(0.3),
        request("INVITE", 3, body=sdp("inactive", codec=pcma, version=3)),
        provisional(),
        expect(200, body="a=inactive"),
        request("ACK", 3),
        pause(0.3),
        request("INVITE", 4, body=sdp(codec=pcma, version=4)),
        provisional(),
        expect(200, absent="a=(recvonly|sendonly|inactive)"),
        request("ACK", 4),
        pause(0.2),
        request("INVITE", 5, body=sdp("sendrecv", codec=pcma, version=5, address="0.0.0.0")),
        provisional(),
        expect(200, body=HELD),
        request("ACK", 5),
        pause(0.2),
        request("INFO", 6, body="Signal=7\nDuration=160\n", content_type="application/dtmf-relay"),
        expect(200),
        pause(0.2),
        body=sdp(codec=pcma),
        last=7,
    )

    async def main() -> None:
        async with platform() as ours:
            (await call_in(tmp_path, text, ours.address)).check()
            agent = ours.agents["room1"]
            assert agent.digits == ["5", "7"]
            assert agent.told == ["call_answered", "call_hold", "call_resume", "call_hold"]
            assert agent.heard.size > 8000
            await ours.logs["room1"].until(LegEnded)

    run_clean(main())


def test_a_caller_hears_and_is_heard(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours:
            text = call(stream(), pause(2.0), stop_stream())
            outcome = asyncio.create_task(call_in(tmp_path, text, ours.address))
            await ours.took()
            await ours.logs["room1"].until(LegMediaReceived)
            await asyncio.sleep(1.4)
            heard = ours.agents["room1"].heard[-9600:-400]
            frequency, level = measure_tone(heard, 8000)
            assert frequency == pytest.approx(440, abs=1)
            assert level == pytest.approx(0, abs=1)
            assert gaps(heard, 8000) < 0.1
            (await outcome).check()

    run_clean(main())


INVITE = request("INVITE", 1, body=sdp(), dialog=False)
SHORT = {
    "what cannot be read is 415 with what can": scenario(
        request("INVITE", 1, body="<x/>", content_type="application/xml", dialog=False),
        expect(100, optional=True),
        expect(415, header="Accept:.*application/sdp"),
        request("ACK", 1, dialog=False, ack_to="[last_Via:]", tag="[peer_tag_param]"),
    ),
    "an extension that is not there is 420": scenario(
        request("INVITE", 1, body=sdp(), headers="Require: nothing-like-it", dialog=False),
        expect(100, optional=True),
        expect(420, header="Unsupported:.*nothing-like-it"),
        request("ACK", 1, dialog=False, ack_to="[last_Via:]", tag="[peer_tag_param]"),
    ),
    "a codec that is not there is 488": scenario(
        request("INVITE", 1, body=sdp(codec="18 G729"), dialog=False),
        provisional(),
        expect(488, header="Warning: 305"),
        request("ACK", 1, dialog=False, ack_to="[last_Via:]", tag="[peer_tag_param]"),
    ),
    "the last hop is for us": scenario(request("OPTIONS", 1, dialog=False, hops=0), expect(200)),
    "a method that is not there is 405 with those that are": scenario(
        request("PUBLISH", 1, dialog=False), expect(405, header="Allow:.*INVITE.*BYE")
    ),
    "a ping is answered": scenario(
        request("OPTIONS", 1, dialog=False), expect(200, header="Accept:.*application/sdp")
    ),
    "a BYE of no call is 481": scenario(request("BYE", 5, dialog=False, tag=";tag=none"), expect(481)),
    "an UPDATE of no call is 481": scenario(
        request("UPDATE", 5, body=sdp(), dialog=False, tag=";tag=none"), expect(481)
    ),
    "a re-INVITE of no call is 481": scenario(
        request("INVITE", 5, body=sdp(), dialog=False, tag=";tag=none"),
        expect(100, optional=True),
        expect(481),
        request("ACK", 5, dialog=False, ack_to="[last_Via:]", tag=";tag=none"),
    ),
    "a session timer too short is 422 with the shortest": scenario(
        request("INVITE", 1, body=sdp(), headers="Supported: timer\nSession-Expires: 30", dialog=False),
        expect(100, optional=True),
        expect(422, header="Min-SE: *90"),
        request("ACK", 1, dialog=False, ack_to="[last_Via:]", tag="[peer_tag_param]"),
    ),
    "a session timer is agreed on, and refreshed without a word on media": scenario(
        request(
            "INVITE",
            1,
            body=sdp(),
            headers="Supported: timer\nSession-Expires: 120;refresher=uac",
            dialog=False,
        ),
        provisional(),
        expect(200, rrs=True, header="Session-Expires: *120;refresher=uac"),
        request("ACK", 1),
        request("UPDATE", 2, headers="Supported: timer\nSession-Expires: 120;refresher=uac"),
        expect(200, header="Session-Expires: *120"),
        request("INVITE", 3, body=sdp(), headers="Supported: timer\nSession-Expires: 120;refresher=uac"),
        provisional(),
        expect(200, header="Session-Expires: *120"),
        request("ACK", 3),
        request("BYE", 4),
        expect(200),
    ),
    "a provisional response is reliable where it must be": scenario(
        request("INVITE", 1, body=sdp(), headers="Require: 100rel", dialog=False),
        expect(100, optional=True),
        expect(180, rrs=True, header="RSeq:"),
        # The number of the response is told by a header of the last message.
        '<nop><action><assignstr assign_to="rseq" value="[last_RSeq:]"/></action></nop>',
        '<nop><action><ereg regexp="[0-9]+" search_in="var" variable="rseq" assign_to="number"/></action></nop>',
        request("PRACK", 2, headers="RAck: [$number] 1 INVITE"),
        expect(200),
        expect(200),
        request("ACK", 1),
        request("BYE", 3),
        expect(200),
        '<Reference variables="rseq,number"/>',
    ),
    "UPDATE holds and resumes": call(
        request("UPDATE", 2, body=sdp("sendonly", version=2)),
        expect(200, body=HELD),
        request("UPDATE", 3, body=sdp(version=3)),
        expect(200, body=LIVE),
        last=4,
    ),
    "an offer that crosses ours is 491": call(
        request("INVITE", 2),
        provisional(),
        expect(200, body="m=audio"),
        request("INVITE", 3, body=sdp(version=2)),
        expect(100, optional=True),
        expect(491),
        request("ACK", 3, ack_to="[last_Via:]"),
        request("ACK", 2, body=sdp(version=2)),
        last=4,
    ),
    "an old number is 500": call(
        request("INFO", 5),
        expect(200),
        request("INFO", 4),
        expect(500),
        last=6,
    ),
    "a caller that offers nothing gets an offer": scenario(
        request("INVITE", 1, dialog=False),
        provisional(),
        expect(200, rrs=True, body="m=audio [0-9]+ RTP/AVP"),
        request("ACK", 1, body=sdp()),
        pause(0.1),
        request("BYE", 2),
        expect(200),
    ),
}


def test_callers_get_the_answers_of_the_standard(tmp_path: Path, run_clean: Any) -> None:
    """All at once, each from a sipp of its own."""

    async def play_one(name: str, number: int, address: tuple[str, int]) -> str:
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome = await call_in(folder, SHORT[name], address, media_port=31000 + 100 * number)
        return f"{name}: {outcome.errors[:1500]}" if outcome.code else ""

    async def main() -> None:
        async with platform() as ours:
            plays = [play_one(name, number, ours.address) for number, name in enumerate(SHORT)]
            failed = [text for text in await asyncio.gather(*plays) if text]
            assert not failed, "\n".join(failed)

    run_clean(main())


def test_an_answer_is_sent_again_until_it_is_acknowledged(tmp_path: Path, run_clean: Any) -> None:
    text = scenario(
        INVITE,
        provisional(),
        expect(200, rrs=True),
        expect(200),
        expect(200),
        request("ACK", 1),
        request("BYE", 2),
        expect(200),
    )

    async def main() -> None:
        async with platform() as ours:
            # Without the check of its own, sipp would take the repeated 200 for a retransmission and pass it over.
            (await call_in(tmp_path, text, ours.address, "-nr")).check()

    run_clean(main())


def test_a_caller_that_cancels_gets_both_answers(tmp_path: Path, run_clean: Any) -> None:
    text = scenario(
        INVITE,
        expect(100, optional=True),
        expect(180),
        request("CANCEL", 1, dialog=False, ack_to="[last_Via:]"),
        expect(200),
        expect(487),
        request("ACK", 1, dialog=False, ack_to="[last_Via:]", tag="[peer_tag_param]"),
    )

    async def main() -> None:
        async with platform(ring_only) as ours:
            (await call_in(tmp_path, text, ours.address)).check()
            await ours.logs["room1"].until(LegEnded)

    run_clean(main())


def test_a_caller_that_we_hang_up_on(tmp_path: Path, run_clean: Any) -> None:
    text = scenario(
        INVITE,
        provisional(),
        expect(200, rrs=True),
        request("ACK", 1),
        expect_request("BYE", header="Reason: *Q.850 *; *cause=16"),
        respond("200 OK", tag=False),
    )

    async def main() -> None:
        async def briefly(ours: Platform, incoming: IncomingCall) -> None:
            await incoming.join(await ours.received(incoming))
            await incoming.leg.answer()
            await asyncio.sleep(0.1)
            await incoming.leg.hang_up(None, "agent_hangup")

        async with platform(briefly) as ours:
            (await call_in(tmp_path, text, ours.address)).check()

    run_clean(main())


# -- sipp is called -------------------------------------------------------------------------------------------------------------

ROUTE = "Record-Route: <sip:[local_ip]:[local_port];lr;hop=one>"


def test_a_callee_behind_a_proxy_is_reached_by_its_route(tmp_path: Path, run_clean: Any) -> None:
    by_route = "Route: *<sip:127.0.0.1:[0-9]+;lr;hop=one>"
    text = scenario(
        expect_request("INVITE", rrs=True, body="m=audio"),
        respond("100 Trying", tag=False),
        respond("180 Ringing", record_route=ROUTE),
        pause(0.1),
        respond("200 OK", body=sdp(), record_route=ROUTE),
        expect_request("ACK", header=by_route),
        stream(),
        expect_request("BYE", header=by_route),
        respond("200 OK", tag=False),
    )

    async def main() -> None:
        async with platform() as ours:
            sipp = await called(tmp_path, text)
            room, leg = await ours.dial(trunk_to(sipp.port))
            await ours.logs[room].until(LegMediaReceived)
            await leg.hang_up(None, "agent_hangup")
            (await sipp.wait()).check()

    run_clean(main())


def test_an_answer_that_comes_again_is_acknowledged_again(tmp_path: Path, run_clean: Any) -> None:
    text = scenario(
        '<recv request="INVITE" rrs="true"><action>'
        '<ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>'
        "</action></recv>",
        respond("180 Ringing"),
        respond("200 OK", body=sdp()),
        expect_request("ACK"),
        "<send><![CDATA[\nSIP/2.0 200 OK\nVia:[$via]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\nCSeq: 1 INVITE\n"
        "Contact: <sip:uas@[local_ip]:[local_port]>\nContent-Length: 0\n\n]]></send>",
        expect_request("ACK"),
        expect_request("BYE"),
        respond("200 OK", tag=False),
    )

    async def main() -> None:
        async with platform() as ours:
            sipp = await called(tmp_path, text, "-nr")
            room, leg = await ours.dial(trunk_to(sipp.port))
            await eventually(lambda: ours.logs[room].events[1:])
            await asyncio.sleep(0.4)
            await leg.hang_up(None, "agent_hangup")
            (await sipp.wait()).check()

    run_clean(main())


def test_a_callee_that_is_busy(tmp_path: Path, run_clean: Any) -> None:
    text = scenario(expect_request("INVITE"), respond("486 Busy Here"), expect_request("ACK"))

    async def main() -> None:
        async with platform() as ours:
            sipp = await called(tmp_path, text)
            room, _ = await ours.dial(trunk_to(sipp.port))
            assert (await ours.logs[room].until(LegRejected)).code == 486
            (await sipp.wait()).check()

    run_clean(main())


def test_a_callee_that_hangs_up_and_one_that_refreshes_the_session(tmp_path: Path, run_clean: Any) -> None:
    text = scenario(
        '<recv request="INVITE" rrs="true"><action>'
        '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="theirs"/>'
        '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="ours"/>'
        '<ereg regexp="Session-Expires: *1800" search_in="msg" check_it="true" assign_to="found"/>'
        "</action></recv>",
        respond("200 OK", body=sdp(), headers="Require: timer\nSession-Expires: 90;refresher=uas"),
        expect_request("ACK"),
        stream(),
        pause(0.5),
        _from_callee("UPDATE", 1, "Session-Expires: 90;refresher=uac\nSupported: timer\n"),
        expect(200, header="Session-Expires: *90"),
        _from_callee("BYE", 2),
        expect(200),
    )

    async def main() -> None:
        async with platform() as ours:
            sipp = await called(tmp_path, text)
            room, _ = await ours.dial(trunk_to(sipp.port))
            await ours.logs[room].until(LegEnded)
            (await sipp.wait()).check()

    run_clean(main())


def _from_callee(method: str, cseq: int, headers: str = "") -> str:
    """A request of the callee's within the dialog: From and To change places."""
    return f"""<send retrans="500"><![CDATA[
{method} [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$ours];tag=[pid]U[call_number]
To:[$theirs]
Call-ID: [call_id]
CSeq: {cseq} {method}
Contact: <sip:uas@[local_ip]:[local_port]>
Max-Forwards: 70
{headers}Content-Length: 0

]]></send>"""


# -- many ---------------------------------------------------------------------------------------------------------------------------


def test_forty_calls_at_ten_a_second_leave_nothing_behind(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with platform() as ours:
            sipp = Sipp(tmp_path, call(stream(), pause(1.0), stop_stream()))
            target = f"{ours.address[0]}:{ours.address[1]}"
            await sipp.start(target, "-s", "bank", "-m", "40", "-r", "10", "-l", "40")
            (await sipp.wait()).check()
            assert len(ours.incoming) == 40
            await ours.nothing_left()
            ended = [log.events[-1] for log in ours.logs.values()]
            assert all(isinstance(event, LegEnded) for event in ended)
            lost = [call.leg.statistics["packets_lost"] for call in ours.incoming.values()]  # type: ignore[attr-defined]
            assert sum(lost) == 0

    run_clean(main(), timeout=60)
