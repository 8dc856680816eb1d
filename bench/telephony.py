"""What telephone calls cost: how many a media core carries on time, the processor time of each, and how fast they are set up.

Carried on time means that at most one packet in a hundred leaves more than 5 ms late.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.audio import AudioFrame
from antiphon.rooms import ParticipantKind, Room, RoomEvent
from antiphon.rooms.local import LocalRooms
from antiphon.rtp.codecs import PCMU
from antiphon.rtp.media_process import MediaCall, MediaProcess
from antiphon.rtp.port_pool import PortPool
from antiphon.rtp.settings import StreamSettings
from antiphon.rtp.srtp import SrtpKey
from antiphon.telephony import IncomingCall, LegEnded
from antiphon.telephony.sip_service import SipOptions, SipService

from .measurement import Plan, Row, percentile

HOST = "127.0.0.1"
MOST_LATE = 0.01
_PERIOD = 5.2  # an engine reports its pacing each five seconds
_POINTS = (50, 100, 150, 200, 250, 300, 350, 400, 500, 600, 800)

_CALLER = """<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="load">
<send retrans="500"><![CDATA[
INVITE sip:load@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch];rport
From: <sip:caller@[local_ip]:[local_port]>;tag=[pid]T[call_number]
To: <sip:load@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:caller@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
<recv response="100" optional="true"/>
<recv response="180" optional="true"/>
<recv response="200" rrs="true"/>
<send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch];rport
From: <sip:caller@[local_ip]:[local_port]>;tag=[pid]T[call_number]
To: <sip:load@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<nop><action><exec rtp_stream="tone.ul,-1,0"/></action></nop>
<pause/>
<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch];rport
From: <sip:caller@[local_ip]:[local_port]>;tag=[pid]T[call_number]
To: <sip:load@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"""


@dataclass(frozen=True)
class Point:
    """What one engine did with so many calls.

    Attributes:
        late: share of packets that left more than 5 ms late.
        p99, worst: seconds that packets left late.
        share: of one core.
    """

    calls: int
    late: float
    p99: float
    worst: float
    share: float


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _pin(pid: int, cpu: int) -> None:
    """The engine has a core of its own, where there are two."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(pid, {cpu})


@asynccontextmanager
async def _far_ends(calls: int, cpu: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, list[int]]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.rtp_load", str(calls)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    _pin(process.pid, cpu)
    try:
        async with asyncio.timeout(20):
            yield process, json.loads(await process.stdout.readline())
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _point(calls: int, *, encrypted: bool) -> Point:
    """One engine with so many calls that are spoken to and speak."""
    engine = MediaProcess(PortPool(20000, 20000 + 2 * calls + 200, quarantine=0.0))
    await engine.start()
    assert engine.pid is not None
    _pin(engine.pid, 0)
    try:
        async with _far_ends(calls, 1) as (far, ports):
            keys = [secrets.token_bytes(30) for _ in ports] if encrypted else None
            opened = [await engine.open_call(HOST) for _ in ports]
            for index, (call, port) in enumerate(zip(opened, ports, strict=True)):
                _configure(call, port, None if keys is None else keys[index])
            assert far.stdin is not None
            hexes = None if keys is None else [key.hex() for key in keys]
            document = {"targets": [call.port for call in opened], "keys": hexes}
            far.stdin.write(json.dumps(document).encode() + b"\n")
            speaking = asyncio.create_task(_speak(opened))
            try:
                return await _watch(engine, calls)
            finally:
                speaking.cancel()
                await asyncio.gather(speaking, return_exceptions=True)
    finally:
        await engine.aclose()


def _configure(call: MediaCall, port: int, key: bytes | None) -> None:
    call.on_audio = lambda _frame: None
    secret = None if key is None else SrtpKey("AES_CM_128_HMAC_SHA1_80", key)
    call.configure(
        StreamSettings(PCMU, 0, {0: PCMU}, remote=(HOST, port), send_key=secret, receive_key=secret)
    )


async def _speak(calls: list[MediaCall]) -> None:
    loop = asyncio.get_running_loop()
    frame = (4000 * np.sin(np.arange(160) / 3)).astype(np.int16)
    due = loop.time()
    while True:
        for call in calls:
            call.send(frame)
        due += 0.02
        await asyncio.sleep(max(0.0, due - loop.time()))


