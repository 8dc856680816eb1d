"""A SIP peer on a socket, written out message by message: it does what it is told, right or wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from antiphon.sip.message import Message, Request, Response, parse_message
from support.sip_wire import Caller, Wire, respond, sdp

HOST = "127.0.0.1"


class RawPeer(asyncio.DatagramProtocol):
    """Attributes:
    caller: makes its requests.
    received: what came, in order.
    to: where its messages go.
    """

    def __init__(self, to: tuple[str, int], host: str) -> None:
        self.to = to
        self.host = host
        self.port = 0
        self.caller = Caller(Wire())
        self.received: list[Message] = []
        self._taken = 0
        self._news = asyncio.Event()
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]
        self.caller.headers["Contact"] = f"<sip:peer@{self.address}>"

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append(parse_message(data))
        self._news.set()

    @property
    def address(self) -> str:
        """As it stands in a URI or a Via."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def sdp(self, **changes: Any) -> bytes:
        """A description of its own."""
        body = sdp(**{"address": self.host, **changes})
        return body.replace(b"c=IN IP4", b"c=IN IP6") if ":" in self.host else body

    def send(self, method: str, body: bytes = b"", **options: Any) -> Request:
        """Send a request in the dialog as far as there is one."""
        request = self.caller.request(method, body, **options)
        via = request.via
        request.headers.set("Via", f"SIP/2.0/UDP {self.address};branch={via.branch};rport")
        self.raw(request.to_bytes())
        return request

    def respond(self, request: Request, status: int, body: bytes = b"", **headers: str) -> None:
        """Answer a request of the other side."""
        headers.setdefault("Contact", f"<sip:peer@{self.address}>")
        self.raw(respond(request, status, body, **headers).to_bytes())

    def raw(self, octets: bytes) -> None:
        """Send whatever it is."""
        self._transport.sendto(octets, self.to)

    async def next(self, found: Callable[[Message], bool] = lambda _: True, timeout: float = 4.0) -> Any:
        """The next message that is looked for; those before it are passed over."""
        async with asyncio.timeout(timeout):
            while True:
                while self._taken < len(self.received):
                    message = self.received[self._taken]
                    self._taken += 1
                    if found(message):
                        return message
                self._news.clear()
                await self._news.wait()

    async def request(self, method: str) -> Request:
        """The next request of that method."""
        found: Request = await self.next(lambda one: isinstance(one, Request) and one.method == method)
        return found

    async def response(self, least: int = 200) -> Response:
        """The next response from that status on; its tag is taken for the dialog."""
        found: Response = await self.next(lambda one: isinstance(one, Response) and one.status >= least)
        if found.to.tag and found.status < 300:
            self.caller.learn_tag(found)
        return found

    async def call(self, body: bytes | None = None, **options: Any) -> Response:
        """A call up to the ACK; returns the 200."""
        cseq = self.send("INVITE", self.sdp() if body is None else body, **options).cseq.number
        answer = await self.response()
        assert answer.status == 200, answer.status
        self.send("ACK", cseq=cseq)
        return answer


@contextlib.asynccontextmanager
async def raw_peer(to: tuple[str, int], host: str = HOST) -> AsyncIterator[RawPeer]:
    """A peer of an endpoint at that address."""
    transport, peer = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: RawPeer(to, host), local_addr=(host, 0)
    )
    try:
        yield peer
    finally:
        transport.close()
