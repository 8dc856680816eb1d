"""HTTP requests to addresses that somebody else configured: webhooks, webhook tools.

Whoever may enter a URL must not reach through us what only we can reach. So a host name is resolved once, every address is
checked, and the connection goes to a checked address; the name serves for TLS and the `Host` header only. Redirects are
not followed, proxies of the environment are not used, and answers are read up to a limit.

Sources: OWASP Server-Side Request Forgery Prevention Cheat Sheet; IANA special-purpose address registries (RFC 6890);
Standard Webhooks specification for `sign`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import hashlib
import hmac
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import AntiphonError, ConfigurationError

if TYPE_CHECKING:
    import httpx

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Spelled out, because what `ipaddress` counts as global differs between versions of Python.
_NOT_PUBLIC_IPV4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
        "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's metadata; that of others is link-local or private
    )
)  # fmt: skip
_PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_IPV6 = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "3fff::/20"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_OUR_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})


class OutboundError(AntiphonError):
    """A request got no usable answer.

    Attributes:
        retryable: whether the same request may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class TargetRefused(OutboundError):
    """A URL leads where it must not."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


@dataclass(frozen=True)
class OutboundPolicy:
    """Where requests may go beyond the public internet.

    Attributes:
        allowed_networks: CIDR ranges, as `"10.20.0.0/16"`, that are allowed although they are not public.
        max_response: bytes of an answer that are read; a longer one is an error.
    """

    allowed_networks: Sequence[str] = ()
    max_response: int = 64 * 1024
    _networks: tuple[Network, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        try:
            networks = tuple(ipaddress.ip_network(text) for text in self.allowed_networks)
        except ValueError as error:
            raise ConfigurationError(
                f"allowed_networks: {error}; write networks as 10.20.0.0/16 or one address as 10.20.0.7"
            ) from None
        object.__setattr__(self, "_networks", networks)

    def allows(self, address: Address) -> bool:
        """Whether a connection to `address` is allowed."""
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        same = [candidate for candidate in (address, mapped) if candidate is not None]
        if any(
            one.version == network.version and one in network for network in self._networks for one in same
        ):
            return True
        return is_public(address)


@dataclass(frozen=True)
class OutboundResponse:
    """An answer, of whatever status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet.

    An IPv6 address that stands for an IPv4 address (mapped, 6to4, NAT64) is judged by that one.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_IPV4)
    inner = address.ipv4_mapped or address.sixtofour
    if address in _NAT64:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if inner is not None:
        return is_public(inner)
    return address in _PUBLIC_IPV6 and not any(address in network for network in _NOT_PUBLIC_IPV6)


