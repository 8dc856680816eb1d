"""Calls through kamailio: a proxy that stays on the route, challenges calls and registrations, and forgets its nonces."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from antiphon.sip import events as sip
from antiphon.sip.sdp import Direction
from antiphon.telephony import LegAnswered, LegEnded, LegMediaReceived, LegRejected
from support.kamailio import DOMAIN, PASSWORD, USER, kamailio
from support.phone_platform import eventually, platform, trunk_to
from support.telephone import HOST, telephone

pytestmark = pytest.mark.needs("kamailio")

AUTH = {"auth": {"username": USER, "password": PASSWORD}, "from_domain": DOMAIN}


def test_a_call_in_through_a_proxy_on_the_route(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with (
            platform() as ours,
            telephone() as phone,
            kamailio(tmp_path, {"bank": ours.address[1]}) as proxy,
        ):
            for ends in ("we", "they"):
                room = "room1" if ends == "we" else "room2"
                call = await phone.dial("bank", (HOST, proxy))
                await call.until(sip.Answered)
                incoming = await ours.took(room)
                assert f"{HOST}:{proxy}" in incoming.headers["Record-Route"]
                await ours.logs[room].until(LegMediaReceived)
                phone.endpoint.hold(call.handle, Direction.SENDONLY)
                await eventually(lambda room=room: ours.agents[room].told[-1:] == ["call_hold"])
                if ends == "we":
                    await incoming.leg.hang_up(None, "agent_hangup")
                    await call.until(sip.Ended)
                else:
                    call.hang_up()
                    await ours.logs[room].until(LegEnded)

    run_clean(main())


def test_a_call_out_that_is_challenged(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with (
            platform() as ours,
            telephone() as phone,
            kamailio(tmp_path, {"+14155550100": phone.port}) as proxy,
        ):
            room, leg = await ours.dial(trunk_to(proxy, **AUTH))
            call = await phone.ringing()
            call.answer()
            await ours.logs[room].until(LegMediaReceived)
            assert [type(event) for event in ours.logs[room].events][:1] == [LegAnswered]
            await leg.hang_up(None, "agent_hangup")
            await call.until(sip.Ended)
            wrong = {**AUTH, "auth": {"username": USER, "password": "wrong"}}
            room, _ = await ours.dial(trunk_to(proxy, **wrong))
            assert (await ours.logs[room].until(LegRejected)).code == 407

    run_clean(main())


def test_a_registration_brings_calls_and_is_taken_back_with_a_stale_nonce(
    tmp_path: Path, run_clean: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "antiphon.telephony")

    def registered() -> int:
        return sum("registered with trunk" in record.message for record in caplog.records)

    async def main() -> None:
        async with platform() as ours, telephone() as phone, kamailio(tmp_path, {}) as proxy:
            early = await phone.dial(USER, (HOST, proxy))
            assert (await early.until(sip.Rejected)).code == 480
            await ours.service.set_trunks([trunk_to(proxy, registration=True, **AUTH)])
            await eventually(lambda: registered() == 1)
            assert ours.service.registered == {"trunk"}
            call = await phone.dial(USER, (HOST, proxy))
            await call.until(sip.Answered)
            assert (await ours.took()).trunk_id == "trunk"
            call.hang_up()
            await ours.nothing_left()
            # The nonce lasts a second: taking the registration back meets a challenge that says it is stale.
            await asyncio.sleep(2.1)
            await ours.service.set_trunks([])
            await asyncio.sleep(0.3)
            late = await phone.dial(USER, (HOST, proxy))
            assert (await late.until(sip.Rejected)).code == 480
        assert "refuses our registration" not in caplog.text

    run_clean(main())


def test_a_registration_with_a_wrong_password_is_said(
    tmp_path: Path, run_clean: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with platform() as ours, kamailio(tmp_path, {}) as proxy:
            wrong = {**AUTH, "auth": {"username": USER, "password": "wrong"}}
            await ours.service.set_trunks([trunk_to(proxy, registration=True, **wrong)])
            await eventually(lambda: "trunk trunk refuses our registration: 401" in caplog.text)

    run_clean(main())
