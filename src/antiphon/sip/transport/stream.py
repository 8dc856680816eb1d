"""SIP over TCP and TLS: messages cut by Content-Length, line breaks to keep the connection alive.

Source: RFC 3261 section 18.3; RFC 5626 section 3.5.1.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol, cast

from ..errors import ParseError
from ..stream_framer import Ping, StreamFramer

logger = logging.getLogger(__name__)

KEEP_ALIVE = 30.0  # between pings on connections that we opened
PATIENCE = 30.0  # for the rest of a message that has begun, and for a first message
_MOST_UNSENT = 1_000_000


class Connections(Protocol):
    """Who owns connections."""

    def opened(self, connection: StreamConnection) -> bool:
        """A connection is there; False: it is not wanted."""

    def received(self, connection: StreamConnection, data: bytes) -> None:
        """A whole message came."""

    def closed(self, connection: StreamConnection) -> None:
        """It is gone."""


class StreamConnection(asyncio.Protocol):
    """One connection, whoever opened it.

    Attributes:
        number: names the connection in hops and sources; above 0.
        peer: the other end.
        ours: whether we opened it.
        verified: the host that its certificate was checked for; empty: none was.
    """

    def __init__(self, owner: Connections, transport_name: str, number: int, *, ours: bool) -> None:
        self.transport_name = transport_name
        self.number = number
        self.peer = ("", 0)
        self.verified = ""
        self._owner = owner
        self.ours = ours
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._keep_alive: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        """Whether something can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, data: bytes) -> bool:
        """Send; False: the connection is gone, or the peer has not read for long."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _MOST_UNSENT:
            logger.warning(
                "sip: %s %s reads nothing; the connection is closed", self.transport_name, self.peer[0]
            )
            self._transport.abort()
            return False
        return True

    def close(self) -> None:
        """Close, without waiting."""
        if self._transport is not None:
            self._transport.close()

    async def aclose(self) -> None:
        """Close, and not wait long for the peer to agree."""
        if self._transport is None:
            return
        self._transport.close()
        try:
            async with asyncio.timeout(1.0):
                await asyncio.shield(self._closed)
        except TimeoutError:
            self._transport.abort()
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if peer:
            self.peer = (str(peer[0]), int(peer[1]))
        if not self._owner.opened(self):
            self._transport.abort()
            return
        if self.ours:
            self._ping()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        try:
            complete = self._framer.feed(data)
        except ParseError as error:
            logger.info("sip: %s %s is closed: %s", self.transport_name, self.peer[0], error)
            self.close()
            return
        for item in complete:
            if isinstance(item, Ping):
                self.send(b"\r\n")
            else:
                self._owner.received(self, item)
        if self._patience is not None and complete:
            self._patience.cancel()
            self._patience = None
        if self._framer.has_begun and self._patience is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._patience, self._keep_alive):
            if timer is not None:
                timer.cancel()
        if not self._closed.done():
            self._closed.set_result(None)
        self._owner.closed(self)

    def _wait(self) -> None:
        """Whoever sends a message drop by drop, or none at all, is not waited for."""
        self._patience = asyncio.get_running_loop().call_later(PATIENCE, self.close)

    def _ping(self) -> None:
        self._keep_alive = asyncio.get_running_loop().call_later(KEEP_ALIVE, self._send_ping)

    def _send_ping(self) -> None:
        if self.send(b"\r\n\r\n"):
            self._ping()
