"""A softphone and the whole platform: hold and its silence, keys, encryption, hanging up by either side; and the call of the README."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from antiphon.server.api_keys import create_key
from antiphon.store import open_store
from support.baresip import Baresip
from support.certificates import Certificate, make_certificate
from support.platform_process import ServeProcess, clean_environment, running, until
from support.sipp import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("baresip", "aiortc", "fastapi", "httpx", "aiosqlite", "espeakng_loader"),
]

NUMBER = "+14155550123"
ASSISTANT = {
    "name": "Desk",
    "public": True,
    "prompt": "You answer the telephone. Be brief.",
    "stt": {"provider": "local", "model": "moonshine-tiny"},
    "llm": {"provider": "local", "model": "scripted"},
    "tts": {"provider": "local", "model": "espeak"},
    "interaction": {"silence": {"interval_seconds": 2.5, "count": 0, "goodbye": "Goodbye then."}},
}
README = Path(__file__).resolve().parents[2] / "README.md"


class Site:
    """A running platform with one assistant.

    Attributes:
        sip, tls: ports that telephones call.
        assistant: its id.
    """

    def __init__(self, served: ServeProcess, key: str, sip: int, tls: int, certificate: Certificate) -> None:
        self.sip, self.tls, self.certificate = sip, tls, certificate
        self._url, self._headers = served.url, {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=self._url, headers=self._headers, timeout=20) as client:
            made = client.post("/assistants", json=ASSISTANT)
        assert made.status_code == 201, made.text
        self.assistant = made.json()["id"]

    @asynccontextmanager
    async def rest(self) -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=20) as client:
            yield client


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    store = f"sqlite:{folder / 'calls.db'}"
    certificate = make_certificate(folder, "127.0.0.1")
    sip, tls = free_port(), free_port()

    async def make_key() -> str:
        async with open_store(store) as opened:
            return (await create_key(opened, "test", ["*"]))[0]

    key = asyncio.run(make_key())
    environment = {
        "ANTIPHON_STORE": store,
        "ANTIPHON_HTTP_PORT": "0",
        "ANTIPHON_SIP_ENABLED": "true",
        "ANTIPHON_SIP_PORT": str(sip),
        "ANTIPHON_SIP_TRANSPORTS": "udp,tcp,tls",
        "ANTIPHON_SIP_TLS_PORT": str(tls),
        "ANTIPHON_SIP_TLS_CERT": str(certificate.certificate),
        "ANTIPHON_SIP_TLS_KEY": str(certificate.key),
        "ANTIPHON_SIP_RTP_FIRST": "44200",
        "ANTIPHON_SIP_RTP_LAST": "44399",
    }
    with running(folder=folder, **environment) as served:
        yield Site(served, key, sip, tls, certificate)


@asynccontextmanager
async def softphone(folder: Path, **how: Any) -> AsyncIterator[Baresip]:
    """One that is silent, and logs each SIP message."""
    silence = folder / "silence.wav"
    with wave.open(str(silence), "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(8000)
        target.writeframes(bytes(16000 * 40))
    phone = Baresip(folder)
    await phone.start(speech=silence, trace=True, **how)
    try:
        yield phone
    finally:
        await phone.aclose()


async def press(phone: Baresip, keys: str) -> None:
    for key in keys:
        phone.do("sndcode", key)
        await asyncio.sleep(0.25)


async def held(phone: Baresip, seconds: float) -> None:
    """On hold for longer than the assistant bears silence, which it must not notice."""
    phone.do("hold")
    await asyncio.sleep(seconds)
    assert not any(name == "CALL_CLOSED" for name, _ in phone.events)
    phone.do("resume")


async def over(rest: httpx.AsyncClient, direction: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The record of the last call of a direction once it is complete, and what was said."""

    async def ended() -> Any:
        calls = (await rest.get("/calls", params={"direction": direction, "limit": 1})).json()["items"]
        return calls and calls[0]["status"] == "completed" and calls[0]

    call = await until(ended)
    items = (await rest.get(f"/calls/{call['id']}/transcript")).json()["items"]
    return call, [(item["role"], item["text"]) for item in items if item["role"] != "tool"]


