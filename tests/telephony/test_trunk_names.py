"""Trunks that are known by name: DNS says where calls go, and whose calls are theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.sip import events as sip
from antiphon.sip.transport import resolver as resolver_module
from antiphon.telephony import LegMediaReceived
from support.name_server import name_server
from support.phone_platform import platform, trunk_to
from support.telephone import HOST, telephone


def test_a_trunk_is_called_at_its_service_and_its_calls_are_known_though_they_move(
    run_clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"sbc.trunk.example": ["192.0.2.1"]}

    async def addresses(host: str, _transport: str) -> list[str]:
        if not where:
            raise OSError("no name server")
        return where[host]

    monkeypatch.setattr(resolver_module, "_addresses", addresses)
    monkeypatch.setattr(resolver_module, "_CACHED_SECONDS", 0.0)

    async def main() -> None:
        async with telephone() as phone:
            records = {"_sip._udp.trunk.example.": [f"1 1 {phone.port} sbc.trunk.example."]}
            document = {**trunk_to(0, address="trunk.example"), "port": None}
            async with name_server(records), platform(trunks=(document,), open_to=()) as ours:
                stranger = await phone.dial("bank", ours.address)
                await asyncio.sleep(0.1)
                assert not ours.incoming
                where["sbc.trunk.example"] = [HOST]
                await ours.service.look_up_trunks()
                call = await phone.dial("bank", ours.address)
                await call.until(sip.Answered)
                assert (await ours.took()).trunk_id == "trunk"
                where.clear()
                await ours.service.look_up_trunks()
                call.hang_up()
                await call.until(sip.Ended)
                where["sbc.trunk.example"] = [HOST]
                room, leg = await ours.dial(document)
                (await phone.ringing()).answer()
                await ours.logs[room].until(LegMediaReceived)
                await leg.hang_up(None, "agent_hangup")
                stranger.hang_up()

    run_clean(main())
