"""What is logged of a telephone call says which call it is, whoever woke the leg: the network, the media engine or the call."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from antiphon.observability.log_context import ContextFields, log_fields
from antiphon.sip import events as sip
from antiphon.telephony import IncomingCall, LegAnswered, LegEnded
from support.phone_platform import Platform, answer_at_once, eventually, platform, trunk_to
from support.telephone import telephone


@pytest.fixture
def records() -> Iterator[list[tuple[str, Any]]]:
    """Messages of the telephone side with their call."""
    found: list[tuple[str, Any]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append((record.getMessage(), record.fields.get("call_id")))  # type: ignore[attr-defined]

    handler = Kept()
    handler.addFilter(ContextFields())
    logger = logging.getLogger("antiphon.telephony")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_records_of_a_leg_name_its_call(records: list[tuple[str, Any]], run_clean: Any) -> None:
    async def take(ours: Platform, call: IncomingCall) -> None:
        with log_fields(call_id="call_in"):
            await answer_at_once(ours, call)

    async def main() -> None:
        async with platform(take) as ours, telephone() as phone:
            call = await phone.dial("bank", ours.address)
            await call.until(sip.Answered)
            call.hang_up()
            await ours.took()
            await ours.logs["room1"].until(LegEnded)
            with log_fields(call_id="call_out"):
                room, _ = await ours.dial(trunk_to(phone.port))
            callee = await phone.ringing()
            callee.answer()
            await ours.logs[room].until(LegAnswered)
            callee.hang_up()
            await eventually(lambda: sum(message.startswith("audio of") for message, _ in records) == 2)

    run_clean(main())
    assert [call for message, call in records if message.startswith("audio of")] == ["call_in", "call_out"]