async def _watch(engine: MediaProcess, calls: int) -> Point:
    """The first report is of the beginning; the second counts."""
    loop = asyncio.get_running_loop()
    assert engine.pid is not None
    await asyncio.sleep(_PERIOD)
    engine.pacing = None
    begun, used = loop.time(), _processor_seconds(engine.pid)
    await asyncio.sleep(_PERIOD)
    pacing = engine.pacing
    if pacing is None:
        return Point(calls, 1.0, 1.0, 1.0, 1.0)
    share = (_processor_seconds(engine.pid) - used) / (loop.time() - begun)
    return Point(calls, pacing.late / pacing.packets, pacing.p99, pacing.worst, share)


def _most(*, encrypted: bool, quick: bool) -> tuple[Point | None, list[Point]]:
    """The last point of the ladder that is on time; one that is late is tried again, for the machine may have been busy."""
    best, seen = None, []
    for calls in _POINTS[1::3] if quick else _POINTS:
        for _ in range(1 if quick else 2):
            try:
                point = asyncio.run(_point(calls, encrypted=encrypted))
            except TimeoutError:
                point = Point(calls, 1.0, 1.0, 1.0, 1.0)
            seen.append(point)
            if point.late <= MOST_LATE:
                break
        if point.late > MOST_LATE:
            break
        best = point
    return best, seen


# -- the whole way, with sipp as the load -------------------------------------------------------------------------------------------


@dataclass
class _Service:
    """A service whose calls are answered at once by an agent that speaks all the time.

    Attributes:
        ringing, set_up: seconds from when each INVITE was read until 180 and 200 had been sent.
    """

    service: SipService
    ringing: list[float]
    set_up: list[float]


@asynccontextmanager
async def _service(speech: float) -> AsyncIterator[_Service]:
    rooms = LocalRooms()
    voice = (4000 * np.sin(np.arange(round(24000 * speech)) / 9)).astype(np.int16)
    ringing: list[float] = []
    set_up: list[float] = []
    leaving: set[asyncio.Task[None]] = set()

    def leave(agent: Room) -> None:
        task = asyncio.create_task(agent.disconnect())
        leaving.add(task)
        task.add_done_callback(leaving.discard)

    async def take(call: IncomingCall) -> None:
        begun = time.perf_counter()
        room = f"room{len(set_up)}"
        set_up.append(0.0)
        index = len(set_up) - 1
        agent = await rooms.join(room, "agent", ParticipantKind.AGENT)
        agent.on(RoomEvent.TRACK_SUBSCRIBED, lambda track, _: track.subscribe(lambda _frame: None))
        output = await agent.publish_audio("voice", sample_rate=24000)
        await call.join(room)
        call.leg.on_event = lambda event: leave(agent) if isinstance(event, LegEnded) else None
        await call.ring()
        ringing.append(time.perf_counter() - begun)
        await call.leg.answer()
        set_up[index] = time.perf_counter() - begun
        output.push(AudioFrame(voice, 24000))
        output.flush()

    options = SipOptions(port=0, rtp_first=20000, rtp_last=24000, port_rest=0.0)
    service = SipService(options, rooms, take, tick=rooms.tick)
    await service.start()
    try:
        yield _Service(service, ringing, set_up)
    finally:
        await service.aclose()
        await rooms.aclose()


