"""SIP over UDP: one message a datagram. Source: RFC 3261 section 18."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

_RECEIVE_BUFFER = 4_194_304  # for the burst of a second; the system may grant less
OnDatagram = Callable[[bytes, str, int], None]


class UdpSocket(asyncio.DatagramProtocol):
    """One bound socket."""

    def __init__(self, on_datagram: OnDatagram) -> None:
        self._on_datagram = on_datagram
        self._transport: asyncio.DatagramTransport | None = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def bind(cls, host: str, port: int, on_datagram: OnDatagram) -> UdpSocket:
        """Listen.

        Raises:
            OSError: the address is not ours or taken.
        """
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(lambda: cls(on_datagram), local_addr=(host, port))
        return protocol

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return str(host), int(port)

    def send(self, data: bytes, host: str, port: int) -> bool:
        """Send a datagram; False: it is clear at once that it cannot go."""
        if self._transport is None or self._transport.is_closing():
            return False
        try:
            self._transport.sendto(data, (host, port))
        except (OSError, ValueError):
            return False
        return True

    async def aclose(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        bound: socket.socket | None = transport.get_extra_info("socket")
        if bound is not None:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._on_datagram(data, addr[0], addr[1])

    def error_received(self, exc: Exception) -> None:
        """An ICMP error, which does not say of which datagram: retransmissions and time-outs deal with it."""
