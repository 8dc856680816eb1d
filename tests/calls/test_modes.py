"""The three modes in calls: who speaks first says so when it can be heard, and what was said is on record."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.rooms import ParticipantKind
from antiphon.telephony import IncomingCall, LegMediaReady
from support.calls import VENDOR, Rehearsed, ScriptedLeg, Stage, rehearsed, sqlite_store, until

MODELS: dict[str, dict[str, Any]] = {
    "cascade": {},
    "pipeline": {"stt": None, "llm": None, "realtime": {"provider": VENDOR}},
    "realtime": {"stt": None, "llm": None, "tts": None, "realtime": {"provider": VENDOR}},
}


@pytest.fixture
def vendor() -> Iterator[Rehearsed]:
    with rehearsed() as vendor:
        yield vendor


class DeafLeg(ScriptedLeg):
    """It joins the room before there is a way for audio."""

    async def join(self, room: str) -> None:
        self.room = await self.rooms.join(room, "caller", ParticipantKind.SIP)


def openings(vendor: Rehearsed, mode: str) -> list[str]:
    """The instructions of each reply that a model was asked for."""
    if mode == "cascade":
        return [messages[-1].content for llm in vendor.llms for _, messages, _ in llm.requests]
    return [entry[1] for model in vendor.realtimes for entry in model.asked if entry[0] == "reply"]


@pytest.mark.parametrize("speaks_first", [True, False], ids=["speaks first", "waits"])
@pytest.mark.parametrize("mode", MODELS)
def test_the_opening_waits_for_the_media_path(
    mode: str, speaks_first: bool, vendor: Rehearsed, tmp_path: Path, run_clean: Any
) -> None:
    async def main() -> None:
        async with sqlite_store(tmp_path) as store:
            stage = Stage(store)
            try:
                await stage.hire(mode=mode, speaks_first=speaks_first, **MODELS[mode])
                await scene(stage)
            finally:
                await stage.aclose()

    async def scene(stage: Stage) -> None:
        leg = DeafLeg(stage.rooms)

        async def ring() -> None:
            leg.asked.append("ring")

        incoming = IncomingCall(leg, "generic", "+14155550199", "+14155550123", "trunk_1", leg.join, ring)
        variables = {"context": {"name": "Ann"}}
        call = await stage.host.start_inbound(incoming, {"id": "in_1"}, stage.assistant, variables)
        await until(lambda: call.status == "answered")
        await asyncio.sleep(0.2)
        assert openings(vendor, mode) == []
        leg.tell(LegMediaReady())
        if speaks_first:
            await until(lambda: stage.said)
            (opening,) = openings(vendor, mode)
            assert opening.endswith("Greet Ann.")
            assert stage.said == ["Hello there."]
        else:
            await asyncio.sleep(0.2)
            assert openings(vendor, mode) == []
        leg.talk()
        await asyncio.sleep(0.05)
        leg.bye()
        document = await call.wait()
        assert document["status"] == "completed"
        spoken = [entry["text"] for entry in await stage.transcript(document["id"])]
        assert spoken == (["Hello there."] if speaks_first else [])
        if mode != "cascade":
            (model,) = vendor.realtimes
            assert model.capabilities.audio_output is (mode == "realtime")
            if speaks_first:
                assert model.sessions[0].begun_with == ("You talk with Ann.", ["send_dtmf", "end_call"])
                assert document["usage"]["llm_prompt_tokens"] == 10

    run_clean(main())
