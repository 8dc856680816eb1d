"""The media engine in its own process, with real sockets."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from antiphon.rtp.codecs import PCMA, PCMU
from antiphon.rtp.downlink import Downlink
from antiphon.rtp.engine_messages import Failed, FirstPacket, Key
from antiphon.rtp.high_pass import high_pass, new_state
from antiphon.rtp.media_process import MediaFailed, MediaProcess
from antiphon.rtp.packet import RtpPacket, is_rtcp, serialize_rtp
from antiphon.rtp.port_pool import PortPool, PortsExhausted
from antiphon.rtp.settings import StreamSettings
from antiphon.rtp.stream import RtpStream

HOST = "127.0.0.1"


def settings(port: int, codec: Any = PCMU, **more: Any) -> StreamSettings:
    return StreamSettings(
        codec,
        codec.payload_type,
        {codec.payload_type: codec},
        dtmf_send=101,
        dtmf_receive=frozenset({101}),
        remote=(HOST, port),
        **more,
    )


async def started(first: int, last: int) -> MediaProcess:
    process = MediaProcess(PortPool(first, last, quarantine=0.0))
    await process.start()
    return process


def test_two_calls_hear_one_another_and_their_keys(run_clean: Any) -> None:
    async def main() -> None:
        process = await started(41000, 41010)
        one, two = await process.open_call(HOST), await process.open_call(HOST)
        heard: list[np.ndarray[Any, Any]] = []
        events: list[Any] = []
        pressed = asyncio.Event()
        two.on_audio = lambda frame: heard.append(np.frombuffer(frame, dtype=np.int16))

        def listen(event: Any) -> None:
            events.append(event)
            if isinstance(event, Key):
                pressed.set()

        two.on_event = listen
        one.configure(settings(two.port))
        two.configure(settings(one.port))
        voice = (8000 * np.sin(2 * np.pi * 440 * np.arange(8000) / 8000)).astype(np.int16)
        for start in range(0, 8000, 160):
            one.send(voice[start : start + 160])
            await asyncio.sleep(0.02)
        one.press("5")
        await asyncio.wait_for(pressed.wait(), 5)
        statistics = await one.aclose()
        assert statistics["packets_sent"] > 40
        assert await one.aclose() == statistics
        await two.aclose()
        await process.aclose()
        assert any(isinstance(event, FirstPacket) for event in events)
        assert [event.key for event in events if isinstance(event, Key)] == ["5"]
        audio = np.concatenate(heard).astype(float)
        spectrum = np.abs(np.fft.rfft(audio))
        assert spectrum.argmax() * 8000 / audio.size == pytest.approx(440, abs=3)
        assert process.calls == 0

    run_clean(main())


def test_ports_that_others_hold_are_passed_over_and_exhaustion_is_said(run_clean: Any) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind((HOST, 41100))
            process = MediaProcess(PortPool(41100, 41104, quarantine=60.0))
            await process.start()
            call = await process.open_call(HOST)
            assert call.port == 41102
            with pytest.raises(PortsExhausted):
                await process.open_call(HOST)
            await process.aclose()

    run_clean(main())


def test_an_engine_that_dies_ends_its_calls_and_frees_their_ports(run_clean: Any) -> None:
    async def main() -> None:
        pool = PortPool(41200, 41210, quarantine=0.0)
        process = MediaProcess(pool)
        await process.start()
        call = await process.open_call(HOST)
        gone: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call.on_event = gone.set_result
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        assert await asyncio.wait_for(gone, 5) is None
        assert not process.alive
        assert await call.aclose() == {}
        assert pool.used == 0
        with pytest.raises(MediaFailed, match="not running"):
            await process.open_call(HOST)
        await process.aclose()

    run_clean(main())


def test_garbage_on_the_wire_harms_no_call(run_clean: Any) -> None:
    async def main() -> None:
        process = await started(41300, 41310)
        call = await process.open_call(HOST)
        first: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call.on_event = lambda event: None if first.done() else first.set_result(event)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
            far.bind((HOST, 0))
            call.configure(settings(far.getsockname()[1], PCMA))
            chance = np.random.default_rng(1)
            for size in range(0, 400, 3):
                far.sendto(chance.bytes(size), (HOST, call.port))
                far.sendto(chance.bytes(size), (HOST, call.port + 1))
            far.sendto(serialize_rtp(RtpPacket(8, 1, 160, 9, bytes(160))), (HOST, call.port))
            assert isinstance(await asyncio.wait_for(first, 5), FirstPacket)
        assert process.alive
        assert (await call.aclose())["refused"] > 50
        await process.aclose()

    run_clean(main())


def test_what_cannot_be_done_is_said(run_clean: Any) -> None:
    async def main() -> None:
        process = await started(41400, 41410)
        call = await process.open_call(HOST)
        said: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        call.on_event = lambda event: None if said.done() else said.set_result(event)
        call.configure(StreamSettings(PCMU, 0, {0: PCMU}, remote=(HOST, 9)))
        call.press("1")
        event = await asyncio.wait_for(said, 5)
        assert isinstance(event, Failed)
        assert "takes no keys" in event.error
        await process.aclose()

    run_clean(main())


# -- parts of it -------------------------------------------------------------------------------------------------------


def test_the_filter_cuts_hum_and_keeps_speech_across_frames() -> None:
    at = np.arange(8000) / 8000
    hum = (10000 * np.sin(2 * np.pi * 25 * at)).astype(np.int16)
    speech = (10000 * np.sin(2 * np.pi * 400 * at)).astype(np.int16)
    states = np.stack([new_state(), new_state()])
    out = []
    for start in range(0, 8000, 160):
        frames = np.stack([hum[start : start + 160], speech[start : start + 160]])
        filtered, states = high_pass(frames, states, 8000)
        out.append(filtered)
    after = np.concatenate(out, axis=1)[:, 800:].astype(float)
    assert np.sqrt((after[0] ** 2).mean()) < 1000
    assert np.sqrt((after[1] ** 2).mean()) == pytest.approx(10000 / np.sqrt(2), rel=0.01)
    assert np.abs(np.diff(after[1])).max() < 3500


def test_a_short_segment_is_played_whole() -> None:
    queue = Downlink()
    for number in range(3):
        queue.push(bytes([number]))
    assert [queue.pull() for _ in range(5)] == [b"\0", b"\1", b"\2", None, None]


def test_a_hole_in_speech_makes_it_wait_for_more() -> None:
    queue = Downlink()
    for _ in range(4):
        queue.push(b"x")
        queue.pull()
        queue.pull()
    assert queue.ran_dry >= 1
    waits = 0
    queue.push(b"y")
    while queue.pull() is None:
        waits += 1
        assert waits < 10
    assert waits >= 1


def test_a_flood_of_audio_is_bounded() -> None:
    queue = Downlink()
    for number in range(200):
        queue.push(bytes([number]))
    assert queue.dropped == 175
    assert queue.pull() == bytes([175])


def test_the_engine_goes_before_others_where_it_may(run_clean: Any) -> None:
    attempt = "import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))"
    allowed = subprocess.run([sys.executable, "-c", attempt], capture_output=True, timeout=30).returncode == 0

    async def main() -> None:
        process = await started(41600, 41610)
        await process.open_call(HOST)
        assert process.pid is not None
        policy = os.sched_getscheduler(process.pid) & ~os.SCHED_RESET_ON_FORK
        assert policy == (os.SCHED_RR if allowed else os.SCHED_OTHER)
        await process.aclose()

    run_clean(main())


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv, to give a right up"
)
def test_an_engine_that_may_not_go_first_works_and_it_is_said_once() -> None:
    program = f"""
