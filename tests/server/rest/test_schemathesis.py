"""Requests made up from the OpenAPI document: no error of the server, and no answer that the document does not describe."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.needs("aiosqlite", "fastapi", "schemathesis", "uvicorn"),
    pytest.mark.slow,
    pytest.mark.time_limit(240),
]

CASES_PER_ROUTE = 5
SEED = 1
# What a schema cannot say is refused too, such as an assistant whose model is not installed.
NOT_HELD = "positive_data_acceptance"
# A version that is not that of the document is refused before the rest of the request is looked at.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 412, 415, 422, 429]
"""

NOW = 1_760_000_000.0
CALL = {
    "status": "answered",
    "direction": "inbound",
    "assistant_id": "asst_1",
    "assistant_name": "Bank",
    "service": "loopback",
    "caller_number": "+14155550123",
    "called_number": "+14155550199",
    "variables": {},
    "answered_at": NOW,
}


async def _fill(store: Any) -> None:
    """A call that runs and a webhook that did not arrive, under the ids that the document gives as examples."""
    call = await store.create("calls", CALL, id="call_0199e5a1c4b7", owner="a test", lease_seconds=600)
    for seq, role in enumerate(("assistant", "user", "tool")):
        entry = {"call_id": call["id"], "seq": seq, "role": role, "text": "Hello.", "at": NOW}
        await store.create("transcripts", entry)
    fields = {
        "event_id": "evt_1",
        "call_id": call["id"],
        "type": "call.ended",
        "status": "dead",
        "url": "https://example.com/hook",
        "body": "{}",
        "tries": 8,
        "history": [],
        "replays": 0,
    }
    delivery = await store.create("webhook_deliveries", fields, id="delivery_0199e5a1c4b7", owner="a test")
    await store.complete("webhook_deliveries", delivery)


class Server:
    """The REST interface on a port of this machine."""

    def __init__(self, address: str) -> None:
        self.url = self.key = ""
        self._address = address
        self._ready = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    async def _serve(self) -> None:
        import uvicorn

        from antiphon.rooms.local import LocalRooms
        from antiphon.server import ServerSettings, create_app
        from antiphon.server.api_keys import create_key
        from antiphon.server.auth import Authenticator
        from antiphon.server.platform.stored_assistants import StoredAssistants
        from antiphon.server.rest import EventStreams, RestServices, install_rest
        from antiphon.store import Keyring, open_store

        async def metrics(_accept: str) -> tuple[bytes, str]:
            return b"up 1\n", "text/plain; version=0.0.4"

        async with open_store(self._address, keyring=Keyring([bytes(range(32))])) as store:
            self.key, _ = await create_key(store, "fuzz", ["*"])
            await _fill(store)
            settings = ServerSettings(tokens_per_minute=1e9, token_burst=10**9)
            app = create_app(settings, StoredAssistants(store, None), LocalRooms())
            state = install_rest(app, RestServices(store, metrics=metrics))
            # So many wrong keys on purpose.
            state.authenticator = Authenticator(store, per_minute=1e9, burst=10**9)
            state.events = EventStreams(longest=0.2, look_every=0.05)
            # With its protocol named, so that asyncio sends small answers at once.
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
            server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
            serving = asyncio.create_task(server.serve([listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
                await asyncio.sleep(0.01)
            self._ready.set()
            await asyncio.to_thread(self._stop.wait)
            server.should_exit = True
            await serving


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(f"sqlite:{tmp_path / 'fuzz.db'}") as running:
        yield running


def test_made_up_requests(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{server.url}/api/openapi.json", "--header", f"Authorization: Bearer {server.key}"),
        *("--checks", "all", "--exclude-checks", NOT_HELD),
        *("--seed", str(SEED), "--max-examples", str(CASES_PER_ROUTE), "--continue-on-failure"),
        *("--generation-database", ":memory:", "--no-color"),
    ]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stdout[-20_000:] + result.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", result.stdout)
    assert tested is not None
    assert int(tested[1]) >= 40, result.stdout[-3000:]
