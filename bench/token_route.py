"""The token route of a real `antiphon serve`, over loopback: requests per second, and how long each takes.

The client is a process of its own on one core that speaks HTTP/1.1 over open connections, each with one request at a time; it
reads no more of an answer than it must, so that the server is what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from .measurement import ROOT, Plan, Row, percentile, run_python

CONNECTIONS = (1, 16)
START_SECONDS = 90.0
_REQUEST = "GET /api/get_token?agent={agent} HTTP/1.1\r\nhost: {host}\r\n\r\n"

_SETTINGS = """
store = "sqlite:{store}"

[http]
port = 0

[tokens]
per_minute = 1e9
burst = 1000000000
"""


class Connection(asyncio.Protocol):
    """Asks for a token again and again until the time is over."""

    def __init__(self, request: bytes, until: float, done: asyncio.Future[None]) -> None:
        self.taken: list[float] = []
        self._request, self._until, self._done = request, until, done
        self._answer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if length is None or not head.startswith(b"HTTP/1.1 200"):
            self._fail(f"the server answered {head.decode(errors='replace').splitlines()[0]}")
        elif len(body) >= int(length[1]):
            now = time.perf_counter()
            self.taken.append(now - self._began)
            self._answer = b""
            if now < self._until:
                self._ask()
            else:
                self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if time.perf_counter() < self._until:
            self._fail(f"the server closed the connection: {error}")
        elif not self._done.done():
            self._done.set_result(None)

    def _fail(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(RuntimeError(why))
        self._transport.close()


async def _load(url: str, agent: str, connections: int, seconds: float) -> list[float]:
    """Seconds of each request."""
    address = urlsplit(url)
    request = _REQUEST.format(agent=agent, host=address.netloc).encode()
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + seconds
    opened, ends = [], []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        _, protocol = await loop.create_connection(
            lambda done=done: Connection(request, until, done), address.hostname, address.port
        )
        opened.append(protocol)
        ends.append(done)
    await asyncio.gather(*ends)
    return [taken for protocol in opened for taken in protocol.taken]


def client_main(url: str, agent: str, connections: int, seconds: float) -> None:
    """Printed for `measure`: requests a second, median and 95th percentile in milliseconds."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    asyncio.run(_load(url, agent, connections, min(2.0, seconds)))
    began = time.perf_counter()
    taken = asyncio.run(_load(url, agent, connections, seconds))
    rate = len(taken) / (time.perf_counter() - began)
    print(json.dumps([rate, percentile(taken, 50) * 1000, percentile(taken, 95) * 1000]))


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A server with the bank in its store; gives its address.

    Raises:
        RuntimeError: it does not start.
    """
    settings = folder / "antiphon.toml"
    settings.write_text(_SETTINGS.format(store=folder / "antiphon.db"))
    server = subprocess.Popen(
        [sys.executable, "-m", "antiphon", "serve", "--config", str(settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    said: list[str] = []
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    assert server.stdout is not None
    reader = threading.Thread(target=lambda: [lines.put(line) for line in server.stdout or ()], daemon=True)
    reader.start()
    try:
        until = time.monotonic() + START_SECONDS
        while (found := re.search(r"answers at (http\S+)", "".join(said))) is None:
            if server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"antiphon serve did not start: {''.join(said)[-500:]}")
            with contextlib.suppress(queue.Empty):
                said.append(lines.get(timeout=0.2))
        yield found[1]
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


async def _seed(path: Path) -> None:
    from antiphon.server.platform.seed import seed_demo
    from antiphon.store import Keyring, open_store

    async with open_store(f"sqlite:{path}", keyring=Keyring([bytes(32)])) as store:
        await seed_demo(store)


def measure(plan: Plan) -> list[Row]:
    seconds = 3.0 if plan.quick else 10.0
    rows = []
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as name:
        folder = Path(name)
        asyncio.run(_seed(folder / "antiphon.db"))
        with serving(folder) as url:
            for connections in CONNECTIONS:
                out = run_python(
                    f"from bench.token_route import client_main; client_main({url!r}, 'bank', {connections}, {seconds})"
                )
                rate, median, most = json.loads(out)
                what = f"token route, {connections} at once"
                rows += [
                    Row(
                        what,
                        "requests per s",
                        round(rate),
                        higher_is_better=True,
                        note="one process of serve",
                    ),
                    Row(f"{what}: p50", "ms", round(median, 2)),
                    Row(f"{what}: p95", "ms", round(most, 2)),
                ]
    return rows
