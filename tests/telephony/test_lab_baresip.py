"""Calls with baresip, a telephone that we did not write: the tone at both ends, hold, keys, hanging up, codecs, encryption."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antiphon.telephony import LegEnded, LegMediaReceived
from support.baresip import Baresip
from support.certificates import make_certificate
from support.phone_platform import Agent, eventually, platform, trunk_to
from support.telephone import gaps, measure_tone

pytestmark = pytest.mark.needs("baresip")

CODECS = {"PCMU": "pcmu/8000/1", "PCMA": "pcma/8000/1", "G722": "g722/16000/1"}


@asynccontextmanager
async def baresip(folder: Path, **how: Any) -> AsyncIterator[Baresip]:
    phone = Baresip(folder)
    await phone.start(**how)
    try:
        yield phone
    finally:
        await phone.aclose()


def is_tone(samples: np.ndarray[Any, Any], rate: int, frequency: float) -> None:
    """Somewhere in it is a second of the tone, at its loudness and without holes but for a busy machine."""
    loud = np.flatnonzero(np.abs(samples.astype(int)) > 2000)
    assert loud.size, "nothing was heard"
    part = samples[loud[0] + rate // 10 :][:rate]
    found, level = measure_tone(part, rate)
    assert found == pytest.approx(frequency, abs=1)
    assert level == pytest.approx(0, abs=1)
    assert gaps(part, rate) < 0.1


async def talk(agent: Agent, seconds: float = 1.4) -> None:
    await agent.speak(440, seconds)
    await asyncio.sleep(seconds)


@pytest.mark.parametrize("codec", CODECS)
def test_it_calls_in(codec: str, tmp_path: Path, run_clean: Any) -> None:
    rate = 16000 if codec == "G722" else 8000

    async def main() -> None:
        async with platform() as ours, baresip(tmp_path, codec=CODECS[codec], rate=rate) as phone:
            phone.do("dial", f"sip:bank@{ours.address[0]}:{ours.address[1]}")
            await phone.until("CALL_ESTABLISHED")
            incoming = await ours.took()
            agent, log = ours.agents["room1"], ours.logs["room1"]
            await log.until(LegMediaReceived)
            await talk(agent)
            is_tone(agent.heard, agent.rate, 700)
            if codec == "PCMU":
                phone.do("hold")
                await eventually(lambda: agent.told[-1:] == ["call_hold"])
                assert agent.caller("sip.hold") == "true"
                phone.do("resume")
                await eventually(lambda: agent.told[-1:] == ["call_resume"])
                for key in "1234#":
                    phone.do("sndcode", key)
                    await asyncio.sleep(0.25)
                await eventually(lambda: "".join(agent.digits) == "1234#")
                phone.do("hangup")
                await log.until(LegEnded)
            else:
                await incoming.leg.hang_up(None, "agent_hangup")
            await phone.until("CALL_CLOSED")
            await eventually(lambda: incoming.leg.statistics)  # type: ignore[attr-defined]
            statistics = incoming.leg.statistics  # type: ignore[attr-defined]
            assert statistics["codec"] == codec
            assert statistics["loss"] <= 0.01
            is_tone(*phone.heard(), 440)

    run_clean(main())


@pytest.mark.parametrize("secure", [False, True])
def test_it_is_called(secure: bool, tmp_path: Path, run_clean: Any) -> None:
    how: dict[str, Any] = {"codec": CODECS["PCMA"]}
    trunk: dict[str, Any] = {"codecs": ["g722", "pcma"]}
    listening: dict[str, Any] = {}
    if secure:
        certificate = make_certificate(tmp_path, "127.0.0.1")
        both = tmp_path / "both.pem"
        both.write_text(certificate.certificate.read_text() + certificate.key.read_text())
        how |= {"transport": "tls", "encryption": "srtp-mand", "certificate": both}
        listening = {
            "transports": ("UDP", "TLS"),
            "tls_port": 0,
            "tls_cert": str(certificate.certificate),
            "tls_key": str(certificate.key),
        }
        trunk |= {"transport": "tls", "srtp": "required", "tls_verify": False}

    async def main() -> None:
        async with baresip(tmp_path, **how) as phone:
            document = trunk_to(phone.port + 1 if secure else phone.port, **trunk)
            async with platform(trunks=(document,), **listening) as ours:
                room, leg = await ours.dial(document, number=f"sip:phone@127.0.0.1:{document['port']}")
                await ours.logs[room].until(LegMediaReceived)
                agent = ours.agents[room]
                await talk(agent)
                is_tone(agent.heard, agent.rate, 700)
                await leg.send_dtmf("7")
                if secure:
                    phone.do("hangup")
                    await ours.logs[room].until(LegEnded)
                else:
                    await asyncio.sleep(0.3)
                    await leg.hang_up(None, "agent_hangup")
                await phone.until("CALL_CLOSED")
                is_tone(*phone.heard(), 440)

    run_clean(main())


def test_it_calls_in_encrypted(tmp_path: Path, run_clean: Any) -> None:
    certificate = make_certificate(tmp_path, "127.0.0.1")
    files = {"tls_cert": str(certificate.certificate), "tls_key": str(certificate.key)}

    async def main() -> None:
        async with (
            platform(transports=("TLS",), tls_port=0, **files) as ours,
            baresip(tmp_path, transport="tls", encryption="srtp-mand") as phone,
        ):
            phone.do("dial", f"sip:bank@{ours.address[0]}:{ours.address[1]};transport=tls")
            await phone.until("CALL_ESTABLISHED")
            incoming = await ours.took()
            await ours.logs["room1"].until(LegMediaReceived)
            agent = ours.agents["room1"]
            await talk(agent)
            is_tone(agent.heard, 8000, 700)
            await incoming.leg.hang_up(None, "agent_hangup")
            await phone.until("CALL_CLOSED")
            is_tone(*phone.heard(), 440)

    run_clean(main())
