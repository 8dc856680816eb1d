"""Where a host's SIP servers are. Source: RFC 3263 section 4.2 (without NAPTR: the transport is always known here); RFC 2782."""

from __future__ import annotations

import asyncio
import ipaddress
import random

from ..effects import Hop, Server

LOOKUP_SECONDS = 5.0
SERVICE_SECONDS = 2.0  # for the service; a name server that says nothing must not cost the call
_CACHED_SECONDS = 30.0
_MOST_CACHED = 1000
_MOST_SERVERS = 10
_SERVICES = {"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"}


def is_address(host: str) -> bool:
    """Whether `host` is an IP address, so that nothing needs to be looked up."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def usual_port(transport: str) -> int:
    """RFC 3261 section 19.1.2."""
    return 5061 if transport == "TLS" else 5060


class Resolver:
    """Looks names up, and remembers the answers for a short while."""

    def __init__(self) -> None:
        self._cache: dict[tuple[str, str, int], tuple[float, list[Server]]] = {}
        self._avoided: dict[Server, float] = {}
        self._seed = random.random()

    def avoid(self, server: Server, seconds: float) -> None:
        """A server failed: for so many seconds it comes after the others of its name."""
        if len(self._avoided) >= _MOST_CACHED:
            self._avoided.clear()
        self._avoided[server] = asyncio.get_running_loop().time() + seconds

    def _in_order(self, servers: list[Server]) -> list[Server]:
        now = asyncio.get_running_loop().time()
        return sorted(servers, key=lambda server: self._avoided.get(server, 0.0) > now)

    async def servers(self, hop: Hop) -> list[Server]:
        """Addresses and ports that a hop leads to, at least one, the one to be tried first first.

        A name without a port is looked up as a service (SRV), and as a host if there is no such service.

        Raises:
            OSError: there are none, or the look-up took too long.
        """
        if is_address(hop.host):
            return [(hop.host, hop.port or usual_port(hop.transport))]
        loop = asyncio.get_running_loop()
        key = (hop.transport, hop.host, hop.port)
        known = self._cache.get(key)
        if known is not None and known[0] > loop.time():
            return self._in_order(known[1])
        named = [(hop.host, hop.port or usual_port(hop.transport))]
        if not hop.port and "." in hop.host:
            named = await self._service(hop) or named
        found: dict[Server, None] = {}
        error: OSError | None = None
        for host, port in named:
            try:
                found |= dict.fromkeys((address, port) for address in await _addresses(host, hop.transport))
            except OSError as failure:
                error = failure
        if not found:
            raise error or OSError(f"{hop.host} has no address")
        if len(self._cache) >= _MOST_CACHED:
            self._cache.clear()
        self._cache[key] = (loop.time() + _CACHED_SECONDS, list(found))
        return self._in_order(list(found))

    async def address(self, host: str, version: int) -> str:
        """The first address of a host.

        Args:
            version: 4 or 6.

        Raises:
            OSError: it has none of that version, or the look-up took too long.
        """
        found = [one for one, _ in await self.servers(Hop("UDP", host, 1)) if (":" in one) == (version == 6)]
        if not found:
            raise OSError(f"it has no IPv{version} address")
        return found[0]

    async def _service(self, hop: Hop) -> list[Server]:
        """Hosts and ports of the SRV records; none if there is no such service or nobody to ask."""
        import dns.asyncresolver
        import dns.exception
        import dns.rdtypes.IN.SRV

        name = f"{_SERVICES[hop.transport]}.{hop.host.rstrip('.')}."
        try:
            answer = await dns.asyncresolver.resolve(name, "SRV", lifetime=SERVICE_SECONDS)
        except (dns.exception.DNSException, OSError):
            return []
        records = [record for record in answer if isinstance(record, dns.rdtypes.IN.SRV.SRV)]
        # The same order each time within a process, so that a CANCEL goes where its INVITE went.
        chosen = random.Random(f"{self._seed}{name}")
        records.sort(key=lambda one: (str(one.target), one.port))
        records.sort(key=lambda one: (one.priority, -(chosen.random() ** (1 / max(one.weight, 0.01)))))
        servers = [(str(one.target).rstrip("."), one.port) for one in records[:_MOST_SERVERS]]
        return [server for server in servers if server[0]]


async def _addresses(host: str, transport: str) -> list[str]:
    kind = 2 if transport == "UDP" else 1  # socket.SOCK_DGRAM, socket.SOCK_STREAM
    async with asyncio.timeout(LOOKUP_SECONDS):
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=kind)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
