"""SIP over UDP: one message a datagram. Source: RFC 3261 sections 18 and 18.4 (ICMP errors)."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import cast

_RECEIVE_BUFFER = 4_194_304  # for the burst of a second; the system may grant less
OnDatagram = Callable[[bytes, str, int], None]
OnRefused = Callable[[bytes], None]

# Linux: ip(7) and ipv6(7), which the socket module has no names for.
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_EXTENDED_ERROR = struct.Struct("=IBB")  # errno, origin, type
_UNREACHABLE = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT})
_QUOTED = 2048
_TRIES = 3


class UdpSocket(asyncio.DatagramProtocol):
    """One bound socket."""

    def __init__(self, bound: socket.socket, on_datagram: OnDatagram, on_refused: OnRefused) -> None:
        self._socket = bound
        self._on_datagram = on_datagram
        self._on_refused = on_refused
        self._transport: asyncio.DatagramTransport | None = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def bind(cls, host: str, port: int, on_datagram: OnDatagram, on_refused: OnRefused) -> UdpSocket:
        """Listen.

        Args:
            on_refused: gets the beginning of a datagram of ours that, as the network says, reached nobody.

        Raises:
            OSError: the address is not ours or taken.
        """
        bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            bound.bind((host, port))
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            _ask_for_errors(bound)
            _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: cls(bound, on_datagram, on_refused), sock=bound
            )
        except BaseException:
            bound.close()
            raise
        return protocol

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")[:2]
        return str(host), int(port)

    def send(self, data: bytes, host: str, port: int) -> bool:
        """Send a datagram; False: it is clear at once that it cannot go."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        for _ in range(_TRIES):
            try:
                self._socket.sendto(data, (host, port))
            except BlockingIOError:
                transport.sendto(data, (host, port))  # which queues it
            except OSError:
                # It may be the error of a datagram before this one, to somebody else.
                if self._take_errors():
                    continue
                return False
            except ValueError:
                return False
            return True
        return False

    async def aclose(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()
            await self._closed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed.done():
            self._closed.set_result(None)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._on_datagram(data, addr[0], addr[1])

    def error_received(self, exc: Exception) -> None:
        self._take_errors()

    def _take_errors(self) -> bool:
        """Empty the queue of ICMP errors; returns whether there were any."""
        found = list(_errors(self._socket))
        for quoted, number in found:
            if number in _UNREACHABLE:
                self._on_refused(quoted)
        return bool(found)


def _ask_for_errors(bound: socket.socket) -> None:
    if sys.platform == "linux":
        for level, option in ((socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)):
            with contextlib.suppress(OSError):  # of the other family
                bound.setsockopt(level, option, 1)


def _errors(bound: socket.socket) -> Iterator[tuple[bytes, int]]:
    """The beginning of each datagram that came back, and the number of its error."""
    if sys.platform != "linux":
        return
    while True:
        try:
            quoted, ancillary, _, _ = bound.recvmsg(_QUOTED, 512, socket.MSG_ERRQUEUE)
        except OSError:
            return  # no more
        for level, kind, data in ancillary:
            wanted = (level, kind) in (
                (socket.IPPROTO_IP, _IP_RECVERR),
                (socket.IPPROTO_IPV6, _IPV6_RECVERR),
            )
            if wanted and len(data) >= _EXTENDED_ERROR.size:
                yield quoted, _EXTENDED_ERROR.unpack_from(data)[0]