def test_keys_and_hold_and_the_silence_that_ends_a_call(site: Site, tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with site.rest() as rest, softphone(tmp_path) as phone:
            phone.do("dial", f"sip:Desk@127.0.0.1:{site.sip}")
            await phone.until("CALL_ESTABLISHED", 20)
            await asyncio.sleep(0.5)
            await press(phone, "12*4#")
            await asyncio.sleep(0.5)
            await held(phone, 6.0)
            # Nobody says a word, so the bank says goodbye and hangs up.
            await phone.until("CALL_CLOSED", 20)
            call, said = await over(rest, "inbound")
        assert call["end_reason"] == "silence_timeout"
        assert ("user", "DTMF: 12*4#") in said
        assert ("assistant", "Goodbye then.") in said
        assert re.search(r"BYE sip:phone\S* SIP/2\.0", phone.log)

    run_clean(main(), timeout=60)


def test_an_encrypted_call_in(site: Site, tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        how = {"transport": "tls", "encryption": "srtp-mand", "codec": "pcma/8000/1"}
        async with site.rest() as rest, softphone(tmp_path, **how) as phone:
            phone.do("dial", f"sip:Desk@127.0.0.1:{site.tls};transport=tls")
            await phone.until("CALL_ESTABLISHED", 20)
            await asyncio.sleep(2.0)
            await press(phone, "7#")
            await asyncio.sleep(0.5)
            phone.do("hangup")
            call, said = await over(rest, "inbound")
        assert call["end_reason"] == "caller_hangup"
        assert ("user", "DTMF: 7#") in said
        assert phone.log.count("RTP/SAVP") == 2
        assert np.abs(phone.heard()[0].astype(int)).max() > 2000

    run_clean(main(), timeout=60)


def test_an_encrypted_call_out_that_is_held_and_hung_up_on(
    site: Site, tmp_path: Path, run_clean: Any
) -> None:
    both = tmp_path / "both.pem"
    both.write_text(site.certificate.certificate.read_text() + site.certificate.key.read_text())

    async def main() -> None:
        how = {"transport": "tls", "encryption": "srtp-mand", "codec": "pcma/8000/1", "certificate": both}
        async with site.rest() as rest, softphone(tmp_path, user=NUMBER, **how) as phone:
            line = {"name": "line", "address": "127.0.0.1", "port": phone.port + 1, "codecs": ["pcma"]}
            line |= {"transport": "tls", "srtp": "required", "tls_verify": False}
            trunk = (await rest.post("/trunks", json=line)).json()
            wanted = {"assistant_id": site.assistant, "trunk_id": trunk["id"], "to_number": NUMBER}
            placed = (await rest.post("/calls/outbound", json=wanted)).json()
            await phone.until("CALL_ESTABLISHED", 20)
            await asyncio.sleep(0.5)
            await press(phone, "9#")
            await held(phone, 5.0)
            await asyncio.sleep(0.5)
            await rest.delete(f"/calls/{placed['call_id']}")
            await phone.until("CALL_CLOSED", 10)
            call, said = await over(rest, "outbound")
        assert call["end_reason"] == "agent_hangup"
        assert ("user", "DTMF: 9#") in said
        assert phone.log.count("RTP/SAVP") >= 2
        assert re.search(r"BYE sip:\S* SIP/2\.0", phone.log)
        assert np.abs(phone.heard()[0].astype(int)).max() > 2000

    run_clean(main(), timeout=60)


@pytest.mark.needs("sox")
def test_the_call_of_the_readme_is_answered_by_the_demo(tmp_path: Path) -> None:
    """As it stands there, but for the sound card, and for ports that are free."""
    script = re.search(r"```sh\n(sudo apt-get install baresip.*?)```", README.read_text(), re.DOTALL)
    assert script is not None
    sip_port, own_port = free_port(), free_port()
    speech = tmp_path / "speech.wav"
    subprocess.run(["sox", "-n", "-r", "8000", "-b", "16", speech, "trim", "0", "20"], check=True, timeout=30)
    text = re.sub(r"(?m)^(sudo|baresip) .*\n", "", script[1])
    for before, after in (
        ("audio_source   alsa,default", f"audio_source aufile,{speech}"),
        ("audio_player   alsa,default", "audio_player aubridge,player"),
        ("audio_alert    alsa,default", "audio_alert aubridge,alert"),
        ("alsa.so", "aufile.so\nmodule aubridge.so\nmodule sndfile.so"),
        ("5080", str(own_port)),
    ):
        assert before in text
        text = text.replace(before, after)
    command = re.search(r"(?m)^baresip .*'(/dial .*):5160'$", script[1])
    assert command is not None
    subprocess.run(["sh", "-c", text], cwd=tmp_path, check=True, timeout=30)
    demo = subprocess.Popen(
        [sys.executable, "-m", "antiphon", "demo", "--port", "0", "--sip-port", str(sip_port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
        env=clean_environment(tmp_path),
    )
    try:
        assert demo.stdout is not None
        assert any("Ctrl-C" in line for line in demo.stdout)
        call = ["baresip", "-f", "phone", "-t", "6", "-e", f"{command[1]}:{sip_port}"]
        with (tmp_path / "log").open("wb") as log:
            subprocess.run(call, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=30)
    finally:
        demo.terminate()
        demo.wait(20)
        demo.stdout.close()
    (heard,) = tmp_path.glob("dump-*-dec.wav")
    with wave.open(str(heard)) as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), dtype="<i2").astype(int)
    assert np.abs(samples).max() > 2000
    assert (np.abs(samples) > 500).mean() > 0.1