import asyncio, logging
from antiphon.rtp.media_process import MediaProcess
from antiphon.rtp.port_pool import PortPool

async def main():
    logging.basicConfig(level=logging.INFO)
    ports = PortPool(41620, 41640, quarantine=0.0)
    for _ in range(2):
        process = MediaProcess(ports)
        await process.start()
        call = await process.open_call("{HOST}")
        await call.aclose()
        await process.aclose()

asyncio.run(main())
"""
    without = ("setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice", "prlimit", "--rtprio=0")
    ran = subprocess.run(
        [*without, sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("CAP_SYS_NICE") == 1


def test_reports_come_and_go_by_the_port_of_the_audio(run_clean: Any) -> None:
    """RFC 5761 section 4: told apart by the payload type; we learn the round trip from an answer by the same port."""

    async def main() -> None:
        process = await started(41060, 41070)
        call = await process.open_call(HOST)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((HOST, 0))
            peer.settimeout(0.0)
            here, there = peer.getsockname(), (HOST, call.port)
            far = RtpStream(settings(call.port, rtcp_mux=True))
            call.configure(settings(here[1], rtcp_mux=True))
            reports = 0
            async with asyncio.timeout(10):
                while reports < 1 or far.received < 5:
                    await asyncio.sleep(0.02)
                    try:
                        datagram = peer.recv(4096)
                    except BlockingIOError:
                        continue
                    far.receive(datagram, there, time.monotonic())
                    reports += is_rtcp(datagram)
            answer = far.report(time.monotonic(), time.time(), goodbye=True)
            assert answer is not None
            peer.sendto(answer, there)
            await asyncio.sleep(0.1)
        statistics = await call.aclose()
        assert statistics["refused"] == 0
        assert statistics["round_trip"] is not None
        await process.aclose()

    run_clean(main())
