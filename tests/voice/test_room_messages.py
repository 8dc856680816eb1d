"""What a room is told of a session."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from antiphon.rooms import RoomEvent
from antiphon.rooms.local import LocalRooms
from antiphon.voice import Agent, AgentSession, Backchannel, SessionEvent, UserInputTranscribed
from support.scripted import ScriptedLLM
from support.virtual_time import run


def test_what_is_said_while_listening_is_marked() -> None:
    async def main() -> list[dict[str, Any]]:
        rooms = LocalRooms()
        received: list[dict[str, Any]] = []
        user = await rooms.join("room", "ann")
        user.on(RoomEvent.DATA_RECEIVED, lambda packet: received.append(json.loads(packet.data)))
        session: AgentSession[None] = AgentSession(llm=ScriptedLLM())
        await session.start(Agent(instructions=""), room=await rooms.join("room", "agent"))
        for text in ("Right.", "What time is it?"):
            session.emit(SessionEvent.USER_INPUT_TRANSCRIBED, UserInputTranscribed(text, is_final=True))
            session.emit(SessionEvent.BACKCHANNEL, Backchannel("Right."))
        await asyncio.sleep(0.1)
        await session.aclose()
        await rooms.aclose()
        return [message for message in received if message["type"] == "transcript"]

    messages = run(main())
    assert [(m["id"], m["text"], m.get("backchannel", False)) for m in messages] == [
        ("user_1", "Right.", False),
        ("user_1", "Right.", True),
        ("user_2", "What time is it?", False),
    ]
