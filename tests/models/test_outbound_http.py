"""Requests to URLs that others configured go to public addresses only."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.models import outbound_http
from antiphon.models.errors import ConfigurationError
from antiphon.models.outbound_http import OutboundError, OutboundPolicy, TargetRefused, is_public, post, sign

pytestmark = pytest.mark.needs("httpx")

LOCAL = OutboundPolicy(allowed_networks=["127.0.0.0/8"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.9", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.168.1.1", "198.18.0.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "fe80::1", "fec0::1",
    "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "64:ff9b::7f00:1",
    "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001:0:7f00:1::",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "192.167.0.1", "223.255.255.1",
    "2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_refused(address: str) -> None:
    parsed = ipaddress.ip_address(address)
    assert not is_public(parsed)
    assert not OutboundPolicy().allows(parsed)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_is_allowed(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_every_ipv6_form(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    forms = [
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80 | 1),
        ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) | number),
    ]
    assert {is_public(form) for form in forms} == {is_public(address)}


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (["10.20.0.0/16"], "10.20.3.4", True),
        (["10.20.0.0/16"], "::ffff:10.20.3.4", True),
        (["10.20.0.0/16"], "10.21.0.1", False),
        (["10.20.0.0/16"], "::1", False),
        (["fd00::/8"], "fd12::1", True),
        (["127.0.0.1"], "127.0.0.2", False),
    ],
)
def test_an_allow_list_opens_its_networks_only(networks: list[str], address: str, allowed: bool) -> None:
    assert OutboundPolicy(allowed_networks=networks).allows(ipaddress.ip_address(address)) is allowed


def test_a_network_that_is_none_is_told() -> None:
    with pytest.raises(ConfigurationError, match="allowed_networks"):
        OutboundPolicy(allowed_networks=["intranet"])


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/x", "file:///etc/passwd", "gopher://127.0.0.1/", "example.com", "http://", "http://u:p@127.0.0.1/",
        "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://2130706433/", "http://0x7f.1/", "http://0/",
        "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest/meta-data/", "http://127.1/", "http://xn--.com/",
    ],
)  # fmt: skip
def test_urls_that_lead_inside_are_refused(url: str) -> None:
    with pytest.raises(TargetRefused):
        asyncio.run(post(url, b""))


# -- against a server --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serve(answer: bytes | None, requests: list[bytes]) -> AsyncIterator[int]:
    """Answers every request with `answer`; None: never."""
    forever = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        requests.append(head + await reader.readexactly(length))
        if answer is None:
            await forever.wait()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        forever.set()
        server.close()


def ask(
    answer: bytes | None, *, path: str = "/hook", host: str = "127.0.0.1", **options: Any
) -> tuple[Any, list[bytes]]:
    requests: list[bytes] = []

    async def run() -> Any:
        async with serve(answer, requests) as port:
            return await post(
                f"http://{host}:{port}{path}", b"{}", **{"policy": LOCAL, "timeout": 5.0, **options}
            )

    return asyncio.run(run()), requests


def test_the_body_and_headers_arrive() -> None:
    response, requests = ask(OK, headers={"X-Key": "1", "Host": "evil", "Content-Length": "99"})
    assert (response.status, response.body, response.ok) == (200, b"ok", True)
    head = requests[0].lower()
    assert head.startswith(b"post /hook http/1.1\r\n")
    assert head.endswith(b"{}")
    assert b"x-key: 1" in head
    assert b"host: 127.0.0.1:" in head
    assert b"evil" not in head


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    response, requests = ask(
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/secret\r\nContent-Length: 0\r\n\r\n"
    )
    assert response.status == 302
    assert not response.ok
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "within"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, "longer"),
        (b"nonsense\r\n\r\n", "did not answer"),
    ],
)
def test_no_usable_answer_is_an_error(answer: bytes | None, message: str) -> None:
    with pytest.raises(OutboundError, match=message):
        ask(answer, timeout=0.3, policy=OutboundPolicy(["127.0.0.0/8"], max_response=1000))


def test_a_header_that_cannot_be_sent_is_an_error_for_good() -> None:
    with pytest.raises(OutboundError, match="ASCII") as caught:
        ask(b"HTTP/1.1 204 X\r\n\r\n", headers={"X-Name": "Zoë"})
    assert not caught.value.retryable


def resolving(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names resolve to `answers`, one list a look-up; returns the look-ups made."""
    asked: list[str] = []
    left = list(answers)

    async def getaddrinfo(_loop: Any, host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = left.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


def test_a_name_is_looked_up_once_and_its_checked_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real: Callable[..., Any] = asyncio.BaseEventLoop.getaddrinfo

    async def getaddrinfo(loop: Any, host: str, port: int, **rest: Any) -> Any:
        if not host.endswith("example"):
            return await real(loop, host, port, **rest)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.9"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    response, requests = ask(OK, host="hooks.example")
    assert response.ok
    assert asked == ["hooks.example"]
    assert b"host: hooks.example:" in requests[0].lower()


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    resolving(monkeypatch, ["93.184.216.34", "10.0.0.5"])
    with pytest.raises(TargetRefused, match=r"10\.0\.0\.5"):
        asyncio.run(post("https://hooks.example/x", b""))


def test_the_next_address_is_tried_when_one_takes_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async def two(host: str, port: int, policy: OutboundPolicy) -> Any:
        return [ipaddress.ip_address("127.0.0.2"), ipaddress.ip_address("127.0.0.1")]

    monkeypatch.setattr(outbound_http, "resolve", two)
    response, requests = ask(OK, host="hooks.example")
    assert response.ok
    assert len(requests) == 1


def test_a_name_in_other_letters_is_looked_up_as_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolving(monkeypatch, ["10.0.0.1"])
    with pytest.raises(TargetRefused):
        asyncio.run(post("http://münchen.example/", b""))
    assert asked == ["xn--mnchen-3ya.example"]


@pytest.mark.needs("cryptography")
def test_tls_asks_for_the_name_and_trusts_no_unknown_certificate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from antiphon.server.tls import self_signed

    certificate = self_signed("hooks.example", tmp_path)
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    context.sni_callback = lambda _socket, name, _context: names.append(name)

    async def here(host: str, port: int, policy: OutboundPolicy) -> Any:
        return [ipaddress.ip_address("127.0.0.1")]

    async def ask_over_tls(tls: ssl.SSLContext) -> Any:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await writer.drain()
            writer.close()

        monkeypatch.setattr(outbound_http, "_tls", lambda: tls)
        server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
        try:
            port = server.sockets[0].getsockname()[1]
            return await post(f"https://hooks.example:{port}/", b"", timeout=5.0)
        finally:
            server.close()

    monkeypatch.setattr(outbound_http, "resolve", here)
    with pytest.raises(OutboundError, match=r"(?i)certificate"):
        asyncio.run(ask_over_tls(outbound_http._tls()))
    trusting = ssl.create_default_context(cafile=str(certificate.cert))
    assert asyncio.run(ask_over_tls(trusting)).ok
    assert names == ["hooks.example", "hooks.example"]


# -- signatures --------------------------------------------------------------------------------------------------------


def test_a_signature_is_that_of_the_published_example() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.needs("standardwebhooks")
def test_the_reference_library_accepts_signatures() -> None:
    import time

    import standardwebhooks

    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()
    headers = sign(secret, "msg_1", int(time.time()), b'{"a":1}')
    assert standardwebhooks.Webhook(secret).verify(b'{"a":1}', headers) == {"a": 1}


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_***"])
def test_a_secret_that_is_none_is_told(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        sign(secret, "m", 0, b"")
