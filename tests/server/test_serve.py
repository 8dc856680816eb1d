"""Listening: ports, certificates, shutdown, and a whole call over HTTP and WebRTC."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antiphon.models.errors import ConfigurationError
from antiphon.server import ServerSettings
from antiphon.server.serve import ServerStartError, page_address, serve
from antiphon.server.settings import parse_ice_servers
from antiphon.server.tls import certificate_for, is_local, self_signed

pytestmark = pytest.mark.needs("aiortc", "fastapi", "httpx", "uvicorn", "cryptography")


async def until(condition: Any, patience: float = 5.0) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while not condition():
        assert loop.time() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def test_a_whole_call(listening: Any, run_clean: Any) -> None:
    import httpx
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    async def scenario() -> None:
        async with listening() as served, httpx.AsyncClient(base_url=served.url) as client:
            issued = (await client.get("/api/get_token?agent=tone")).json()
            assert issued["url"] == served.url
            peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            channel = peer.createDataChannel("antiphon")
            peer.addTransceiver("audio", direction="recvonly")
            messages: list[dict[str, Any]] = []
            heard: list[np.ndarray] = []
            listeners: list[asyncio.Task[None]] = []
            channel.on("message", lambda raw: messages.append(json.loads(raw)))

            async def listen(track: Any) -> None:
                while True:
                    heard.append((await track.recv()).to_ndarray())

            peer.on("track", lambda track: listeners.append(asyncio.create_task(listen(track))))
            await peer.setLocalDescription(await peer.createOffer())
            response = await client.post(
                "/api/rtc/offer",
                headers={"Authorization": f"Bearer {issued['token']}"},
                json={"type": "offer", "sdp": peer.localDescription.sdp},
            )
            assert response.status_code == 200
            await peer.setRemoteDescription(RTCSessionDescription(response.json()["sdp"], "answer"))

            await until(lambda: any(np.abs(part).max() > 4000 for part in heard))
            await until(lambda: any(message["type"] == "state" for message in messages))
            assert (await client.get("/healthz")).json()["calls"] == 1
            heard.clear()
            channel.send(json.dumps({"type": "text", "text": "hello there"}))
            await until(lambda: any(message["type"] == "latency" for message in messages))
            shown = [message["text"] for message in messages if message["type"] == "transcript"]
            assert "hello there" in shown
            assert shown[-1] == "You said: hello there"
            await until(lambda: any(np.abs(part).max() > 4000 for part in heard))

            channel.send(json.dumps({"type": "bye"}))
            await until(lambda: served.app.state.server.calls.count == 0)
            await peer.close()
            for task in listeners:
                task.cancel()
                await asyncio.wait([task])

    run_clean(scenario())


def test_a_port_in_use_is_named_with_what_to_do(run_clean: Any, in_process: Any) -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            async with in_process() as (_, served):
                with pytest.raises(ServerStartError, match=rf"port {port} on 127\.0\.0\.1 is in use.*--port"):
                    await serve(served.app, ServerSettings(port=port), lambda url: None)

    run_clean(scenario())


@pytest.mark.parametrize(
    ("host", "words"), [("no.such.host.invalid", "not an address"), ("192.0.2.1", "--host")]
)
def test_a_foreign_host_is_refused(run_clean: Any, in_process: Any, host: str, words: str) -> None:
    async def scenario() -> None:
        async with in_process() as (_, served):
            with pytest.raises(ServerStartError, match=words):
                await serve(served.app, ServerSettings(host=host, port=0, tls=False), lambda url: None)

    run_clean(scenario())


def test_https_with_a_self_signed_certificate(
    listening: Any, run_clean: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import httpx

    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path))

    async def scenario() -> None:
        async with listening(tls=True) as served:
            assert served.url.startswith("https://127.0.0.1:")
            trust = ssl.create_default_context(cafile=str(tmp_path / "tls" / "cert.pem"))
            async with httpx.AsyncClient(verify=trust) as client:
                assert (await client.get(served.url + "/healthz")).json()["status"] == "ok"

    run_clean(scenario())


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("voice.example.org", False),
    ],
)
def test_listening_beyond_this_machine_means_https(
    host: str, local: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTIPHON_DATA_DIR", str(tmp_path))
    assert is_local(host) is local
    assert (certificate_for(ServerSettings(host=host)) is None) is local
    assert certificate_for(ServerSettings(host=host, tls=False)) is None
    assert certificate_for(ServerSettings(host=host, tls=True)) is not None


class TestSelfSigned:
    def test_names_key_and_reuse(self, tmp_path: Path) -> None:
        from cryptography import x509

        first = self_signed("voice.example.org", tmp_path)
        assert first.self_signed
        assert stat.S_IMODE(first.key.stat().st_mode) == 0o600
        loaded = x509.load_pem_x509_certificate(first.cert.read_bytes())
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert {"localhost", "voice.example.org"} <= set(names.get_values_for_type(x509.DNSName))
        assert "127.0.0.1" in {str(address) for address in names.get_values_for_type(x509.IPAddress)}

        before = first.cert.read_bytes()
        assert self_signed("0.0.0.0", tmp_path).cert.read_bytes() == before
        assert self_signed("other.example.org", tmp_path).cert.read_bytes() != before

    def test_renewed_when_about_to_expire(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("antiphon.server.tls._LIFETIME", datetime.timedelta(days=20))
        before = self_signed("localhost", tmp_path).cert.read_bytes()
        monkeypatch.undo()
        assert self_signed("localhost", tmp_path).cert.read_bytes() != before

    @pytest.mark.parametrize("broken", ["cert.pem", "key.pem"])
    def test_made_anew_when_damaged(self, tmp_path: Path, broken: str) -> None:
        before = self_signed("localhost", tmp_path).cert.read_bytes()
        (tmp_path / broken).write_text("nonsense")
        assert self_signed("localhost", tmp_path).cert.read_bytes() != before

    def test_a_folder_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        blocked = tmp_path / "file"
        blocked.write_text("")
        with pytest.raises(ConfigurationError, match="ANTIPHON_DATA_DIR"):
            self_signed("localhost", blocked / "tls")


class TestSettings:
    def test_certificate_and_key_go_together(self) -> None:
        with pytest.raises(ConfigurationError, match="--tls-cert needs --tls-key"):
            ServerSettings(tls_cert=Path("cert.pem"))
        with pytest.raises(ConfigurationError, match="--tls-key needs --tls-cert"):
            ServerSettings(tls_key=Path("key.pem"))

    def test_a_certificate_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        settings = ServerSettings(tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
        with pytest.raises(ConfigurationError, match=r"--tls-cert .*cert\.pem cannot be read"):
            certificate_for(settings)

    def test_a_certificate_that_is_none_is_refused(
        self, tmp_path: Path, in_process: Any, run_clean: Any
    ) -> None:
        for name in ("cert.pem", "key.pem"):
            (tmp_path / name).write_text("nonsense")

        async def scenario() -> None:
            async with in_process() as (_, served):
                settings = ServerSettings(
                    port=0, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem"
                )
                with pytest.raises(ConfigurationError, match="the certificate cannot be used"):
                    await serve(served.app, settings, lambda url: None)

        run_clean(scenario())

    def test_port_out_of_range(self) -> None:
        with pytest.raises(ConfigurationError, match="70000"):
            ServerSettings(port=70000)

    def test_secret_is_random_and_not_shown(self) -> None:
        one, other = ServerSettings.from_environment({}), ServerSettings.from_environment({})
        assert one.api_secret != other.api_secret
        assert len(one.api_secret) >= 32
        assert one.api_secret not in repr(one)

    def test_environment(self) -> None:
        settings = ServerSettings.from_environment(
            {
                "ANTIPHON_API_KEY": "key",
                "ANTIPHON_API_SECRET": "secret",
                "ANTIPHON_ICE_SERVERS": '[{"urls": "turn:t.example.org", "username": "u", "credential": "c"}]',
            },
            port=9000,
        )
        assert (settings.api_key, settings.api_secret, settings.port) == ("key", "secret", 9000)
        [server] = settings.ice_servers
        assert (server.urls, server.username, server.credential) == (("turn:t.example.org",), "u", "c")

    @pytest.mark.parametrize(
        "text", ["{", "3", '["stun:x"]', '[{"urls": "http://x"}]', "[{}]", '[{"urls": 5}]']
    )
    def test_ice_servers_that_cannot_be_read(self, text: str) -> None:
        with pytest.raises(ConfigurationError, match="ANTIPHON_ICE_SERVERS must be a JSON list"):
            parse_ice_servers(text)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://localhost:80"),
        ("::", "http://localhost:80"),
        ("::1", "http://[::1]:80"),
        ("voice.example.org", "http://voice.example.org:80"),
    ],
)
def test_page_address(host: str, address: str) -> None:
    assert page_address("http", host, 80) == address


PROGRAM = """
import asyncio
from antiphon.rooms.local import LocalRooms
from antiphon.server import ServerSettings, create_app
from antiphon.server.serve import loop_factory, serve

class Nobody:
    async def agents(self): return []
    async def find(self, agent, *, private): return None
    async def start(self, call): pass
    async def aclose(self): print("closed", flush=True)

async def main():
    app = create_app(ServerSettings(), Nobody(), LocalRooms())
    await serve(app, ServerSettings(port=0), lambda url: print(url, flush=True))
    print("returned", flush=True)

with asyncio.Runner(loop_factory=loop_factory()) as runner:
    runner.run(main())
"""


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_shuts_down_cleanly(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline().startswith("http://127.0.0.1:")
        program.send_signal(number)
        out, err = program.communicate(timeout=20)
    assert out.split() == ["closed", "returned"]
    assert err == ""
    assert program.returncode == 0
