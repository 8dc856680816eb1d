"""The platform is killed in the middle of its calls, and started again: each call ends once and is told once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.platform_process import ServeProcess, running, until
from support.receiver import Receiver

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("aiortc", "fastapi", "httpx", "uvicorn", "aiosqlite", "onnxruntime", "espeakng_loader"),
    pytest.mark.skipif(sys.platform == "win32", reason="kills by POSIX signals"),
    pytest.mark.time_limit(240),
]

RUNNING = 10
QUEUED = 6
NUMBER = "+14155550199"
TERMINAL = {"completed", "busy", "no_answer", "rejected", "cancelled", "unreachable", "timeout", "failed"}
SETTINGS = {
    "ANTIPHON_WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.1",
    "ANTIPHON_CALLS_LEASE_SECONDS": "3",
    "ANTIPHON_CALLS_MAX_HERE": str(RUNNING),
    "ANTIPHON_LOG_LEVEL": "warning",
}
SILENT: dict[str, Any] = {
    "name": "Silent",
    "prompt": "Say nothing.",
    "speaks_first": False,
    "recording": False,
    "stt": {"provider": "local", "model": "moonshine-tiny"},
    "llm": {"provider": "local", "model": "scripted:bank"},
    "tts": {"provider": "local", "model": "espeak"},
    "interaction": {"silence": {"enabled": False}},
}


class Api:
    """The REST interface, as far as these tests need it."""

    def __init__(self, served: ServeProcess, key: str) -> None:
        import httpx

        self.client = httpx.AsyncClient(
            base_url=served.url, headers={"Authorization": f"Bearer {key}"}, timeout=20
        )

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(self, *_error: Any) -> None:
        await self.client.aclose()

    async def make(self, path: str, **fields: Any) -> str:
        answer = await self.client.post(path, json=fields)
        assert answer.status_code in (201, 202), answer.text
        made = answer.json()
        return str(made.get("call_id") or made["id"])

    async def calls(self, **where: str) -> list[dict[str, Any]]:
        return [call async for call in self._all("/calls", where)]

    async def _all(self, path: str, where: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        cursor = None
        while True:
            query = {**where, "limit": "100", **({"cursor": cursor} if cursor else {})}
            page = (await self.client.get(path, params=query)).json()
            for item in page["items"]:
                yield item
            if (cursor := page.get("next_cursor")) is None:
                return


def key_of(folder: Path, store: str) -> str:
    command = [sys.executable, "-m", "antiphon", "keys", "create", "--name", "test", "--store", store]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return made.stdout.strip()


async def queue_calls(api: Api, hook: str) -> list[str]:
    """Assistants at both ends of a loopback trunk, and calls in the queue."""
    caller = await api.make("/assistants", **SILENT, end_call_webhook={"url": hook})
    callee = await api.make("/assistants", **{**SILENT, "name": "Callee"}, end_call_webhook={"url": hook})
    trunk = await api.make("/trunks", name="Loop", provider="loopback", calls_per_second=50)
    await api.make("/inbound", number=NUMBER, assistant_id=callee)
    request = {"assistant_id": caller, "trunk_id": trunk, "to_number": NUMBER}
    return [await api.make("/calls/outbound", **request) for _ in range(RUNNING + QUEUED)]


async def events_of(store: str) -> dict[str, list[str]]:
    """The types of the events of each call, as they were filed."""
    from antiphon.store import open_store

    found: dict[str, list[str]] = defaultdict(list)
    async with open_store(store) as opened:
        async for event in opened.each("call_events"):
            found[event["call_id"]].append(event["type"])
    return found


def check_each_once(
    calls: list[dict[str, Any]], events: dict[str, list[str]], receiver: Receiver, queued: list[str]
) -> None:
    """Every call is over, was dialled once at most, ended once and was told once."""
    assert set(queued) <= {call["id"] for call in calls}, "none is lost"
    told: dict[str, set[str]] = defaultdict(set)
    for message in receiver.messages:
        told[message.json["data"]["call"]["id"]].add(message.id)
    for call in calls:
        types = Counter(events[call["id"]])
        about = (call["id"], call["status"], dict(types))
        assert call["status"] in TERMINAL, about
        assert types["call.ended"] == 1, about
        assert types["call.dialing"] <= 1, about
        assert len(told[call["id"]]) == 1, about
    assert set(told) == {call["id"] for call in calls}


@pytest.mark.parametrize("moment", ["running", "dispatching"])
def test_after_a_kill_every_call_ends_once_and_nothing_queued_is_lost(
    address: str, tmp_path: Path, moment: str
) -> None:
    key = key_of(tmp_path, address)
    options = ("--port", "0", "--store", address)

    async def scene() -> None:
        async with Receiver().listening() as receiver:
            queued, answered = await before(receiver)
            calls = await after(queued, receiver)
        by_id = {call["id"]: call for call in calls}
        if moment == "running":
            assert len(answered) == RUNNING
        for id in answered:
            assert (by_id[id]["status"], by_id[id]["end_reason"]) == ("failed", "error")
        check_each_once(calls, await events_of(address), receiver, queued)

    async def before(receiver: Receiver) -> tuple[list[str], list[str]]:
        """Until the kill; the calls that were queued, and those of them that were answered then."""
        with running(*options, folder=tmp_path, **SETTINGS) as served:
            async with Api(served, key) as api:
                queued = await queue_calls(api, receiver.url)
                if moment == "running":
                    await until(lambda: all_answered(api), patience=60)
                answered = await api.calls(status="answered", direction="outbound")
                served.signal(signal.SIGKILL)
            served.wait(10)
        return queued, [call["id"] for call in answered]

    async def all_answered(api: Api) -> bool:
        return len(await api.calls(status="answered", direction="outbound")) == RUNNING

    async def after(queued: list[str], receiver: Receiver) -> list[dict[str, Any]]:
        """From the new start until all is over and told."""
        with running(*options, folder=tmp_path, **SETTINGS) as served:
            async with Api(served, key) as api:
                await until(lambda: settled(api), patience=90)
                calls = await api.calls()
                await until(lambda: len(receiver.acknowledged()) >= len(calls), patience=30)
                return await api.calls()

    async def settled(api: Api) -> bool:
        """Whether all calls are over; ends those that the new process dialled."""
        calls = await api.calls()
        for call in calls:
            if call["status"] == "answered" and call["direction"] == "outbound":
                await api.client.delete(f"/calls/{call['id']}")
        return all(call["status"] in TERMINAL for call in calls)

    asyncio.run(scene())
