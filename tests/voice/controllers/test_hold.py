"""On hold the agent is silent and deaf, and so are the controllers that would make it speak."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from antiphon.models.chat_context import ChatMessage
from antiphon.rooms import ParticipantKind
from antiphon.rooms.local import LocalRooms
from antiphon.turns import AgentState, UserState
from antiphon.voice import Agent, AgentSession, AgentStateChanged, ConversationItemAdded, UserStateChanged
from antiphon.voice.controllers import (
    FillerController,
    FillerOptions,
    HoldController,
    SilenceWatchdog,
    SilenceWatchdogOptions,
)
from support.controllers import QUESTION, TURN, closed, near, play, said
from support.scripted import Answer, ScriptedLLM, ScriptedTTS, Speech

MUSIC = Speech(6.0, 9.0, "la la la", 9.2)


def at(when: float, hold: HoldController, on: bool) -> tuple[float, Any]:
    return when, lambda _session: hold.signal_hold(on)


def test_a_reply_is_cut_off_and_music_is_neither_heard_nor_answered() -> None:
    hold = HoldController()
    back = Speech(12.0, 13.0, "I am back.", 13.2)
    record = play([TURN, MUSIC, back], hold, until=15, script=[at(4.5, hold, True), at(10.0, hold, False)])
    assert record.playouts == [[near(3.2), near(4.5)], [near(13.7), near(15.0)]]
    assert [text for role, text in record.log() if role == "user"] == [QUESTION, "I am back."]
    assert not [when for when, *_ in record.events if 4.55 < when < 10.0]


def test_what_was_heard_before_hold_is_in_the_conversation_before_hold_begins() -> None:
    hold = HoldController()
    seen = []

    def listen(session: AgentSession[Any]) -> None:
        session.on("conversation_item_added", lambda event: seen.append((event.item.role, hold.is_on_hold)))

    play([TURN], hold, until=8, script=[(0.1, listen), at(4.5, hold, True)])
    assert seen == [("user", False), ("assistant", False)]


def test_signals_are_idempotent() -> None:
    hold = HoldController()
    script = [at(when, hold, on) for when, on in [(1, True), (2, True), (3, False), (4, False)]]
    states = []
    script += [(when, lambda _: states.append(hold.is_on_hold)) for when in (0.5, 1.5, 2.5, 3.5, 4.5)]
    play([], hold, until=5, script=script)
    assert states == [False, True, True, False, False]


def test_the_watchdog_rests_on_hold_and_begins_anew_after_it() -> None:
    dog = SilenceWatchdog(SilenceWatchdogOptions(texts=("Hello?",)))
    hold = HoldController([dog])
    record = play([], dog, hold, until=45, script=[at(9.0, hold, True), at(30.0, hold, False)])
    assert record.playouts[0] == [near(40.2), near(43.2)]
    assert dog.prompts == 1


def test_hold_during_the_goodbye_stops_the_hang_up() -> None:
    dog = SilenceWatchdog(SilenceWatchdogOptions(reprompts=0))
    hold = HoldController([dog])
    record = play([], dog, hold, until=20, script=[at(11.0, hold, True), at(15.0, hold, False)])
    assert closed(record) == [(near(20.0), "user_initiated")]


def test_a_filler_that_was_due_is_not_said() -> None:
    filler = FillerController(FillerOptions(enabled=True))
    hold = HoldController([filler])
    tts = ScriptedTTS()
    llm = ScriptedLLM(Answer("Late.", first=9.0, whole=9.0))
    play([TURN], filler, hold, until=9, llm=llm, tts=tts, script=[at(3.5, hold, True), at(4.0, hold, False)])
    assert tts.texts == []


class Watched(AgentSession[Any]):
    """Counts forced interruptions."""

    forced = 0

    def interrupt(self, *, force: bool = False) -> None:
        self.forced += force
        super().interrupt(force=force)


ITEM = ConversationItemAdded(ChatMessage(role="assistant", content="Hm?"))
SPEAKS = AgentStateChanged(AgentState.IDLE, AgentState.SPEAKING)
USER = UserStateChanged(UserState.SILENT, UserState.SPEAKING)
SUPPRESSED = [
    ("conversation_item_added", ITEM, 1),
    ("agent_state_changed", SPEAKS, 1),
    ("user_state_changed", USER, 0),
]


@pytest.mark.parametrize(
    ("event", "payload", "interruptions"), SUPPRESSED, ids=[row[0] for row in SUPPRESSED]
)
def test_what_happens_on_hold_all_the_same_is_suppressed(
    event: str, payload: Any, interruptions: int
) -> None:
    async def play() -> None:
        session = Watched()
        await session.start(Agent())
        dog, filler = SilenceWatchdog(), FillerController(FillerOptions(enabled=True))
        hold = HoldController([dog, filler])
        for controller in (dog, filler, hold):
            controller.attach(session)
        session.emit(event, payload)
        assert session.forced == 0
        hold.signal_hold(True)
        before = session.forced
        session.emit(event, payload)
        assert session.forced - before == interruptions
        assert not dog._timers
        assert not filler._timers
        await session.aclose()

    asyncio.run(play())


# -- told by the room --------------------------------------------------------------------------------------------------


async def eventually(condition: Any) -> None:
    async with asyncio.timeout(2.0):
        while not condition():  # noqa: ASYNC110 - no event to wait for
            await asyncio.sleep(0.005)


def with_room(script: Any, *, attributes: dict[str, str] | None = None) -> None:
    """Run `script(bridge, hold)` with an agent and a bridge in a room; the bridge comes first, with `attributes`."""

    async def run() -> None:
        rooms = LocalRooms()
        bridge = await rooms.join("call", "phone", ParticipantKind.SIP, attributes=attributes)
        room = await rooms.join("call", "agent", ParticipantKind.AGENT)
        await asyncio.sleep(0.02)
        session: AgentSession[Any] = AgentSession()
        await session.start(Agent(), room=room)
        hold = HoldController(room=room)
        hold.attach(session)
        await script(bridge, hold)
        await session.aclose()
        assert not hold.attached
        await room.disconnect()
        await bridge.disconnect()
        await rooms.aclose()

    asyncio.run(run())


def test_packets_of_a_bridge_hold_and_resume() -> None:
    async def script(bridge: Any, hold: HoldController) -> None:
        async def tell(event: Any, topic: str = "sip_bridge_events") -> None:
            await bridge.publish_data(event if isinstance(event, str) else json.dumps(event), topic=topic)

        await tell({"event": "call_hold"}, topic="chat")
        for nonsense in ("{", "[]", "7", {"event": "call_answered"}, {}):
            await tell(nonsense)
        await asyncio.sleep(0.05)
        assert not hold.is_on_hold
        await tell({"event": "call_hold"})
        await eventually(lambda: hold.is_on_hold)
        await tell({"event": "call_resume"})
        await eventually(lambda: not hold.is_on_hold)

    with_room(script)


def test_whoever_joins_late_learns_of_hold_by_an_attribute() -> None:
    async def script(bridge: Any, hold: HoldController) -> None:
        assert hold.is_on_hold
        await bridge.set_attributes({"sip.hold": "false"})
        await eventually(lambda: not hold.is_on_hold)
        await bridge.set_attributes({"sip.hold": "true"})
        await eventually(lambda: hold.is_on_hold)

    with_room(script, attributes={"sip.hold": "true"})


def test_nothing_is_said_on_hold_even_if_asked_for() -> None:
    hold = HoldController()
    record = play([], hold, until=8, script=[at(1.0, hold, True), (2.0, lambda s: s.say("Hm?"))])
    assert said(record) == []
    assert record.playouts == []
