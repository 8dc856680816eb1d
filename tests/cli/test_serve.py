"""`antiphon serve` as a process: assistants over REST, calls from browsers, roles, --check, and orderly ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support import platform_process
from support.platform_process import call_from_browser, running, until

pytestmark = [
    pytest.mark.needs("aiortc", "fastapi", "httpx", "uvicorn", "aiosqlite", "onnxruntime", "espeakng_loader"),
    pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals"),
]

DESK: dict[str, Any] = {
    "name": "Desk",
    "description": "Says who is at the desk.",
    "prompt": "You sit at the desk of {{context.company}}.",
    "stt": {"provider": "local", "model": "moonshine-tiny"},
    "llm": {"provider": "local", "model": "scripted:bank"},
    "tts": {"provider": "local", "model": "espeak"},
    "interaction": {"silence": {"enabled": False}},
}


def make_key(folder: Path, store: str) -> str:
    made = subprocess.run(
        [sys.executable, "-m", "antiphon", "keys", "create", "--name", "test", "--store", store],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return made.stdout.strip()


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / 'store.db'}"


@pytest.fixture
def key(tmp_path: Path, store: str) -> str:
    return make_key(tmp_path, store)


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A web service that takes webhooks, and what it got."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append({"id": self.headers["webhook-id"], "body": json.loads(body)})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", got
    server.shutdown()
    server.server_close()
    thread.join()


def client_of(served: Any, key: str) -> Any:
    import httpx

    return httpx.AsyncClient(
        base_url=served.url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=20
    )


async def create_assistant(client: Any, **change: Any) -> str:
    made = await client.post("/assistants", json={**DESK, **change})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def call_record(client: Any, assistant: str, **wanted: Any) -> dict[str, Any] | None:
    """The assistant's latest call, if it is as wanted."""
    calls = (await client.get("/calls", params={"assistant_id": assistant})).json()["items"]
    found = [call for call in calls if all(call[name] == value for name, value in wanted.items())]
    return dict(found[0]) if found else None


def test_an_assistant_made_over_rest_takes_a_call(
    tmp_path: Path, store: str, key: str, receiver: tuple[str, list[dict[str, Any]]]
) -> None:
    hook, deliveries = receiver

    async def scene() -> None:
        async with client_of(served, key) as client, client_of(served, "") as visitor:
            tool = await client.post(
                "/tools",
                json={
                    "name": "get_balance",
                    "description": "Look up a balance.",
                    "function": {"name": "bank/get_balance"},
                },
            )
            assistant = await create_assistant(
                client, tools=[tool.json()["id"]], end_call_webhook={"url": hook}
            )
            query = {"agent": assistant, "variables": json.dumps({"context": {"company": "Ex"}})}
            assert (await visitor.get("/api/get_token", params=query)).status_code == 404
            issued = (await client.get("/api/get_token", params=query)).json()
            async with call_from_browser(client, issued["token"]) as call:
                await until(lambda: call.loudest > 2000)
                assert await until(lambda: call_record(client, assistant, status="answered"))
                assert "antiphon_calls_active" in (await client.get("/metrics")).text
                await until(lambda: call.said("assistant"))
                call.type("what is my savings balance")
                await until(
                    lambda: any("eight thousand four hundred" in text for text in call.said("assistant"))
                )
            record = await until(lambda: call_record(client, assistant, status="completed"))
            assert (record["direction"], record["end_reason"]) == ("web", "caller_hangup")
            assert record["context"] == {"company": "Ex"}
            assert record["billed_seconds"] >= 1
            transcript = (await client.get(f"/calls/{record['id']}/transcript")).json()["items"]
            assert [entry["role"] for entry in transcript][:2] == ["assistant", "user"]
            assert any(entry.get("tool") for entry in transcript)
            recording = await client.get(f"/calls/{record['id']}/recording")
            assert recording.status_code == 200, recording.text
            assert recording.content[:4] == b"OggS"
            (delivery,) = await until(lambda: deliveries)
            assert delivery["body"]["type"] == "call.ended"
            assert delivery["body"]["data"]["call"]["id"] == record["id"]

    with running(
        "--port", "0", "--store", store, folder=tmp_path, ANTIPHON_WEBHOOKS_ALLOWED_NETWORKS="127.0.0.1"
    ) as served:
        asyncio.run(scene())
        served.signal(signal.SIGTERM)
        assert served.wait(20) == 0
    assert [line for line in served.log if " ERROR " in line or "Traceback" in line] == []