async def resolve(host: str, port: int, policy: OutboundPolicy) -> list[Address]:
    """Look a host up and check where it leads.

    Returns:
        Its addresses, all of them allowed.

    Raises:
        TargetRefused: one of them is not allowed.
        OutboundError: the name is not known.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OutboundError(f"{host} cannot be resolved: {error}") from error
    addresses = list(dict.fromkeys(_parse(str(info[4][0])) for info in found))
    for address in addresses:
        if not policy.allows(address):
            raise TargetRefused(
                f"{host} leads to {address}, which is not a public address; "
                "allow its network with allowed_networks if that is intended"
            )
    return addresses


def _parse(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


async def post(
    url: str,
    content: bytes,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    policy: OutboundPolicy | None = None,
    read_body: bool = True,
) -> OutboundResponse:
    """POST `content` to `url`, once.

    Args:
        url: `http` or `https`, without user name and password.
        content: the body.
        headers: beside those of the connection itself, which cannot be replaced.
        timeout: seconds for all of it, looking the name up included.
        policy: where it may go.
        read_body: False: status and headers are all of the answer that counts, and its body is left out.

    Returns:
        The answer, whatever its status; a redirect too.

    Raises:
        TargetRefused: the URL is of another kind, or leads to an address that is not allowed.
        OutboundError: no answer came, in time and within the limit of its length.
    """
    policy = policy or OutboundPolicy()
    tls = await asyncio.to_thread(_tls)
    import httpx

    target = parse_url(url)
    port = target.port or (443 if target.scheme == "https" else 80)
    try:
        async with asyncio.timeout(timeout):
            addresses = await resolve(target.raw_host.decode("ascii"), port, policy)
            client = httpx.AsyncClient(verify=tls, trust_env=False, follow_redirects=False, timeout=timeout)
            async with client, _connect(client, target, addresses, content, headers or {}) as response:
                body = await _read(response, policy.max_response) if read_body else b""
                return OutboundResponse(response.status_code, dict(response.headers), body)
    except TimeoutError as error:
        raise OutboundError(f"{target.host} did not answer within {timeout:g} seconds") from error
    except UnicodeError as error:
        raise OutboundError("a header is not plain ASCII", retryable=False) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise OutboundError(f"{target.host} did not answer: {type(error).__name__}: {error}") from error


@functools.cache
def _tls() -> ssl.SSLContext:
    """Load the HTTP client and the trusted certificates: tens of milliseconds, in a thread, and once."""
    import httpx

    return httpx.create_ssl_context(trust_env=False)


def parse_url(url: str) -> httpx.URL:
    """A URL that `post` takes; raises TargetRefused. Where it leads is another matter."""
    import httpx

    try:
        target = httpx.URL(url)
        host = target.host
    except (httpx.InvalidURL, UnicodeError) as error:  # the latter: a host that no name can have
        raise TargetRefused(f"{url!r} is no URL: {error}") from None
    if target.scheme not in ("http", "https") or not host:
        raise TargetRefused(f"{url!r}: only http and https URLs with a host are called")
    if target.userinfo:
        raise TargetRefused(f"the URL of {target.host} has a user name in it; send credentials in a header")
    return target


@asynccontextmanager
async def _connect(
    client: httpx.AsyncClient,
    target: httpx.URL,
    addresses: Sequence[Address],
    content: bytes,
    headers: Mapping[str, str],
) -> AsyncIterator[httpx.Response]:
    """Send to the first address that takes the connection; nothing was sent to those that did not."""
    import httpx

    fixed: dict[str, Any] = {
        name: value for name, value in headers.items() if name.lower() not in _OUR_HEADERS
    }
    fixed |= {"Host": target.netloc.decode("ascii"), "Accept-Encoding": "identity"}
    for index, address in enumerate(addresses):
        request = client.build_request(
            "POST",
            target.copy_with(host=str(address)),
            content=content,
            headers=fixed,
            extensions={"timeout": client.timeout.as_dict(), "sni_hostname": target.raw_host.decode("ascii")},
        )
        try:
            response = await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if index == len(addresses) - 1:
                raise
            continue
        try:
            yield response
        finally:
            await response.aclose()
        return


async def _read(response: httpx.Response, limit: int) -> bytes:
    """Raw bytes: an answer that is compressed all the same could be far longer than it looks."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit:
            raise OutboundError(f"the answer is longer than {limit} bytes", retryable=False)
    return bytes(body)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver knows that a message is ours and fresh.

    Args:
        secret: `whsec_` and base64 of the key, or any other text, whose UTF-8 is the key.
        message_id: the same for every attempt to deliver one message.
        timestamp: of this attempt, seconds since 1970.
        body: as it is sent.

    Raises:
        ConfigurationError: the secret is empty, or begins with `whsec_` and is not base64.

    Source: Standard Webhooks, "Signature scheme": HMAC-SHA256 over `id.timestamp.body`.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(signing_key(secret), signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def signing_key(secret: str) -> bytes:
    """The bytes of a secret; raises ConfigurationError as `sign` does."""
    if not secret:
        raise ConfigurationError("the webhook secret is empty; make one, or leave it out to send unsigned")
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ConfigurationError("the webhook secret begins with whsec_, but base64 must follow")
    return key
