"""What takes minutes: calls on hold, calls with session timers, ten thousand keys over a network that loses, a flood beside calls.

Not run unless `ANTIPHON_LONG=1`; what they measure is printed with `-s`.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import random
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from antiphon.sip import events as sip
from antiphon.sip.sdp import Direction
from antiphon.telephony import LegEnded, LegFailed, LegMediaReceived, LegRtpTimedOut
from support.phone_platform import LegLog, Platform, eventually, platform, trunk_to
from support.sipp import (
    Sipp,
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
from support.telephone import HOST, measure_tone, telephone
from support.udp_relay import Faults, udp_relay

pytestmark = [
    pytest.mark.skipif(os.environ.get("ANTIPHON_LONG") != "1", reason="takes minutes: set ANTIPHON_LONG=1"),
    pytest.mark.time_limit(900),
]

HELD_SECONDS = 120.0
TIMER = 90  # seconds, the shortest that RFC 4028 allows
REFRESHES = 14  # in ten minutes, one each half of the timer
KEYS = "0123456789*#ABCD"
CALLS, KEYS_EACH = 25, 400


@pytest.fixture(autouse=True)
def _no_last_resort() -> None:
    """The dump of pytest that ends what hangs would end what is long; the time limit holds."""
    faulthandler.cancel_dump_traceback_later()


def lasting(log: LegLog) -> bool:
    """Nothing of the call says that it ended, or that its audio stayed away."""
    return not any(isinstance(event, LegEnded | LegFailed | LegRtpTimedOut) for event in log.events)


def test_calls_on_hold_in_silence_survive_two_minutes(run_clean: Any) -> None:
    """Specification, gate 4. Neither side sends a packet of audio for longer than any time-out."""

    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            ways = (Direction.SENDONLY, Direction.INACTIVE)
            calls = []
            for number, _ in enumerate(ways):
                call = await phone.dial(f"bank{number}", ours.address)
                await call.until(sip.Answered)
                await ours.logs[await _room(ours, f"bank{number}")].until(LegMediaReceived)
                calls.append(call)
            rooms = [await _room(ours, f"bank{number}") for number, _ in enumerate(ways)]
            for call, room, way in zip(calls, rooms, ways, strict=True):
                call.ear.muted = True
                phone.endpoint.hold(call.handle, way)
                await eventually(lambda room=room: ours.agents[room].told[-1:] == ["call_hold"])
            await asyncio.sleep(HELD_SECONDS)
            for call, room in zip(calls, rooms, strict=True):
                assert lasting(ours.logs[room])
                call.ear.muted = False
                phone.endpoint.hold(call.handle, Direction.SENDRECV)
                await eventually(lambda room=room: ours.agents[room].told[-1:] == ["call_resume"])
                ours.agents[room].forget()
                call.ear.forget()
                await ours.agents[room].speak(440, 1.2)
            await asyncio.sleep(1.2)
            for call, room in zip(calls, rooms, strict=True):
                assert measure_tone(ours.agents[room].heard[-4000:], 8000)[0] == pytest.approx(1000, abs=2)
                assert measure_tone(call.ear.heard[-4000:], 8000)[0] == pytest.approx(440, abs=2)
                assert lasting(ours.logs[room])
                call.hang_up()

    run_clean(main(), timeout=HELD_SECONDS + 60)


async def _room(ours: Platform, number: str) -> str:
    await eventually(lambda: any(call.number == number for call in ours.incoming.values()))
    return next(room for room, call in ours.incoming.items() if call.number == number)


# -- session timers -----------------------------------------------------------------------------------------------------------------

_ANSWER = "Supported: timer\nRequire: timer\nSession-Expires: {};refresher={}"
_INVITE = '<recv request="INVITE" rrs="true"><action><ereg regexp=".*" search_in="hdr" header="From:" assign_to="theirs"/><ereg regexp=".*" search_in="hdr" header="To:" assign_to="ours"/></action></recv>'
_USED = '<Reference variables="theirs,ours"/>'


def _caller(refresher: str) -> str:
    """Calls with a timer, then refreshes it itself (`uac`), or expects to be refreshed by UPDATE (`uas`)."""
    headers = f"Supported: timer\nAllow: INVITE, ACK, BYE, CANCEL, UPDATE\nSession-Expires: {TIMER};refresher={refresher}"
    steps: list[str] = []
    for number in range(REFRESHES):
        if refresher == "uac":
            steps += [
                pause(TIMER / 2),
                request("UPDATE", number + 2, headers=headers),
                expect(200, header=f"Session-Expires: *{TIMER};refresher=uac"),
            ]
        else:
            steps += [
                expect_request("UPDATE", header=f"Session-Expires: *{TIMER};refresher=uac"),
                respond("200 OK", tag=False, headers=_ANSWER.format(TIMER, "uac")),
            ]
    return scenario(
        request("INVITE", 1, body=sdp(), headers=headers, dialog=False),
        provisional(),
        expect(200, rrs=True, header=f"Session-Expires: *{TIMER};refresher={refresher}"),
        request("ACK", 1),
        stream(),
        *steps,
        request("BYE", REFRESHES + 2),
        expect(200),
    )


def _callee(refresher: str) -> str:
    """Is called, and takes a timer that it is refreshed in by re-INVITE (`uac`), for it knows no UPDATE, or refreshes itself (`uas`)."""
    steps: list[str] = []
    for number in range(REFRESHES):
        if refresher == "uac":
            steps += [
                expect_request("INVITE", header=f"Session-Expires: *{TIMER};refresher=uac"),
                respond("200 OK", tag=False, body=sdp(), headers=_ANSWER.format(TIMER, "uac")),
                expect_request("ACK"),
            ]
        else:
            steps += [
                pause(TIMER / 2),
                _from_callee(
                    "UPDATE", number + 1, f"Session-Expires: {TIMER};refresher=uac\nSupported: timer\n"
                ),
                expect(200, header=f"Session-Expires: *{TIMER};refresher=uac"),
            ]
    text = scenario(
        _INVITE,
        respond("200 OK", body=sdp(), headers="Allow: INVITE, ACK, BYE\n" + _ANSWER.format(TIMER, refresher)),
        expect_request("ACK"),
        stream(),
        *steps,
        expect_request("BYE"),
        respond("200 OK", tag=False),
    )
    return text.replace("</scenario>", f"{_USED}</scenario>")


def _from_callee(method: str, cseq: int, headers: str) -> str:
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


@pytest.mark.needs("sipp")
def test_calls_with_a_timer_of_90_seconds_survive_ten_minutes(tmp_path: Path, run_clean: Any) -> None:
    """Specification, gate 4; RFC 4028. Called and calling, refreshed by us and by them, by UPDATE and by re-INVITE."""

    async def main() -> None:
        async with platform() as ours:
            begun = time.monotonic()
            target = f"{ours.address[0]}:{ours.address[1]}"
            limit = (REFRESHES + 2) * TIMER / 2
            peers: list[Sipp] = []
            for number, refresher in enumerate(("uac", "uas")):
                folder = tmp_path / f"caller-{refresher}"
                folder.mkdir()
                peer = Sipp(folder, _caller(refresher), media_port=31000 + 100 * number)
                await peer.start(target, "-s", f"bank-{refresher}", "-m", "1", limit=limit)
                peers.append(peer)
            outbound = []
            for number, refresher in enumerate(("uac", "uas")):
                folder = tmp_path / f"callee-{refresher}"
                folder.mkdir()
                peer = await called(
                    folder, _callee(refresher), "-mp", str(31200 + 100 * number), "-timeout", str(limit)
                )
                outbound.append((peer, await ours.dial(trunk_to(peer.port))))
            (await peers[0].wait(limit)).check()
            (await peers[1].wait(limit)).check()
            lasted = time.monotonic() - begun
            await asyncio.sleep(8)  # the callees were called a moment later
            for peer, (room, leg) in outbound:
                assert lasting(ours.logs[room])
                await leg.hang_up(None, "agent_hangup")
                (await peer.wait()).check()
            print(
                f"\n4 calls with a timer of {TIMER} s: {lasted:.0f} s, {REFRESHES} refreshes each, none lost"
            )

    run_clean(main(), timeout=850)


# -- keys ---------------------------------------------------------------------------------------------------------------------------


def test_ten_thousand_keys_each_way_come_exactly_once_though_a_twentieth_is_lost(run_clean: Any) -> None:
    """Specification, gate 5: RFC 4733 over the wire, with a relay that loses 5 % of all datagrams of audio each way."""

    async def main() -> None:
        async with platform() as ours, telephone() as phone, AsyncExitStack() as stack:
            chosen = random.Random(5)
            there = ["".join(chosen.choices(KEYS, k=KEYS_EACH)) for _ in range(CALLS)]
            back = ["".join(chosen.choices(KEYS, k=KEYS_EACH)) for _ in range(CALLS)]
            calls, rooms, relays = [], [], []
            for number in range(CALLS):
                relay = await stack.enter_async_context(udp_relay((HOST, 0), Faults(loss=0.05), seed=number))
                call = await phone.dial(f"bank{number}", ours.address, relay=relay)
                await call.until(sip.Answered)
                room = await _room(ours, f"bank{number}")
                await ours.logs[room].until(LegMediaReceived)
                calls.append(call)
                rooms.append(room)
                relays.append(relay)
            for call, room, keys, answer in zip(calls, rooms, there, back, strict=True):
                call.ear.press(keys)
                await ours.incoming[room].leg.send_dtmf(answer)
            patience = KEYS_EACH * 0.5
            await eventually(
                lambda: all(len(ours.agents[one].digits) >= KEYS_EACH for one in rooms), patience
            )
            await eventually(lambda: all(len(call.ear.keys) >= KEYS_EACH for call in calls), patience)
            await asyncio.sleep(1.0)
            assert ["".join(ours.agents[room].digits) for room in rooms] == there
            assert ["".join(call.ear.keys) for call in calls] == back
            lost, passed = sum(relay.lost for relay in relays), sum(relay.passed for relay in relays)
            print(f"\n{CALLS * KEYS_EACH} keys each way, each once; {lost} of {lost + passed} datagrams lost")
            for call in calls:
                call.hang_up()

    run_clean(main(), timeout=600)


# -- a flood ------------------------------------------------------------------------------------------------------------------------

_FLOOD = """
import socket, sys, time
port, rate, seconds = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
    stranger.bind(("127.0.0.2", 0))
    stranger.setblocking(False)
    own, begun = stranger.getsockname()[1], time.monotonic()
    for number in range(rate * seconds):
        stranger.sendto((
            f"INVITE sip:100@127.0.0.1:{port} SIP/2.0\\r\\nVia: SIP/2.0/UDP 127.0.0.2:{own};branch=z9hG4bK{number}\\r\\n"
            f"From: <sip:scan@127.0.0.2>;tag={number}\\r\\nTo: <sip:100@127.0.0.1>\\r\\nCall-ID: {number}\\r\\n"
            f"CSeq: 1 INVITE\\r\\nContact: <sip:scan@127.0.0.2:{own}>\\r\\nMax-Forwards: 70\\r\\nContent-Length: 0\\r\\n\\r\\n"
        ).encode(), ("127.0.0.1", port))
        time.sleep(max(0.0, begun + (number + 1) / rate - time.monotonic()))
    took = time.monotonic() - begun
    time.sleep(0.5)
    try:
        print("answered", stranger.recv(4096))
    except BlockingIOError:
        print(f"{rate * seconds / took:.0f}")
