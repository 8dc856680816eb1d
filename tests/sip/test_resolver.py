"""Where the servers of a name are. RFC 3263 section 4.2, RFC 2782."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.sip.effects import Hop
from antiphon.sip.transport import resolver as resolver_module
from antiphon.sip.transport.resolver import Resolver
from support.name_server import name_server

pytestmark = pytest.mark.needs("dns")

ADDRESSES = {
    "one.example": ["192.0.2.1"],
    "two.example": ["192.0.2.2", "192.0.2.3"],
    "trunk.example": ["192.0.2.9"],
}
RECORDS = {
    "_sip._udp.trunk.example.": ["20 0 5062 two.example.", "10 0 5061 one.example."],
    "_sips._tcp.trunk.example.": ["1 1 443 two.example."],
    "_sip._tcp.half.example.": ["1 1 5080 gone.example.", "2 1 5081 one.example."],
}


@pytest.fixture(autouse=True)
def hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def addresses(host: str, _transport: str) -> list[str]:
        if host not in ADDRESSES:
            raise OSError(f"{host} is unknown")
        return ADDRESSES[host]

    monkeypatch.setattr(resolver_module, "_addresses", addresses)


@pytest.mark.parametrize(
    ("hop", "servers", "asks"),
    [
        (("UDP", "192.0.2.7", 0), [("192.0.2.7", 5060)], False),
        (("TLS", "2001:db8::1", 0), [("2001:db8::1", 5061)], False),
        (("UDP", "trunk.example", 5070), [("192.0.2.9", 5070)], False),
        (("UDP", "trunk.example", 0), [("192.0.2.1", 5061), ("192.0.2.2", 5062), ("192.0.2.3", 5062)], True),
        (("TLS", "trunk.example", 0), [("192.0.2.2", 443), ("192.0.2.3", 443)], True),
        (("TCP", "trunk.example", 0), [("192.0.2.9", 5060)], True),
        (("TCP", "half.example", 0), [("192.0.2.1", 5081)], True),
    ],
)
def test_a_hop_leads_to_servers_in_order(
    hop: tuple[str, str, int], servers: list[tuple[str, int]], asks: bool, run_clean: Any
) -> None:
    async def main() -> None:
        async with name_server(RECORDS) as names:
            resolver = Resolver()
            assert await resolver.servers(Hop(*hop)) == servers
            assert await resolver.servers(Hop(*hop)) == servers
            assert len(names.asked) == asks

    run_clean(main())


def test_a_name_server_that_says_nothing_costs_two_seconds_and_no_call(run_clean: Any) -> None:
    async def main() -> None:
        async with name_server({}) as names:
            names.mute = True
            assert await Resolver().servers(Hop("UDP", "trunk.example", 0)) == [("192.0.2.9", 5060)]
            with pytest.raises(OSError, match="nowhere"):
                await Resolver().servers(Hop("UDP", "nowhere.example", 5060))

    run_clean(main())


def test_weights_share_the_load_but_each_process_keeps_its_order(run_clean: Any) -> None:
    records = {"_sip._udp.trunk.example.": ["1 90 5060 one.example.", "1 10 5062 two.example."]}

    async def main() -> None:
        first = []
        async with name_server(records):
            for _ in range(60):
                resolver = Resolver()
                order = await resolver.servers(Hop("UDP", "trunk.example", 0))
                resolver._cache.clear()
                assert await resolver.servers(Hop("UDP", "trunk.example", 0)) == order
                first.append(order[0])
        assert 35 < first.count(("192.0.2.1", 5060)) < 60

    run_clean(main())
