"""A name server of this machine that knows SRV records, asked in place of the system's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

HOST = "127.0.0.1"


class NameServer(asyncio.DatagramProtocol):
    """Attributes:
    asked: names, in order.
    mute: answer nothing.
    """

    def __init__(self, records: Mapping[str, list[str]]) -> None:
        self.records = records
        self.asked: list[str] = []
        self.mute = False
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        name = query.question[0].name.to_text()
        self.asked.append(name)
        if self.mute:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name in self.records:
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", *self.records[name]))
        else:
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), addr)


@asynccontextmanager
async def name_server(records: Mapping[str, list[str]]) -> AsyncIterator[NameServer]:
    """It is asked while the block runs; `records` are texts of SRV records by name, which ends with a dot."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(records), local_addr=(HOST, 0)
    )
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [HOST], transport.get_extra_info("sockname")[1]
    before, dns.asyncresolver.default_resolver = dns.asyncresolver.default_resolver, resolver
    try:
        yield server
    finally:
        dns.asyncresolver.default_resolver = before
        transport.close()