"""


def test_a_flood_of_2000_a_second_changes_no_call(run_clean: Any) -> None:
    """Specification, gate 7: no reply, and packets of the running calls leave as they did before."""

    async def main() -> None:
        async with platform(open_to=("127.0.0.1/32",)) as ours, telephone() as phone:
            for number in range(20):
                call = await phone.dial(f"bank{number}", ours.address)
                await call.until(sip.Answered)
                room = await _room(ours, f"bank{number}")
                await ours.logs[room].until(LegMediaReceived)
                await ours.agents[room].speak(440, 40)
            before = await _pacing(ours)
            flood = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _FLOOD, str(ours.address[1]), "2000", "14"),
                stdout=asyncio.subprocess.PIPE,
            )
            during = await _pacing(ours)
            printed, _ = await flood.communicate()
            rate = float(printed)
            assert len(ours.incoming) == 20
            assert ours.service._admission.refused == 28000
            print(
                f"\nfound at {rate:.0f} INVITEs a second, p99 of lateness: before {before}, during {during}"
            )
            for call in phone.calls.values():
                call.hang_up()

    run_clean(main(), timeout=120)


async def _pacing(ours: Platform) -> str:
    """How late packets leave in the next whole period of five seconds."""
    (engine,) = ours.service.engines.engines
    found = []
    for _ in range(3):
        engine.pacing = None
        await eventually(lambda: engine.pacing is not None, 8)
        found.append(engine.pacing)
    worst = max(one.p99 for one in found[1:] if one is not None)
    return f"{1000 * worst:.2f} ms"
