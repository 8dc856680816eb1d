"""Host names in the `c=` lines of descriptions: RFC 8866 section 5.7 (RFC 4566 section 5.7 before it)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.sip.admission import Admission
from antiphon.sip.events import EndCause, Ended, IncomingCall, MediaChanged, SipEvent
from antiphon.sip.message import Message, Response, parse_message
from antiphon.sip.offer_answer import LocalMedia
from antiphon.sip.transport import Listener, SipEndpoint
from antiphon.sip.transport import media_names as media_names_module
from antiphon.sip.transport import resolver as resolver_module
from support.sip_wire import Caller, Wire, sdp

HOST = "127.0.0.1"
MEDIA = LocalMedia(HOST, 20000)


class Peer(asyncio.DatagramProtocol):
    """A caller with a socket, and an endpoint that answers it."""

    def __init__(self) -> None:
        self.endpoint: SipEndpoint
        self.events: list[SipEvent] = []
        self.received: list[Message] = []
        self.caller = Caller(Wire())
        self._socket: asyncio.DatagramTransport
        self._news = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self._socket = transport
        port = transport.get_extra_info("sockname")[1]
        self.caller.headers["Contact"] = f"<sip:peer@{HOST}:{port}>"

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append(parse_message(data))
        self._news.set()

    def happened(self, event: SipEvent) -> None:
        self.events.append(event)
        if isinstance(event, IncomingCall):
            self.endpoint.answer(event.call, MEDIA)
        self._news.set()

    def send(self, method: str, body: bytes = b"", **options: Any) -> None:
        message = self.caller.request(method, body, **options)
        self._socket.sendto(message.to_bytes(), self.endpoint.addresses["UDP"])

    async def until(self, found: Any) -> Any:
        async with asyncio.timeout(5.0):
            while True:
                for one in [*self.events, *self.received]:
                    if found(one):
                        return one
                self._news.clear()
                await self._news.wait()

    async def status(self, cseq: str) -> int:
        """The final response to the request of that CSeq."""
        found = await self.until(
            lambda one: isinstance(one, Response) and one.status >= 200 and str(one.cseq) == cseq
        )
        self.caller.learn_tag(found)
        return int(found.status)

    def media(self) -> list[tuple[str, bool]]:
        return [(e.media.address, e.media.on_hold) for e in self.events if isinstance(e, MediaChanged)]


@contextlib.asynccontextmanager
async def peer() -> AsyncIterator[Peer]:
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(Peer, local_addr=(HOST, 0))
    made.endpoint = await SipEndpoint.start(
        [Listener("UDP", HOST, 0)], made.happened, admission=Admission(everyone=True)
    )
    try:
        yield made
    finally:
        await made.endpoint.aclose(drain=0.0)
        transport.close()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names lead to; those that begin with `slow` take some time for it, and others are unknown."""
    known: dict[str, list[str]] = {}

    async def addresses(host: str, _transport: str) -> list[str]:
        if host.startswith("slow"):
            await asyncio.sleep(0.1)
        if host.startswith("mute"):
            await asyncio.sleep(60)
        if host not in known:
            raise OSError(f"{host} is unknown")
        return known[host]

    monkeypatch.setattr(resolver_module, "_addresses", addresses)
    monkeypatch.setattr(media_names_module, "NAME_SECONDS", 0.3)
    return known


def at(name: str, **more: Any) -> bytes:
    return sdp(address=name, **more)


def test_media_goes_to_the_address_of_the_name(names: dict[str, list[str]], run_clean: Any) -> None:
    """RFC 8866 section 5.7: in the session, in the section that overrides it, and in a re-INVITE."""
    names["media.example"] = ["2001:db8::7", "127.0.0.7"]
    names["other.example"] = ["127.0.0.8"]

    async def main() -> None:
        async with peer() as far:
            far.send("INVITE", at("media.example"))
            assert await far.status("1 INVITE") == 200
            far.send("ACK", cseq=1)
            far.send("INVITE", at(HOST, extra="c=IN IP4 other.example\r\n", version=2))
            assert await far.status("2 INVITE") == 200
            far.send("ACK", cseq=2)
            assert far.media() == [("127.0.0.7", False), ("127.0.0.8", False)]

    run_clean(main())


def test_hold_by_the_address_of_nowhere_looks_nothing_up(names: dict[str, list[str]], run_clean: Any) -> None:
    """RFC 3264 section 8.4: 0.0.0.0 in the section, a name in the session that nobody needs then."""
    names["media.example"] = ["127.0.0.7"]

    async def main() -> None:
        async with peer() as far:
            far.send("INVITE", at("media.example"))
            assert await far.status("1 INVITE") == 200
            far.send("ACK", cseq=1)
            far.send("INVITE", at("gone.example", extra="c=IN IP4 0.0.0.0\r\n", version=2))
            assert await far.status("2 INVITE") == 200
            far.send("ACK", cseq=2)
            far.send("INVITE", at("media.example", version=3))
            assert await far.status("3 INVITE") == 200
            far.send("ACK", cseq=3)
            assert [hold for _, hold in far.media()] == [False, True, False]

    run_clean(main())


@pytest.mark.parametrize("name", ["gone.example", "mute.example", "six.example"])
def test_a_name_that_leads_nowhere_is_refused_with_the_reason(
    name: str, names: dict[str, list[str]], run_clean: Any
) -> None:
    """RFC 3261 section 21.4.26: 488, with a Warning that says why."""
    names["six.example"] = ["2001:db8::7"]

    async def main() -> None:
        async with peer() as far:
            far.send("INVITE", at(name))
            assert await far.status("1 INVITE") == 488
            refusal = far.received[-1]
            assert f"wants media at {name}" in (refusal.headers.get("Warning") or "")

    run_clean(main())


def test_what_follows_of_the_call_waits_and_other_calls_do_not(
    names: dict[str, list[str]], run_clean: Any
) -> None:
    """RFC 3261 section 9.2: a CANCEL that overtook its INVITE would cancel nothing."""
    names["slow.example"] = ["127.0.0.7"]

    async def main() -> None:
        async with peer() as far:
            far.endpoint.answer = lambda *_, **__: None  # type: ignore[method-assign]
            far.send("INVITE", at("slow.example"), branch="z9hG4bKone")
            far.send("INVITE", at("slow.example"), cseq=1, branch="z9hG4bKone")  # again, as nobody answers
            far.send("CANCEL", cseq=1, branch="z9hG4bKone")
            far.send("OPTIONS", Call_ID="another")
            assert await far.status("2 OPTIONS") == 200
            assert far.events == []
            assert await far.status("1 INVITE") == 487
            ended = await far.until(lambda one: isinstance(one, Ended))
            assert ended.cause is EndCause.CANCELLED
            assert sum(isinstance(event, IncomingCall) for event in far.events) == 1

    run_clean(main())
