"""Calls over a network that loses, delays, reorders and doubles; and packets of others that want to be part of a call."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest

from antiphon.rtp.packet import RtpPacket, serialize_rtp
from antiphon.sip import events as sip
from antiphon.telephony import LegEnded, LegMediaReceived
from support.phone_platform import eventually, platform
from support.telephone import HOST, gaps, measure_tone, telephone
from support.udp_relay import Faults, udp_relay

BAD = Faults(loss=0.1, jitter=0.05, duplicates=0.05)
KEYS = "0123456789*#ABCD"
CALLS, KEYS_EACH = 4, 15


def test_calls_and_keys_survive_a_bad_network(run_clean: Any) -> None:
    """A tenth of all datagrams is lost each way, SIP and audio alike, and many overtake others."""

    async def main() -> None:
        async with platform() as ours, telephone() as phone, AsyncExitStack() as stack:
            signalling = await stack.enter_async_context(udp_relay(ours.address, BAD, seed=2))
            signalling.hide((HOST, phone.port))
            calls = []
            for number in range(CALLS):
                relay = await stack.enter_async_context(udp_relay((HOST, 0), BAD, seed=number))
                calls.append(await phone.dial(f"bank{number}", signalling.address, relay=relay))
            rooms = [f"room{number + 1}" for number in range(CALLS)]
            for call in calls:
                await call.until(sip.Answered, 20)
            for room in rooms:
                await ours.took(room, 20)
                await ours.logs[room].until(LegMediaReceived, 20)
            # Those whose INVITE was lost came later.
            rooms.sort(key=lambda room: ours.incoming[room].number)
            await _tones(ours, calls, rooms)
            await _keys(ours, calls, rooms)
            for index, call in enumerate(calls):
                if index % 2:
                    call.hang_up()
                else:
                    await ours.incoming[rooms[index]].leg.hang_up(None, "agent_hangup")
            await ours.nothing_left(20)
            # While the relay is there: a BYE that was lost is still sent again.
            endpoint = ours.service._endpoint
            assert endpoint is not None
            await eventually(lambda: endpoint.user_agent.is_idle and phone.endpoint.user_agent.is_idle, 20)
            for room in rooms:
                statistics = ours.incoming[room].leg.statistics  # type: ignore[attr-defined]
                assert statistics["loss"] < 0.25
                assert statistics["concealed"] > 0
                assert statistics["duplicates"] > 0
            assert signalling.lost > 0

    run_clean(main(), timeout=90)


async def _tones(ours: Any, calls: list[Any], rooms: list[str]) -> None:
    for room in rooms:
        await ours.agents[room].speak(440, 2.2)
    await asyncio.sleep(2.0)
    for call, room in zip(calls, rooms, strict=True):
        heard = ours.agents[room].heard[-10000:]
        frequency, level = measure_tone(heard, 8000)
        assert frequency == pytest.approx(1000, abs=2)
        assert level == pytest.approx(0, abs=1)
        # What was lost is concealed for the most part.
        assert gaps(heard, 8000) < 0.08
        sent = call.ear.heard[-10000:]
        frequency, level = measure_tone(sent, 8000)
        assert frequency == pytest.approx(440, abs=2)
        assert level == pytest.approx(0, abs=1)


async def _keys(ours: Any, calls: list[Any], rooms: list[str]) -> None:
    chosen = random.Random(3)
    there = ["".join(chosen.choices(KEYS, k=KEYS_EACH)) for _ in rooms]
    back = ["".join(chosen.choices(KEYS, k=KEYS_EACH)) for _ in rooms]
    for index, (call, room) in enumerate(zip(calls, rooms, strict=True)):
        call.ear.press(there[index])
        await ours.incoming[room].leg.send_dtmf(back[index])
    await asyncio.sleep(KEYS_EACH * 0.17)
    await eventually(lambda: all(len(ours.agents[room].digits) >= KEYS_EACH for room in rooms), 4)
    await eventually(lambda: all(len(call.ear.keys) >= KEYS_EACH for call in calls), 4)
    await asyncio.sleep(0.3)
    assert ["".join(ours.agents[room].digits) for room in rooms] == there
    assert ["".join(call.ear.keys) for call in calls] == back


def test_audio_of_others_is_not_heard(run_clean: Any) -> None:
    """Packets that are right in all but their source: another port of the same machine."""

    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            call = await phone.dial("bank", ours.address)
            await call.until(sip.Answered)
            incoming = await ours.took()
            await ours.logs["room1"].until(LegMediaReceived)
            agent = ours.agents["room1"]
            await agent.speak(440, 1.5)
            assert call.agreed is not None
            target = (call.agreed.address, call.agreed.port)
            noise = np.full(160, 0x80, np.uint8).tobytes()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                for number in range(60):
                    other.sendto(serialize_rtp(RtpPacket(0, number, 160 * number, 4711, noise)), target)
                    other.sendto(b"\x80" + random.Random(number).randbytes(number), target)
                    await asyncio.sleep(0.02)
                with pytest.raises(BlockingIOError):
                    other.recvfrom_into(bytearray(10), 0, socket.MSG_DONTWAIT)
            frequency, level = measure_tone(agent.heard[-6400:], 8000)
            assert frequency == pytest.approx(1000, abs=1)
            assert level == pytest.approx(0, abs=1)
            call.hang_up()
            await eventually(lambda: incoming.leg.statistics)  # type: ignore[attr-defined]
            assert incoming.leg.statistics["refused"] >= 100  # type: ignore[attr-defined]

    run_clean(main())


def test_a_flood_of_strangers_gets_no_reply_and_harms_no_call(run_clean: Any) -> None:
    async def main() -> None:
        async with platform(open_to=("127.0.0.1/32",)) as ours, telephone() as phone:
            call = await phone.dial("bank", ours.address)
            await call.until(sip.Answered)
            await ours.took()
            await ours.logs["room1"].until(LegMediaReceived)
            await ours.agents["room1"].speak(440, 1.5)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind(("127.0.0.2", 0))
                stranger.setblocking(False)
                own = stranger.getsockname()[1]
                for batch in range(100):
                    for number in range(20):
                        stranger.sendto(_invite(ours.address, own, f"{batch}-{number}"), ours.address)
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.2)
                with pytest.raises(BlockingIOError):
                    stranger.recv(4096)
            assert len(ours.incoming) == 1
            assert ours.service._admission.refused == 2000
            frequency, level = measure_tone(call.ear.heard[-6400:], 8000)
            assert frequency == pytest.approx(440, abs=1)
            assert level == pytest.approx(0, abs=1)
            call.hang_up()
            await ours.logs["room1"].until(LegEnded)

    run_clean(main())


def _invite(address: tuple[str, int], own: int, name: str) -> bytes:
    host, port = address
    return (
        f"INVITE sip:100@{host}:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:{own};branch=z9hG4bK{name}\r\n"
        f"From: <sip:scan@127.0.0.2>;tag={name}\r\nTo: <sip:100@{host}>\r\nCall-ID: {name}\r\nCSeq: 1 INVITE\r\n"
        f"Contact: <sip:scan@127.0.0.2:{own}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    ).encode()