def test_only_public_assistants_are_for_everybody(tmp_path: Path, store: str, key: str) -> None:
    async def scene() -> None:
        async with client_of(served, key) as client, client_of(served, "") as visitor:
            private = await create_assistant(client, name="Private")
            public = await create_assistant(client, public=True, examples=["Who is there?"])
            await create_assistant(client, name="Asleep", public=True, active=False)

            async def listed() -> Any:
                config = (await visitor.get("/api/config")).json()
                return [agent for agent in config["agents"] if agent["name"] == public]

            (agent,) = await until(listed)
            assert (agent["title"], agent["description"]) == ("Desk", "Says who is at the desk.")
            assert agent["examples"] == ["Who is there?"]
            for asked, status in (
                (public, 200),
                ("Desk", 200),
                (private, 404),
                ("Private", 404),
                ("Asleep", 404),
                ("", 200),
            ):
                answer = await visitor.get("/api/get_token", params={"agent": asked})
                assert answer.status_code == status, asked
            by_key = await client.get("/api/get_token", params={"agent": "Private"})
            assert by_key.json()["room"].startswith(private)
            refused = await visitor.get("/api/get_token", params={"agent": public, "variables": "{}"})
            assert (refused.status_code, refused.json()["code"]) == (403, "variables_refused")
            too_many = {"agent": public, "variables": json.dumps({"a": "b" * 5000})}
            assert (await client.get("/api/get_token", params=too_many)).status_code == 422
            wrong = await visitor.get(
                "/api/get_token", params={"agent": public}, headers={"Authorization": "Bearer ak_wrong"}
            )
            assert wrong.status_code == 401

    with running("--port", "0", "--store", store, folder=tmp_path) as served:
        asyncio.run(scene())


def test_a_signal_lets_calls_end_and_refuses_new_ones(tmp_path: Path, store: str, key: str) -> None:
    async def scene() -> None:
        async with client_of(served, key) as client:
            assistant = await create_assistant(client, public=True)
            token = (await client.get("/api/get_token", params={"agent": assistant})).json()["token"]
            async with call_from_browser(client, token) as call:
                await until(lambda: call.said("assistant"))
                served.signal(signal.SIGTERM)
                await until(lambda: not_ready(client))
                refused = await client.get("/api/get_token", params={"agent": assistant})
                assert (refused.status_code, refused.json()["code"]) == (503, "shutting_down")
                said = len(call.said("assistant"))
                call.type("when are you open")
                await until(lambda: len(call.said("assistant")) > said)
                assert served.process.poll() is None
            # The last call has ended: nothing is left to wait for.
            assert await asyncio.to_thread(served.wait, 20) == 0

    async def not_ready(client: Any) -> bool:
        return bool((await client.get("/readyz")).status_code == 503)

    with running("--port", "0", "--store", store, folder=tmp_path) as served:
        asyncio.run(scene())
    (call,) = calls_in(tmp_path / "store.db")
    assert (call["status"], call["end_reason"]) == ("completed", "caller_hangup")


def test_a_second_signal_ends_calls_at_once(tmp_path: Path, store: str, key: str) -> None:
    async def scene() -> None:
        async with client_of(served, key) as client:
            assistant = await create_assistant(client, public=True)
            token = (await client.get("/api/get_token", params={"agent": assistant})).json()["token"]
            async with call_from_browser(client, token) as call:
                await until(lambda: call.said("assistant"))
                served.signal(signal.SIGTERM)
                await asyncio.sleep(0.5)
                assert served.process.poll() is None
                began = time.monotonic()
                served.signal(signal.SIGTERM)
                assert await asyncio.to_thread(served.wait, 20) == 0
                assert time.monotonic() - began < 10
                assert not any(message["type"] == "ended" for message in call.messages), (
                    "the page waits for the server to come back"
                )

    with running("--port", "0", "--store", store, folder=tmp_path) as served:
        asyncio.run(scene())
    (call,) = calls_in(tmp_path / "store.db")
    assert (call["status"], call["end_reason"]) == ("completed", "shutdown")


def calls_in(path: Path) -> list[dict[str, Any]]:
    from antiphon.store import open_store

    async def read() -> list[dict[str, Any]]:
        async with open_store(f"sqlite:{path}") as opened:
            return [document async for document in opened.each("calls")]

    return asyncio.run(read())


def test_roles_in_processes_of_their_own(
    tmp_path: Path, store: str, key: str, receiver: tuple[str, list[dict[str, Any]]]
) -> None:
    """Without a supervisor nobody is told of the call that ended; a process that has the role does it."""
    hook, deliveries = receiver

    async def scene() -> None:
        async with client_of(served, key) as client:
            assistant = await create_assistant(client, public=True, end_call_webhook={"url": hook})
            token = (await client.get("/api/get_token", params={"agent": assistant})).json()["token"]
            async with call_from_browser(client, token) as call:
                await until(lambda: call.said("assistant"))
            await until(lambda: call_record(client, assistant, status="completed"))
            assert deliveries == []
            options = ("--role", "supervisor", "--store", store)
            with running(*options, folder=tmp_path, ANTIPHON_WEBHOOKS_ALLOWED_NETWORKS="127.0.0.1") as other:
                assert other.url == ""
                await until(lambda: deliveries)

    with running("--port", "0", "--role", "worker,api", "--store", store, folder=tmp_path) as served:
        asyncio.run(scene())


