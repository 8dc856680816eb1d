"""Peers that write and behave in ways that are rare but right, played by sipp."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from antiphon.telephony import LegAnswered, LegEnded, LegMediaReceived, LegRejected
from support.phone_platform import platform, trunk_to
from support.sipp import (
    call_in,
    called,
    expect,
    expect_request,
    pause,
    provisional,
    request,
    respond,
    scenario,
    sdp,
    stream,
)
from support.telephone import measure_tone

pytestmark = pytest.mark.needs("sipp")

ROUTES = (
    "Record-Route: <sip:[local_ip]:[local_port];r2=on;lr=on;ftag=x>, <sip:[local_ip]:[local_port];r2=on;lr>"
)
BY_ROUTES = "Route: <sip:127.0.0.1:[0-9]+;r2=on;lr=on;ftag=x>[\r\n]+Route: <sip:127.0.0.1:[0-9]+;r2=on;lr>"


def _send(text: str) -> str:
    return f'<send retrans="500"><![CDATA[\n{text}\n]]></send>'


def test_a_caller_that_writes_compactly_and_sends_a_body_of_parts(tmp_path: Path, run_clean: Any) -> None:
    """RFC 3261 section 7.3.3; RFC 5621 section 3.1; a name that looks like an address names nobody."""
    parts = (
        f"--b1\nContent-Type: application/isup\nContent-Disposition: signal;handling=optional\n\nxyz\n--b1\n\
Content-Type: application/sdp\n\n{sdp()}\n--b1--\n"
    )
    invite = _send(
        f"""INVITE sip:bank@[remote_ip]:[remote_port] SIP/2.0
v: SIP / 2.0 / [transport] [local_ip]:[local_port];branch=[branch];rport, SIP/2.0/TCP 192.0.2.7;branch=z9hG4bKfurther
f: "A, B <sip:evil@example.com>;tag=none" <sip:+14155550111@[local_ip]:[local_port]>;tag=[pid]T[call_number]
t: "Bank, the" <sip:bank@[remote_ip]:[remote_port]>
i: [call_id]
CSEQ: 1 INVITE
m: "me" <sip:+14155550111@[local_ip]:[local_port];ob>;+sip.instance="&lt;urn:uuid:1&gt;"
MAX-FORWARDS: 9
{ROUTES}
k: timer, 100rel
c: multipart/mixed; boundary="b1"
l: [len]

