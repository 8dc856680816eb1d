"""Opens connections where a hop leads, and finds the open ones again.

A hop's own connection is used if it leads to the same host, whatever its port: peers take requests on the connection that they
opened. Source: RFC 3261 section 18.1.1; RFC 5922 (the certificate carries the name that was asked for).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import replace

from ..effects import Hop
from .resolver import Resolver, is_address
from .stream import Connections, StreamConnection

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
HANDSHAKE_SECONDS = 5.0
TlsContexts = Callable[[str], ssl.SSLContext]
TlsNames = Callable[[str], str]


class Connector:
    """Owns the stream connections of an endpoint."""

    def __init__(
        self, owner: Connections, resolver: Resolver, tls_context: TlsContexts, tls_name: TlsNames = str
    ) -> None:
        self._owner = owner
        self._resolver = resolver
        self._tls_context = tls_context
        self._tls_name = tls_name
        self._open: dict[int, StreamConnection] = {}
        self._opening: dict[Hop, asyncio.Future[StreamConnection | None]] = {}
        self._numbers = 0

    @property
    def open(self) -> list[StreamConnection]:
        """All open connections."""
        return list(self._open.values())

    def new(self, transport_name: str, *, ours: bool) -> StreamConnection:
        """A connection object for a socket that is there or will be."""
        self._numbers += 1
        return StreamConnection(self._owner, transport_name, self._numbers, ours=ours)

    def add(self, connection: StreamConnection) -> None:
        """It is open."""
        self._open[connection.number] = connection

    def remove(self, connection: StreamConnection) -> None:
        """It is closed."""
        self._open.pop(connection.number, None)

    def count_from(self, host: str) -> int:
        """How many connections there are with a host."""
        return sum(connection.peer[0] == host for connection in self._open.values())

    def find(self, hop: Hop) -> StreamConnection | None:
        """An open connection that leads to the hop."""
        named = self._open.get(hop.connection)
        if named is not None and named.is_open:
            # No certificate vouches for a bare address, so TLS stays with the connection whose name was verified.
            unverifiable = hop.transport == "TLS" and named.transport_name == "TLS"
            if named.peer[0] == hop.host or not is_address(hop.host) or unverifiable:
                return named
        wanted = hop.server or (hop.host, hop.port)
        for connection in self._open.values():
            fits = connection.transport_name == hop.transport and connection.is_open
            vouched = hop.transport != "TLS" or hop.server is None or connection.verified == hop.host
            if fits and vouched and connection.peer == wanted:
                return connection
        return None

    def last_resort(self, hop: Hop) -> StreamConnection | None:
        """The hop's connection although it leads elsewhere: the peer may be behind a NAT."""
        named = self._open.get(hop.connection)
        return named if named is not None and named.is_open else None

    async def connect(self, hop: Hop) -> StreamConnection | None:
        """An open connection to the hop, shared by all who wait for the same; None: it could not be made."""
        key = replace(hop, connection=0)
        waiting = self._opening.get(key)
        if waiting is not None:
            return await asyncio.shield(waiting)
        future: asyncio.Future[StreamConnection | None] = asyncio.get_running_loop().create_future()
        self._opening[key] = future
        connection: StreamConnection | None = None
        try:
            connection = await self._connect(hop)
        finally:
            del self._opening[key]
            future.set_result(connection)
        return connection

    async def _connect(self, hop: Hop) -> StreamConnection | None:
        loop = asyncio.get_running_loop()
        try:
            servers = [hop.server] if hop.server else await self._resolver.servers(hop)
        except (OSError, UnicodeError) as error:
            logger.warning("sip: %s cannot be looked up: %s", hop.host, error)
            return None
        tls = self._tls_context(hop.host) if hop.transport == "TLS" else None
        for address, port in servers:
            known = self.find(Hop(hop.transport, hop.host, hop.port, server=(address, port)))
            if known is not None:
                return known
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    _, connection = await loop.create_connection(
                        lambda: self.new(hop.transport, ours=True),
                        address,
                        port,
                        ssl=tls,
                        server_hostname=self._tls_name(hop.host) if tls else None,
                    )
            except (OSError, TimeoutError) as error:
                logger.warning(
                    "sip: no %s connection to %s port %d: %s",
                    hop.transport,
                    hop.host,
                    port,
                    error or "timed out",
                )
                continue
            connection.verified = hop.host if tls else ""
            return connection
        return None

    async def aclose(self) -> None:
        """Close all."""
        for connection in self.open:
            await connection.aclose()