def test_a_process_without_the_api_can_be_watched(tmp_path: Path, store: str, key: str) -> None:
    import httpx

    options = ("--role", "supervisor", "--store", store)
    with running(*options, folder=tmp_path, ANTIPHON_HTTP_HEALTH_PORT="0") as served:
        (url,) = asyncio.run(
            until(lambda: [line.split()[-1] for line in served.log if "health and metrics at" in line])
        )
        with httpx.Client(base_url=url) as client:
            assert client.get("/healthz").json()["status"] == "ok"
            assert client.get("/readyz").json() == {"status": "ready", "missing": []}
            assert client.get("/metrics").status_code == 401
            metrics = client.get("/metrics", headers={"Authorization": f"Bearer {key}"})
            assert "antiphon_webhook_backlog 0.0" in metrics.text
            nothing_else = client.get("/assistants", headers={"Authorization": f"Bearer {key}"})
            assert (nothing_else.status_code, nothing_else.json()["code"]) == (404, "not_found")


class TestCheck:
    def check(self, folder: Path, *options: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "antiphon", "serve", "--check", *options],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=60,
            env={**platform_process.clean_environment(folder), "COLUMNS": "200", **environment},
        )
        return done.returncode, done.stdout + done.stderr

    def test_all_is_well(self, tmp_path: Path, store: str, key: str) -> None:
        code, text = self.check(tmp_path, "--port", "0", "--store", store, ANTIPHON_LOG_LEVEL="debug")
        assert code == 0, text
        assert "Ready: antiphon serve" in text
        assert "ANTIPHON_LOG_LEVEL" in text, "where a value comes from"

    def test_traces_and_sounds_that_lead_nowhere(self, tmp_path: Path, store: str, key: str) -> None:
        settings = {"ANTIPHON_TRACING_ENDPOINT": "nowhere", "ANTIPHON_CALLS_SOUNDS": str(tmp_path / "none")}
        code, text = self.check(tmp_path, "--port", "0", "--store", store, **settings)
        assert code == 1, text
        assert re.search(r"^missing +traces +nowhere", text, re.MULTILINE), text
        assert re.search(r"^– +sounds +\S+/none is no folder", text, re.MULTILINE), text

    def test_the_turn_detector(self, tmp_path: Path, store: str, key: str) -> None:
        model = Path(__file__).parents[1] / "plugins" / "turn_detector_untrained.onnx"
        code, text = self.check(tmp_path, "--port", "0", "--store", store, ANTIPHON_TURN_DETECTOR=str(model))
        assert code == 0, text
        assert re.search(r"^ok +turn detector", text, re.MULTILINE), text
        code, text = self.check(tmp_path, "--port", "0", "--store", store, ANTIPHON_TURN_DETECTOR="none.onnx")
        assert code == 0, text
        assert re.search(r"^– +turn detector +cannot be used", text, re.MULTILINE), text
        assert "Until then silence alone ends turns" in " ".join(text.split())

    @pytest.mark.parametrize(
        "options", [("--role", "supervisor,api"), ("--role", "supervisor", "--role", "api")]
    )
    def test_roles_of_the_command_line(
        self, tmp_path: Path, store: str, key: str, options: tuple[str, ...]
    ) -> None:
        code, text = self.check(tmp_path, "--port", "0", "--store", store, *options, COLUMNS="80")
        assert code == 0, text
        assert re.search(r"^roles +api, supervisor +command line", text, re.MULTILINE), text
        assert "retention.webhook_deliveries_days " in text, "names are not broken"

    def test_what_is_missing_is_said_with_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        (tmp_path / "antiphon.toml").write_text(
            f"store = 'sqlite:{tmp_path}/missing/folder/store.db'\n[recordings]\nfolder = '{tmp_path}/file/inside'\n"
        )
        import socket

        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            code, text = self.check(tmp_path, "--port", port, ANTIPHON_HTTP_HEALTH_PORT=port)
        words = " ".join(text.split())
        assert code == 1
        for part in (
            "is in use by another program",
            "choose another port: http.health_port",
            "calls cannot be recorded to",
            "Not ready yet",
        ):
            assert part in words, text
        assert "antiphon.toml" in words

    def test_an_assistant_without_its_key_and_secrets_without_theirs(
        self, tmp_path: Path, store: str
    ) -> None:
        from antiphon.store import Keyring, open_store

        async def fill() -> None:
            async with open_store(store, keyring=Keyring([bytes(range(32))])) as opened:
                llm = {"provider": "openai", "model": "gpt", "api_key": "sk-something"}
                await opened.create("assistants", {**DESK, "llm": llm})
                await opened.create("assistants", {**DESK, "name": "Other", "llm": {"provider": "nobody"}})

        asyncio.run(fill())
        code, text = self.check(tmp_path, "--port", "0", "--store", store)
        words = " ".join(text.split())
        assert code == 1
        assert "secrets of assistants cannot be read" in words
        assert "assistant Other" in words
        assert "nobody" in words

    def test_a_mistake_in_the_settings_ends_it(self, tmp_path: Path) -> None:
        (tmp_path / "antiphon.toml").write_text("[http]\nprot = 1\n")
        code, text = self.check(tmp_path)
        assert code == 2
        assert "did you mean http.port?" in text


def test_a_port_in_use_ends_it_with_what_to_do(tmp_path: Path, store: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match=f"port {port} on 127.0.0.1 is in use"):
            platform_process.start("--port", str(port), "--store", store, folder=tmp_path)