async def _sipp(address: tuple[str, int], calls: int, rate: int, seconds: float, folder: Path) -> Any:
    (folder / "load.xml").write_text(_CALLER)
    (folder / "tone.ul").write_bytes(bytes(range(64, 224)) * 100)
    return await asyncio.create_subprocess_exec(
        *("sipp", f"{address[0]}:{address[1]}", "-sf", "load.xml", "-i", HOST, "-mi", HOST, "-mp", "31000"),
        *("-m", str(calls), "-r", str(rate), "-l", str(calls), "-d", str(round(seconds * 1000))),
        *("-nostdin", "-trace_rtt", "-rtt_freq", "1", "-timeout", "120", "-timeout_error"),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def _bridged(calls: int, rate: int) -> dict[str, float]:
    """Calls of sipp, each in a room with an agent that speaks: what they cost once all are there."""
    filling = calls / rate
    with tempfile.TemporaryDirectory() as name:
        async with _service(filling + 20) as running:
            service = running.service
            (engine,) = service.engines.engines
            assert engine.pid is not None
            _pin(engine.pid, 0)
            sipp = await _sipp(service.address, calls, rate, filling + 14, Path(name))
            _pin(sipp.pid, 1)
            try:
                await asyncio.sleep(filling + 2)
                own, media, begun = time.process_time(), _processor_seconds(engine.pid), time.monotonic()
                engine.pacing = None
                await asyncio.sleep(2 * _PERIOD)
                wall = time.monotonic() - begun
                measured = {
                    "service": (time.process_time() - own) / wall / calls,
                    "media": (_processor_seconds(engine.pid) - media) / wall / calls,
                    "on": float(service.calls),
                }
                pacing = engine.pacing
                measured["late"] = pacing.late / pacing.packets if pacing is not None else 1.0
                async with asyncio.timeout(60):
                    measured["failed"] = float(await sipp.wait())
            finally:
                if sipp.returncode is None:
                    sipp.kill()
                    await sipp.wait()
            await _emptied(service)
            measured["left"] = float(service.calls + service.engines.ports.used)
            measured["p50"] = percentile(running.set_up, 50)
            measured["p95"] = percentile(running.set_up, 95)
            return measured


async def _emptied(service: SipService) -> None:
    for _ in range(100):
        if not service.calls and not service.engines.ports.used:
            return
        await asyncio.sleep(0.05)


def _kept(pid: int) -> tuple[int, float]:
    """Descriptors and resident megabytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return len(os.listdir(f"/proc/{pid}/fd")), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _set_ups(rate: int, rounds: int, seconds: float) -> list[Row]:
    """Short calls at a rate, in rounds: how soon it rings, and what is left of them."""
    count = round(rate * seconds)
    with tempfile.TemporaryDirectory() as name:
        async with _service(1.0) as running:
            service = running.service
            (engine,) = service.engines.engines
            assert engine.pid is not None
            kept, failed = [], 0
            for _ in range(rounds):
                sipp = await _sipp(service.address, count, rate, 1.0, Path(name))
                async with asyncio.timeout(seconds + 60):
                    failed += await sipp.wait()
                await _emptied(service)
                kept.append((_kept(os.getpid()), _kept(engine.pid)))
            measured = running.ringing
            (own, media), (own_last, media_last) = kept[0], kept[-1]
    note = (
        f"{rounds} times {count} calls; p50 {1000 * percentile(measured, 50):.1f} ms; sipp ended with {failed}. From the first "
        f"round to the last: descriptors {own[0]} to {own_last[0]} and {media[0]} to {media_last[0]}, "
        f"memory {own[1]:.0f} to {own_last[1]:.0f} MB and {media[1]:.0f} to {media_last[1]:.0f} MB (service, media)"
    )
    ring = round(1000 * percentile(measured, 95), 1)
    return [Row(f"phone calls at {rate} a second: INVITE to 180, p95", "ms", ring, 100, note=note)]


def _bridged_rows(calls: int, rate: int) -> list[Row]:
    if shutil.which("sipp") is None:
        return [Row("telephone calls with sipp", "", None, note="needs sipp: apt-get install sip-tester")]
    found = asyncio.run(_bridged(calls, rate))
    note = (
        f"{calls} calls of sipp at {rate}/s, each with an agent speaking; {found['on']:g} were on, "
        f"{found['late']:.2%} of packets late, {found['left']:g} calls or ports left, sipp ended with {found['failed']:g}"
    )
    return [
        Row("phone call: service process", "% of a core", round(100 * found["service"], 3), note=note),
        Row("phone call: media process", "% of a core", round(100 * found["media"], 3), 0.54),
        Row(
            "phone call: INVITE to 200, p95",
            "ms",
            round(1000 * found["p95"], 1),
            100,
            note=f"p50 {1000 * found['p50']:.1f} ms; from when the INVITE was read, with no ringing time",
        ),
    ]


def measure(plan: Plan) -> list[Row]:
    """See the module."""
    rows = []
    for encrypted, budget in ((False, 300), (True, 150)):
        best, seen = _most(encrypted=encrypted, quick=plan.quick)
        name = "calls on one media core, PCMU" + (" with SRTP" if encrypted else "")
        ladder = ", ".join(
            f"{p.calls}: {p.late:.2%} late, p99 {1000 * p.p99:.1f} ms, core {p.share:.0%}" for p in seen
        )
        calls = None if best is None else float(best.calls)
        rows.append(Row(name, "calls", calls, budget, higher_is_better=True, note=ladder))
        if best is not None:
            rows.append(Row(name + ": each", "% of a core", round(100 * best.share / best.calls, 3)))
    rows += _bridged_rows(40 if plan.quick else 100, 10)
    if shutil.which("sipp") is not None:
        rows += asyncio.run(_set_ups(25, 2 if plan.quick else 4, 4.0 if plan.quick else 15.0))
    return rows