{parts}""".replace("&lt;", "<").replace("&gt;", ">")
    )
    text = scenario(
        invite,
        provisional(),
        expect(200, rrs=True, header="r2=on;lr=on.*r2=on;lr"),
        request("ACK", 1),
        stream(),
        expect_request("BYE", header="Route: *<sip:127.0.0.1:[0-9]+;r2=on;lr=on;ftag=x>"),
        respond("200 OK", tag=False),
    )

    async def main() -> None:
        async with platform() as ours:
            outcome = asyncio.create_task(call_in(tmp_path, text, ours.address))
            incoming = await ours.took()
            assert incoming.caller_number == "+14155550111"
            await ours.logs["room1"].until(LegMediaReceived)
            await incoming.leg.hang_up(None, "agent_hangup")
            (await outcome).check()

    run_clean(main())


def test_a_caller_without_an_offer_gets_ours_with_the_reliable_ringing(
    tmp_path: Path, run_clean: Any
) -> None:
    """RFC 3262 section 5."""
    text = scenario(
        request("INVITE", 1, headers="Require: 100rel", dialog=False),
        expect(100, optional=True),
        expect(180, rrs=True, header="RSeq:", body="m=audio [0-9]+ RTP/AVP"),
        '<nop><action><assignstr assign_to="rseq" value="[last_RSeq:]"/></action></nop>',
        '<nop><action><ereg regexp="[0-9]+" search_in="var" variable="rseq" assign_to="number"/></action></nop>',
        request("PRACK", 2, headers="RAck: [$number] 1 INVITE", body=sdp()),
        expect(200),
        expect(200, absent="m=audio"),
        request("ACK", 1),
        stream(),
        pause(0.5),
        request("BYE", 3),
        expect(200),
        '<Reference variables="rseq,number"/>',
    )

    async def main() -> None:
        async with platform() as ours:
            (await call_in(tmp_path, text, ours.address)).check()
            await ours.logs["room1"].until(LegMediaReceived)
            await ours.logs["room1"].until(LegEnded)

    run_clean(main())


@pytest.mark.parametrize("first", ["8", "9"])
def test_a_callee_that_answers_with_two_codecs_and_speaks_in_the_second(
    first: str, tmp_path: Path, run_clean: Any
) -> None:
    """RFC 3264 section 7: what sipp plays is mu-law."""
    answer = sdp().replace("RTP/AVP 0 101", f"RTP/AVP {first} 0 101")
    text = scenario(
        expect_request("INVITE", rrs=True, body="RTP/AVP 9 8 0 101"),
        respond("200 OK", body=answer),
        expect_request("ACK"),
        stream(),
        expect_request("BYE"),
        respond("200 OK", tag=False),
    )

    async def main() -> None:
        async with platform() as ours:
            sipp = await called(tmp_path, text)
            room, leg = await ours.dial(trunk_to(sipp.port, codecs=["g722", "pcma", "pcmu"]))
            await ours.logs[room].until(LegMediaReceived)
            await asyncio.sleep(1.2)
            agent = ours.agents[room]
            frequency, level = measure_tone(agent.heard[-agent.rate // 2 :], agent.rate)
            assert frequency == pytest.approx(440, abs=2)
            assert level == pytest.approx(0, abs=1)
            await leg.hang_up(None, "agent_hangup")
            (await sipp.wait()).check()

    run_clean(main())


def test_a_second_callee_that_answers_too_is_hung_up(tmp_path: Path, run_clean: Any) -> None:
    """RFC 3261 section 13.2.2.4: a proxy forked the call, and two telephones were picked up at once."""
    other = f"""SIP/2.0 200 OK
Via:[$via]
From:[$from]
To:[$to];tag=other
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:other@[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

{sdp()}"""
    text = scenario(
        '<recv request="INVITE" rrs="true"><action>'
        '<ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>'
        '<ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>'
        '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>'
        "</action></recv>",
        respond("180 Ringing"),
        respond("200 OK", body=sdp()),
        expect_request("ACK", absent="tag=other"),
        f"<send><![CDATA[\n{other}\n]]></send>",
        expect_request("ACK", header="To:.*tag=other"),
        expect_request("BYE", header="To:.*tag=other"),
        respond("200 OK", tag=False),
        stream(),
        expect_request("BYE", absent="tag=other"),
        respond("200 OK", tag=False),
    )

    async def main() -> None:
        async with platform() as ours:
            sipp = await called(tmp_path, text)
            room, leg = await ours.dial(trunk_to(sipp.port))
            await ours.logs[room].until(LegAnswered)
            await ours.logs[room].until(LegMediaReceived)
            await leg.hang_up(None, "agent_hangup")
            (await sipp.wait()).check()

    run_clean(main())


def test_a_callee_elsewhere_is_not_followed(tmp_path: Path, run_clean: Any) -> None:
    """RFC 3261 section 8.1.3.4 leaves it to us; a redirection could lead to any price."""
    text = scenario(
        expect_request("INVITE"),
        respond("302 Moved Temporarily", headers="Contact: <sip:+19005550000@192.0.2.66>;q=0.7"),
        expect_request("ACK"),
    )

    async def main() -> None:
        async with platform() as ours:
            sipp = await called(tmp_path, text)
            room, _ = await ours.dial(trunk_to(sipp.port))
            assert (await ours.logs[room].until(LegRejected)).code == 302
            (await sipp.wait()).check()

    run_clean(main())
