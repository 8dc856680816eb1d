"""`antiphon serve` as a process of its own, and browsers that call it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 60.0


class ServeProcess:
    """A running `antiphon serve`.

    Attributes:
        url: of its HTTP server; empty without the role api.
        log: what it wrote to standard error, line by line.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.url = ""
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.log.extend(self.process.stderr)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float) -> int:
        """Its exit code; raises subprocess.TimeoutExpired."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()
        self.wait(10)


def clean_environment(folder: Path) -> dict[str, str]:
    """Ours without settings of the platform; data lie in `folder`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return {**inherited, "ANTIPHON_DATA_DIR": str(folder / "data")}


def start(*options: str, folder: Path, **environment: str) -> ServeProcess:
    """Start it and wait until it works; its data lie in `folder`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "antiphon", "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**clean_environment(folder), **environment},
    )
    served = ServeProcess(process)
    assert process.stdout is not None
    timer = threading.Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        for line in process.stdout:
            if found := re.match(r"Antiphon (?:answers at (\S+)|works)", line):
                served.url = found[1] or ""
                return served
    finally:
        timer.cancel()
    served.wait(10)
    raise AssertionError(f"antiphon serve ended before it worked:\n{''.join(served.log)}")


@contextlib.contextmanager
def running(*options: str, folder: Path, **environment: str) -> Iterator[ServeProcess]:
    """It runs while the block does."""
    served = start(*options, folder=folder, **environment)
    try:
        yield served
    finally:
        if served.process.poll() is None:
            served.signal(signal.SIGTERM)
            try:
                served.wait(30)
            except subprocess.TimeoutExpired:
                served.kill()
        if served.process.stdout is not None:
            served.process.stdout.close()
        if served.process.stderr is not None:
            served.process.stderr.close()


class BrowserCall:
    """A page in a call, as far as the server sees.

    Attributes:
        messages: what came over the data channel.
        loudest: the loudest sample of 16 bits that was heard.
    """

    def __init__(self, peer: Any, channel: Any) -> None:
        self.peer = peer
        self.channel = channel
        self.messages: list[dict[str, Any]] = []
        self.loudest = 0
        self._listeners: list[asyncio.Task[None]] = []
        channel.on("message", lambda raw: self.messages.append(json.loads(raw)))
        peer.on("track", lambda track: self._listeners.append(asyncio.create_task(self._listen(track))))

    async def _listen(self, track: Any) -> None:
        import numpy as np
        from aiortc.mediastreams import MediaStreamError

        with contextlib.suppress(MediaStreamError):
            while True:
                samples = (await track.recv()).to_ndarray().astype(np.int32)
                self.loudest = max(self.loudest, int(np.abs(samples).max()))

    def type(self, text: str) -> None:
        self.channel.send(json.dumps({"type": "text", "text": text}))

    def said(self, role: str) -> list[str]:
        """Final texts."""
        return [
            str(message["text"])
            for message in self.messages
            if message["type"] == "transcript" and message["role"] == role and message["final"]
        ]

    async def close(self) -> None:
        await self.peer.close()
        for task in self._listeners:
            task.cancel()
        if self._listeners:
            await asyncio.wait(self._listeners)


@asynccontextmanager
async def call_from_browser(client: Any, token: str) -> AsyncIterator[BrowserCall]:
    """A call that begins with the token; the browser goes away at the end of the block without a word."""
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    call = BrowserCall(peer, peer.createDataChannel("antiphon"))
    peer.addTransceiver("audio", direction="recvonly")
    try:
        await peer.setLocalDescription(await peer.createOffer())
        response = await client.post(
            "/api/rtc/offer",
            headers={"Authorization": f"Bearer {token}"},
            json={"type": "offer", "sdp": peer.localDescription.sdp},
        )
        assert response.status_code == 200, response.text
        await peer.setRemoteDescription(RTCSessionDescription(response.json()["sdp"], "answer"))
        yield call
    finally:
        await call.close()


async def until(condition: Callable[[], Any], patience: float = 20.0) -> Any:
    """Wait until the condition holds, and return what it gave; it may be a coroutine function."""
    deadline = time.monotonic() + patience
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)
