"""The sockets of a user agent: RFC 3261 section 18 over UDP, TCP and TLS on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from antiphon.sip.admission import Admission
from antiphon.sip.call import CallRequest
from antiphon.sip.events import (
    Answered,
    EndCause,
    Ended,
    IncomingCall,
    MediaChanged,
    PingAnswered,
    Rejected,
    SipEvent,
)
from antiphon.sip.headers import NameAddr
from antiphon.sip.offer_answer import LocalMedia
from antiphon.sip.stack import UserAgentOptions
from antiphon.sip.transport import Listener, SipEndpoint
from antiphon.sip.uri import SipUri, address_uri

HOST = "127.0.0.1"
MEDIA = LocalMedia(HOST, 20000)
ME = NameAddr(address_uri("sip:me@example.com"))


class Phone:
    """An endpoint, and what happened on it."""

    def __init__(self) -> None:
        self.endpoint: SipEndpoint
        self.events: list[SipEvent] = []
        self.answers = True
        self._news = asyncio.Event()

    def on_event(self, event: SipEvent) -> None:
        self.events.append(event)
        if isinstance(event, IncomingCall) and self.answers:
            self.endpoint.ring(event.call)
            self.endpoint.answer(event.call, MEDIA)
        self._news.set()

    async def wait_for(self, kind: type[Any], count: int = 1) -> Any:
        async with asyncio.timeout(5.0):
            while sum(isinstance(event, kind) for event in self.events) < count:
                self._news.clear()
                await self._news.wait()
        return [event for event in self.events if isinstance(event, kind)][-1]

    def uri(self, transport: str) -> SipUri:
        host, port = self.endpoint.addresses[transport]
        params = {} if transport == "UDP" else {"transport": transport.lower()}
        return SipUri(host, "bank", port, params=dict(params))


@contextlib.asynccontextmanager
async def phones(
    *listeners: Listener,
    admission: Admission | None = None,
    tls: Callable[[str], ssl.SSLContext] | None = None,
) -> AsyncIterator[tuple[Phone, Phone]]:
    """A caller and a callee on the loopback interface."""
    caller, callee = Phone(), Phone()
    wanted = list(listeners) or [Listener("UDP", HOST, 0), Listener("TCP", HOST, 0)]
    callee.endpoint = await SipEndpoint.start(
        wanted, callee.on_event, admission=admission or Admission(everyone=True)
    )
    caller.endpoint = await SipEndpoint.start(
        [Listener("UDP", HOST, 0), Listener("TCP", HOST, 0)],
        caller.on_event,
        admission=Admission(),
        tls_context=tls,
        options=UserAgentOptions({}, session_expires=90),
    )
    try:
        yield caller, callee
    finally:
        await caller.endpoint.aclose(drain=2.0)
        await callee.endpoint.aclose(drain=2.0)


async def whole_call(caller: Phone, callee: Phone, transport: str) -> None:
    call = caller.endpoint.place_call(CallRequest(callee.uri(transport), ME, MEDIA))
    await caller.wait_for(Answered)
    await callee.wait_for(Answered)
    assert (await callee.wait_for(MediaChanged)).media.codec == "PCMU"
    caller.endpoint.hang_up(call)
    assert (await callee.wait_for(Ended)).cause is EndCause.PEER_HUNG_UP
    assert (await caller.wait_for(Ended)).cause is EndCause.LOCAL


@pytest.mark.parametrize("transport", ["UDP", "TCP"])
def test_a_whole_call(transport: str) -> None:
    """RFC 3261 section 18."""

    async def run() -> None:
        async with phones() as (caller, callee):
            await whole_call(caller, callee, transport)

    asyncio.run(run())


def test_the_callee_hangs_up_by_the_connection_that_the_caller_opened() -> None:
    """RFC 3261 section 18.1.1: a caller behind a NAT can be reached in no other way."""

    async def run() -> None:
        async with phones() as (caller, callee):
            caller.endpoint.place_call(CallRequest(callee.uri("TCP"), ME, MEDIA))
            call = (await callee.wait_for(Answered)).call
            callee.endpoint.hang_up(call)
            assert (await caller.wait_for(Ended)).cause is EndCause.PEER_HUNG_UP
            assert len(callee.endpoint._connector.open) == 1

    asyncio.run(run())


def test_calls_share_a_connection() -> None:
    """RFC 3261 section 18.1.1: connections are used again."""

    async def run() -> None:
        async with phones() as (caller, callee):
            for _ in range(5):
                caller.endpoint.place_call(CallRequest(callee.uri("TCP"), ME, MEDIA))
            await caller.wait_for(Answered, 5)
            assert len(callee.endpoint._connector.open) == 1

    asyncio.run(run())


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(name)]
    with contextlib.suppress(ValueError):
        names = [x509.IPAddress(ipaddress.ip_address(name))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file


@pytest.mark.parametrize(
    ("name", "trusted", "works"), [(HOST, True, True), ("other.example", True, False), (HOST, False, False)]
)
def test_tls_verifies_authority_and_name(tmp_path: Path, name: str, trusted: bool, works: bool) -> None:
    """RFC 3261 section 26.3.2, RFC 5922 section 7.1."""
    cert_file, key_file = certificate(tmp_path, name)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert_file, key_file)

    def client(_: str) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(cert_file) if trusted else None)

    async def run() -> None:
        listener = Listener("TLS", HOST, 0, tls=server)
        async with phones(listener, tls=client) as (caller, callee):
            if works:
                await whole_call(caller, callee, "TLS")
            else:
                caller.endpoint.place_call(CallRequest(callee.uri("TLS"), ME, MEDIA))
                assert (await caller.wait_for(Rejected)).code == 503
                assert callee.events == []

    asyncio.run(run())


def test_tls_stays_with_the_connection_whose_name_was_verified(tmp_path: Path) -> None:
    """RFC 5922 section 7: a Contact with a bare address cannot be verified anew."""
    cert_file, key_file = certificate(tmp_path, "localhost")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert_file, key_file)

    async def run() -> None:
        listener = Listener("TLS", HOST, 0, advertised=("192.0.2.77", 5061), tls=server)
        context = ssl.create_default_context(cafile=str(cert_file))
        async with phones(listener, tls=lambda _: context) as (caller, callee):
            port = callee.endpoint._servers[0].sockets[0].getsockname()[1]
            target = SipUri("localhost", "bank", port, "sips")
            call = caller.endpoint.place_call(CallRequest(target, ME, MEDIA))
            await callee.wait_for(Answered)
            caller.endpoint.hang_up(call)
            assert (await callee.wait_for(Ended)).cause is EndCause.PEER_HUNG_UP

    asyncio.run(run())


def test_calls_to_one_name_share_the_connection_that_was_verified_for_it(tmp_path: Path) -> None:
    """RFC 3261 section 18.1.1, RFC 5922 section 7: not that of another name at the same address."""
    pairs = [certificate(tmp_path, name) for name in ("localhost", "other.example")]
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*pairs[0])

    async def run() -> None:
        context = ssl.create_default_context(cafile=str(pairs[0][0]))
        async with phones(Listener("TLS", HOST, 0, tls=server), tls=lambda _: context) as (caller, callee):
            port = callee.endpoint.addresses["TLS"][1]
            for number in range(1, 4):
                call = caller.endpoint.place_call(
                    CallRequest(SipUri("localhost", "bank", port, "sips"), ME, MEDIA)
                )
                await callee.wait_for(Answered, number)
                caller.endpoint.hang_up(call)
                await caller.wait_for(Ended, number)
            assert len(callee.endpoint._connector.open) == 1
            caller.endpoint._resolver._cache["TLS", "other.example", port] = (1e12, [(HOST, port)])
            caller.endpoint.place_call(CallRequest(SipUri("other.example", "bank", port, "sips"), ME, MEDIA))
            assert (await caller.wait_for(Rejected)).code == 503

    asyncio.run(run())


def test_listening_on_every_address_tells_one_that_can_be_reached() -> None:
    """RFC 3261 section 8.1.1.8: a Contact of 0.0.0.0 leads nowhere."""

    async def run() -> None:
        async with phones(Listener("UDP", "0.0.0.0", 0)) as (_, callee):
            assert callee.endpoint.addresses["UDP"][0] not in ("0.0.0.0", "")

    asyncio.run(run())


def test_tls_names_the_host_it_wants() -> None:
    """RFC 6066 section 3: SNI."""
    asked: list[str] = []

    def client(host: str) -> ssl.SSLContext:
        asked.append(host)
        return ssl.create_default_context()

    async def run() -> None:
        async with phones(tls=client) as (caller, _):
            caller.endpoint.place_call(CallRequest(SipUri("localhost", "a", 9, "sips"), ME, MEDIA))
            await caller.wait_for(Rejected)

    asyncio.run(run())
    assert asked == ["localhost"]


@pytest.mark.parametrize(
    "uri", ["sip:a@127.0.0.1:9;transport=tcp", "sip:a@nowhere.invalid", "sip:a@nowhere.invalid;transport=tcp"]
)
def test_what_cannot_be_reached_is_a_503(uri: str) -> None:
    """RFC 3261 section 8.1.3.1."""

    async def run() -> None:
        async with phones() as (caller, _):
            caller.endpoint.place_call(CallRequest(address_uri(uri), ME, MEDIA))
            assert (await caller.wait_for(Rejected)).code == 503

    asyncio.run(run())


def test_strangers_get_no_reply_at_all() -> None:
    """Specification, guard rails: counted and logged, never answered, by datagram or connection."""
    options = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1;rport\r\nFrom: <sip:a@b>;tag=1\r\n"
    options += b"To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"

    async def run() -> None:
        admission = Admission({"carrier": ["192.0.2.0/24"]})
        async with phones(admission=admission) as (_, callee):
            loop = asyncio.get_running_loop()
            replies: list[bytes] = []

            class Scanner(asyncio.DatagramProtocol):
                def datagram_received(self, data: bytes, addr: Any) -> None:
                    replies.append(data)

            transport, _protocol = await loop.create_datagram_endpoint(
                Scanner, remote_addr=callee.endpoint.addresses["UDP"]
            )
            for message in (options, options.replace(b"OPTIONS", b"INVITE"), b"garbage", b"\r\n\r\n"):
                transport.sendto(message)
            reader, writer = await asyncio.open_connection(*callee.endpoint.addresses["TCP"])
            with contextlib.suppress(ConnectionError):
                writer.write(options)
                assert await asyncio.wait_for(reader.read(), 2.0) == b""
            writer.close()
            transport.close()
            assert replies == []
            assert callee.events == []
            assert admission.refused >= 5

    asyncio.run(run())


def test_a_stream_is_answered_ping_for_ping_and_closed_on_garbage() -> None:
    """RFC 5626 section 3.5.1; RFC 3261 section 18.3."""

    async def run() -> None:
        async with phones() as (_, callee):
            reader, writer = await asyncio.open_connection(*callee.endpoint.addresses["TCP"])
            writer.write(b"\r\n\r\n")
            assert await asyncio.wait_for(reader.readexactly(2), 2.0) == b"\r\n"
            writer.write(b"INVITE sip:a@b SIP/2.0\r\nContent-Length: -5\r\n\r\n")
            assert await asyncio.wait_for(reader.read(), 2.0) == b""
            writer.close()
            assert callee.endpoint._connector.open == []

    asyncio.run(run())


def test_a_ping_is_answered() -> None:
    """RFC 3261 section 11."""

    async def run() -> None:
        async with phones() as (caller, callee):
            ping = caller.endpoint.ping(callee.uri("UDP"))
            assert await caller.wait_for(PingAnswered) == PingAnswered(ping, 200)

    asyncio.run(run())


def test_closing_hangs_up_first() -> None:
    """Specification: hang-up always reaches the wire."""

    async def run() -> None:
        async with phones() as (caller, callee):
            caller.endpoint.place_call(CallRequest(callee.uri("UDP"), ME, MEDIA))
            await callee.wait_for(Answered)
            await caller.endpoint.aclose()
            assert (await callee.wait_for(Ended)).cause is EndCause.PEER_HUNG_UP

    asyncio.run(run())


def test_a_failing_user_does_not_stop_the_rest() -> None:
    async def run() -> None:
        async with phones() as (caller, callee):
            seen: list[str] = []
            asyncio.get_running_loop().set_exception_handler(
                lambda _, context: seen.append(context["message"])
            )
            good = callee.on_event

            def bad(event: SipEvent) -> None:
                good(event)
                raise RuntimeError("the user failed")

            callee.endpoint._on_event = bad
            await whole_call(caller, callee, "UDP")
            assert len(seen) >= 3

    asyncio.run(run())


def test_nothing_is_left_after_many_calls() -> None:
    """Issue: no leak of tasks, timers or dialogs."""

    async def run() -> None:
        async with phones() as (caller, callee):
            for number in range(40):
                transport = "TCP" if number % 2 else "UDP"
                caller.endpoint.place_call(CallRequest(callee.uri(transport), ME, MEDIA))
            await caller.wait_for(Answered, 40)
            await callee.wait_for(Answered, 40)
            for call in caller.endpoint.user_agent.calls:
                caller.endpoint.hang_up(call)
            await callee.wait_for(Ended, 40)
            await caller.wait_for(Ended, 40)
            async with asyncio.timeout(5.0):
                while not (caller.endpoint.user_agent.is_idle and callee.endpoint.user_agent.is_idle):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # the last 200 to a BYE
            for phone in (caller, callee):
                assert phone.endpoint.user_agent.calls == []
                assert phone.endpoint.user_agent._stack.dialogs == {}
                assert phone.endpoint._tasks == set()
                assert not any(key[0] == "call" for key in phone.endpoint._timers)

    asyncio.run(run())


def test_an_address_that_is_taken_is_said_and_nothing_is_left_open() -> None:
    async def run() -> None:
        async with phones() as (_, callee):
            port = callee.endpoint.addresses["UDP"][1]
            with pytest.raises(OSError, match="already in use"):
                await SipEndpoint.start(
                    [Listener("UDP", HOST, 0), Listener("UDP", HOST, port)], print, admission=Admission()
                )
            with pytest.raises(OSError, match="no certificate"):
                await SipEndpoint.start([Listener("TLS", HOST, 0)], print, admission=Admission())

    asyncio.run(run())
