"""Keys that are pressed in a row are one turn of the caller's, and are answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.rooms import ParticipantKind
from antiphon.rooms.local import LocalRooms
from antiphon.voice import Agent, AgentSession
from antiphon.voice.controllers import HoldController, KeysController, KeysOptions
from support.controllers import QUESTION, TURN, near, play, said


def pressed(keys: KeysController, *at: tuple[float, str]) -> list[tuple[float, Any]]:
    return [(when, lambda _session, key=key: keys.press(key)) for when, key in at]


def user(record: Any) -> list[str]:
    return [text for role, text in record.log() if role == "user"]


def test_keys_are_complete_after_a_pause_or_at_once_with_the_last_one() -> None:
    keys = KeysController(KeysOptions(pause=2.0))
    script = pressed(keys, (1.0, "1"), (2.5, "2"), (12.0, "7"), (12.2, "*"), (12.4, "#"))
    record = play([], keys, until=20, script=script)
    assert user(record) == ["DTMF: 12", "DTMF: 7*#"]
    first, second = (start for start, _ in record.playouts)
    # The pause ends at 4.5; the scripted models take their usual time from there.
    assert first - 4.5 == near(second - 12.4)
    assert len(said(record)) == 2


def test_a_key_interrupts_what_is_said() -> None:
    keys = KeysController()
    record = play([TURN], keys, until=12, script=pressed(keys, (4.0, "5"), (4.3, "#")))
    assert record.playouts[0] == [near(3.2), near(4.0)]
    assert user(record) == [QUESTION, "DTMF: 5#"]


def test_keys_on_hold_are_dropped() -> None:
    keys = KeysController(KeysOptions(last=""))
    hold = HoldController([keys])
    script: list[tuple[float, Any]] = [
        *pressed(keys, (1.0, "1")),
        (1.5, lambda _session: hold.signal_hold(True)),
        *pressed(keys, (2.0, "2")),
        (5.0, lambda _session: hold.signal_hold(False)),
        *pressed(keys, (6.0, "#")),
    ]
    assert user(play([], keys, hold, until=10, script=script)) == ["DTMF: #"]


def test_endless_keys_are_bounded() -> None:
    keys = KeysController(KeysOptions(last=""))
    record = play([], keys, until=10, script=pressed(keys, *[(1.0, "1")] * 70))
    assert user(record)[0] == "DTMF: " + 64 * "1"


def test_keys_of_a_telephone_in_the_room(run_clean: Any) -> None:
    async def main() -> None:
        rooms = LocalRooms()
        phone = await rooms.join("call", "phone", ParticipantKind.SIP)
        room = await rooms.join("call", "agent", ParticipantKind.AGENT)
        session: AgentSession[Any] = AgentSession()
        await session.start(Agent(), room=room)
        keys = KeysController(room=room)
        keys.attach(session)
        answered: list[str] = []
        session.generate_reply = lambda **how: answered.append(how["user_input"])  # type: ignore
        for key in "12#":
            await phone.publish_dtmf(key)
        await asyncio.sleep(0.05)
        await session.aclose()
        await phone.publish_dtmf("#")
        await asyncio.sleep(0.05)
        assert answered == ["DTMF: 12#"]
        await room.disconnect()
        await phone.disconnect()
        await rooms.aclose()

    run_clean(main())


@pytest.mark.parametrize("wrong", [{"pause": 0}, {"text": "keys"}])
def test_options_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="keys"):
        KeysOptions(**wrong)
