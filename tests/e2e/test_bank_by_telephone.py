"""A person with a real telephone calls the bank, and is called by it: asks aloud, hears the answer, says goodbye.

The telephone is baresip, which speaks what flite said; the platform is `antiphon serve` with the demo's assistant in its store.
"""

from __future__ import annotations

import asyncio
import socket
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.baresip import Baresip
from support.platform_process import ServeProcess, running, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("baresip", "flite", "aiortc", "fastapi", "httpx", "aiosqlite", "espeakng_loader"),
    pytest.mark.time_limit(120),
]

NUMBER = "+14155550123"
GREETING = 10.0  # seconds in which the bank says hello
ANSWER = 9.0
RATE = 8000


@pytest.fixture
def conversation(speak: Callable[..., Path], tmp_path: Path) -> Path:
    """What the person says, as a WAV file: the question once the greeting is over, and goodbye after the answer."""
    parts: list[Any] = [np.zeros(round(GREETING * RATE), dtype=np.int16)]
    for text, pause in (("What is my savings balance?", ANSWER), ("Goodbye.", 12.0)):
        with wave.open(str(speak(text, rate=RATE, lead=0.2, tail=0.2))) as spoken:
            parts.append(np.frombuffer(spoken.readframes(spoken.getnframes()), dtype="<i2"))
        parts.append(np.zeros(round(pause * RATE), dtype=np.int16))
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(RATE)
        target.writeframes(np.concatenate(parts).tobytes())
    return path


async def prepare(store_address: str) -> str:
    """The demo's assistant and a key in a new store; returns the key."""
    from antiphon.server.api_keys import create_key
    from antiphon.server.platform.seed import seed_demo
    from antiphon.store import open_store

    async with open_store(store_address) as store:
        await seed_demo(store)
        key, _ = await create_key(store, "test", ["*"])
    return key


def serve(folder: Path, store: str, sip_port: int) -> Any:
    return running(
        folder=folder,
        ANTIPHON_STORE=store,
        ANTIPHON_HTTP_PORT="0",
        ANTIPHON_SIP_ENABLED="true",
        ANTIPHON_SIP_PORT=str(sip_port),
        ANTIPHON_SIP_RTP_FIRST="44000",
        ANTIPHON_SIP_RTP_LAST="44199",
    )


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rest:
    """The REST interface, with a key."""

    def __init__(self, served: ServeProcess, key: str) -> None:
        import httpx

        self.client = httpx.AsyncClient(
            base_url=served.url, headers={"Authorization": f"Bearer {key}"}, timeout=20
        )

    async def get(self, path: str) -> Any:
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    async def post(self, path: str, **body: Any) -> Any:
        response = await self.client.post(path, json=body)
        assert response.is_success, response.text
        return response.json()


async def held(rest: Rest, phone: Baresip, direction: str, ended: str) -> None:
    """The call is on record as it was, and the telephone heard an answer."""

    async def over() -> Any:
        calls = (await rest.get("/calls"))["items"]
        return calls and calls[0]["status"] == "completed" and calls[0]

    call = await until(over, 60)
    assert (call["direction"], call["end_reason"]) == (direction, ended)
    assert call["media"]["packets_lost"] == 0
    transcript = (await rest.get(f"/calls/{call['id']}/transcript"))["items"]
    said = [(item["role"], item["text"]) for item in transcript if item["role"] != "tool"]
    assert said[0][0] == "assistant"
    asked = next(text for role, text in said if role == "user")
    assert "balance" in asked.lower()
    assert any("eight thousand four hundred" in text for role, text in said if role == "assistant")
    assert next(item["tool"]["name"] for item in transcript if item["role"] == "tool") == "get_balance"
    heard, rate = phone.heard()
    loud = np.abs(heard.astype(int)) > 500
    after_question = round((GREETING + 2.5) * rate)
    assert loud[:after_question].mean() > 0.1
    assert loud[after_question:].mean() > 0.05


def test_a_telephone_calls_the_bank(conversation: Path, tmp_path: Path, run_clean: Any) -> None:
    store, port = f"sqlite:{tmp_path / 'calls.db'}", free_port()

    async def main(served: ServeProcess, key: str) -> None:
        rest, phone = Rest(served, key), Baresip(tmp_path)
        await phone.start(speech=conversation)
        try:
            phone.do("dial", f"sip:bank@127.0.0.1:{port}")
            await phone.until("CALL_ESTABLISHED")
            # The bank says goodbye and hangs up.
            await phone.until("CALL_CLOSED", 60)
            await held(rest, phone, "inbound", "agent_hangup")
        finally:
            await phone.aclose()
            await rest.client.aclose()

    key = asyncio.run(prepare(store))
    with serve(tmp_path, store, port) as served:
        run_clean(main(served, key), timeout=100)


def test_the_bank_calls_a_telephone(conversation: Path, tmp_path: Path, run_clean: Any) -> None:
    store, port = f"sqlite:{tmp_path / 'calls.db'}", free_port()

    async def main(served: ServeProcess, key: str) -> None:
        rest, phone = Rest(served, key), Baresip(tmp_path)
        account = f"<sip:{NUMBER}@127.0.0.1:{phone.port}>;regint=0;answermode=auto;audio_codecs=pcma/8000/1"
        await phone.start(speech=conversation, account=account)
        try:
            line = {"name": "line", "address": "127.0.0.1", "port": phone.port, "codecs": ["pcma"]}
            trunk = await rest.post("/trunks", **line)
            await rest.post("/calls/outbound", assistant_id="bank", trunk_id=trunk["id"], to_number=NUMBER)
            await phone.until("CALL_ESTABLISHED", 20)
            await asyncio.sleep(GREETING + ANSWER)
            phone.do("hangup")
            await held(rest, phone, "outbound", "caller_hangup")
        finally:
            await phone.aclose()
            await rest.client.aclose()

    key = asyncio.run(prepare(store))
    with serve(tmp_path, store, port) as served:
        run_clean(main(served, key), timeout=100)
