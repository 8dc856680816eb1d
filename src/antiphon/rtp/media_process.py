"""The owner's side of a media engine: starts its process, opens calls in it, and passes audio to and fro."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from ..audio.frame import Int16Array
from ..models.errors import AntiphonError
from .engine_messages import (
    Close,
    Closed,
    Command,
    Configure,
    Event,
    MessageReader,
    Open,
    Opened,
    Pacing,
    Press,
    Started,
    Stop,
    pack,
    pack_audio,
)
from .port_pool import PortPool
from .settings import StreamSettings

logger = logging.getLogger(__name__)

ANSWER_DEADLINE = 5.0
STOP_DEADLINE = 3.0
_OTHER_PORTS = 20
# Its products are small: handing them to threads costs more than they do, and the threads would take the cores of others.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class MediaFailed(AntiphonError):
    """The media engine cannot do what it was asked, or is gone."""


class MediaCall:
    """The audio of one call in the engine.

    Attributes:
        host, port: where the far end sends its audio.
        told: whether the far end knows of them; a call that was refused before needs no rest for its port.
        on_audio: called with each frame of 20 ms of the far end, int16 as bytes.
        on_event: called with `FirstPacket`, `Key`, `Silent` and `Failed`; and with None when the engine is gone.
    """

    def __init__(self, process: MediaProcess, number: int, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.told = False
        self.on_audio: Callable[[bytes], None] | None = None
        self.on_event: Callable[[Event | None], None] | None = None
        self._process = process
        self._number = number
        self._closing: asyncio.Future[dict[str, Any]] | None = None

    def configure(self, settings: StreamSettings) -> None:
        """Begin the audio, or change it after a new offer."""
        self.told = True
        self._process.tell(Configure(self._number, settings))

    def press(self, keys: str) -> None:
        """Send keys to the far end."""
        self._process.tell(Press(self._number, keys))

    def send(self, samples: Int16Array) -> None:
        """Say 20 ms to the far end: int16 at the codec's sample rate."""
        self._process.send_audio(self._number, samples.tobytes())

    async def aclose(self) -> dict[str, Any]:
        """Free the ports; returns the statistics, empty when the engine is gone. Safe to call twice."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_future()
            self._process.close_call(self._number, self._closing)
        try:
            async with asyncio.timeout(ANSWER_DEADLINE):
                return await asyncio.shield(self._closing)
        except TimeoutError:
            logger.error("the media engine did not close a call within %g s", ANSWER_DEADLINE)
            return {}


class MediaProcess(asyncio.Protocol):
    """One engine in a process of its own.

    Attributes:
        pacing: how late packets left in the last five seconds.
    """

    def __init__(self, ports: PortPool) -> None:
        """Prepare.

        Args:
            ports: for all engines of this host.
        """
        self.pacing: Pacing | None = None
        self._ports = ports
        self._numbers = itertools.count(1)
        self._calls: dict[int, MediaCall] = {}
        self._opening: dict[int, asyncio.Future[str]] = {}
        self._closing: dict[int, tuple[MediaCall, asyncio.Future[dict[str, Any]]]] = {}
        self._reader = MessageReader()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._frames: list[tuple[int, bytes]] = []
        self._gone = False

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._gone

    @property
    def calls(self) -> int:
        return len(self._calls)

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the process.

        Raises:
            MediaFailed: it cannot be started.
        """
        if not hasattr(select, "epoll"):
            raise MediaFailed("telephone calls need Linux: this system has no epoll")
        ours, theirs = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "antiphon.rtp.engine",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **_ONE_THREAD},
            )
        except OSError as error:
            ours.close()
            raise MediaFailed(f"the media engine cannot be started: {error}") from error
        finally:
            theirs.close()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_unix_connection(lambda: self, sock=ours)

    async def open_call(self, host: str) -> MediaCall:
        """Bind a pair of ports for a call.

        Raises:
            PortsExhausted: there is none.
            MediaFailed: none can be bound, or the engine does not answer.
        """
        if not self.alive:
            raise MediaFailed("the media engine is not running")
        loop = asyncio.get_running_loop()
        error = ""
        for _ in range(_OTHER_PORTS):
            port, number = self._ports.acquire(loop.time()), next(self._numbers)
            answer: asyncio.Future[str] = loop.create_future()
            self._opening[number] = answer
            self.tell(Open(number, host, port))
            try:
                async with asyncio.timeout(ANSWER_DEADLINE):
                    error = await answer
            except TimeoutError:
                self._ports.release(port, loop.time())
                self.tell(Close(number))
                raise MediaFailed(f"the media engine did not answer within {ANSWER_DEADLINE:g} s") from None
            except BaseException:
                self._ports.release(port, loop.time())
                self.tell(Close(number))
                raise
            finally:
                del self._opening[number]
            if not error:
                call = self._calls[number] = MediaCall(self, number, host, port)
                return call
            self._ports.reject(port, loop.time())
        raise MediaFailed(f"no RTP port on {host} can be bound: {error}")

    def tell(self, command: Command) -> None:
        """Send a command; nothing happens when the engine is gone."""
        if self._transport is not None and not self._gone:
            self._transport.write(pack(command))

    def send_audio(self, number: int, frame: bytes) -> None:
        """Queue a frame; those of one turn of the event loop travel together."""
        if not self._frames:
            asyncio.get_running_loop().call_soon(self._send_frames)
        self._frames.append((number, frame))

    def close_call(self, number: int, closed: asyncio.Future[dict[str, Any]]) -> None:
        call = self._calls.pop(number, None)
        if call is None or self._gone:
            closed.set_result({})
            return
        self._closing[number] = (call, closed)
        self.tell(Close(number))

    async def aclose(self) -> None:
        """End the process, and with it all calls; safe to call twice."""
        self.tell(Stop())
        process, self._process = self._process, None
        if process is not None:
            try:
                async with asyncio.timeout(STOP_DEADLINE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._transport is not None:
            self._transport.close()

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        for message in self._reader.feed(data):
            if isinstance(message, list):
                for number, frame in message:
                    call = self._calls.get(number)
                    if call is not None and call.on_audio is not None:
                        call.on_audio(frame)
            else:
                self._take(message)

    def connection_lost(self, error: Exception | None) -> None:
        if self._gone:
            return
        self._gone = True
        if self._process is not None:
            logger.error("the media engine (process %d) is gone", self._process.pid)
        for future in self._opening.values():
            if not future.done():
                future.set_exception(MediaFailed("the media engine is gone"))
        for call, closed in self._closing.values():
            self._release(call)
            if not closed.done():
                closed.set_result({})
        calls, self._calls, self._closing = list(self._calls.values()), {}, {}
        for call in calls:
            self._release(call)
            if call.on_event is not None:
                call.on_event(None)

    def _take(self, event: Event) -> None:
        match event:
            case Opened(number, error):
                future = self._opening.get(number)
                if future is not None and not future.done():
                    future.set_result(error)
            case Closed(number, statistics):
                if number in self._closing:
                    call, closed = self._closing.pop(number)
                    self._release(call)
                    if not closed.done():
                        closed.set_result(statistics)
            case Pacing():
                self.pacing = event
            case Started(goes_first):
                if not goes_first:
                    _say_that_it_must_wait()
            case _:
                meant = self._calls.get(event.call)
                if meant is not None and meant.on_event is not None:
                    meant.on_event(event)

    def _release(self, call: MediaCall) -> None:
        with contextlib.suppress(RuntimeError):  # no loop: the program ends, and the pool with it
            self._ports.release(call.port, asyncio.get_running_loop().time(), used=call.told)

    def _send_frames(self) -> None:
        frames, self._frames = self._frames, []
        if self._transport is not None and not self._gone:
            self._transport.write(pack_audio(frames))


@functools.cache
def _say_that_it_must_wait() -> None:
    """Once, however many engines there are."""
    logger.info(
        "the media engine may not go before other processes, so audio can stutter while this machine is busy; "
        "allow it with CAP_SYS_NICE, or a limit for real-time priority (RLIMIT_RTPRIO) of 1"
    )
