"""What an outsider sees on the wire, by tshark: our BYE, and audio without a packet lost."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from antiphon.sip import events as sip
from antiphon.telephony import LegMediaReceived
from support.phone_platform import platform
from support.telephone import telephone

pytestmark = pytest.mark.needs("tshark", "raw sockets")


def _read(capture: Path, *arguments: str) -> str:
    command = ["tshark", "-r", str(capture), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def test_our_hang_up_and_our_audio_are_on_the_wire(tmp_path: Path, run_clean: Any) -> None:
    capture = tmp_path / "call.pcap"
    ports: dict[str, int] = {}

    async def main() -> None:
        async with platform() as ours, telephone() as phone:
            ports.update(ours=ours.address[1], phone=phone.port)
            tshark = await asyncio.create_subprocess_exec(
                *("tshark", "-i", "lo", "-f", "udp", "-w", str(capture), "-F", "pcap"),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            assert tshark.stderr is not None
            async with asyncio.timeout(15):
                while b"Capturing on" not in await tshark.stderr.readline():
                    continue
            await asyncio.sleep(0.3)
            call = await phone.dial("bank", ours.address)
            await call.until(sip.Answered)
            incoming = await ours.took()
            await ours.logs["room1"].until(LegMediaReceived)
            await asyncio.sleep(0.6)
            await incoming.leg.hang_up(None, "agent_hangup")
            await call.until(sip.Ended)
            assert call.agreed is not None
            ports.update(from_=call.agreed.port, to=call.ear.port)
            await asyncio.sleep(0.3)
            tshark.terminate()
            await tshark.communicate()

    run_clean(main())
    decoded = ("-d", f"udp.port=={ports['ours']},sip", "-d", f"udp.port=={ports['to']},rtp")
    messages = _read(
        capture, *decoded, "-Y", "sip.Method == BYE", "-T", "fields", "-e", "udp.srcport", "-e", "udp.dstport"
    )
    assert messages.split() == [str(ports["ours"]), str(ports["phone"])]
    streams = _read(capture, *decoded, "-q", "-z", "rtp,streams").splitlines()
    (line,) = [line for line in streams if str(ports["from_"]) in line.split()[3:4]]
    assert " 0 (0.0%)" in line
    assert "g711U" in line
