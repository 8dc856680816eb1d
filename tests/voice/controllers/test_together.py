"""All controllers on one session: whatever happens, it closes, once, and nothing of them is left."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.rooms.playback import PlaybackBuffer
from antiphon.voice import Agent, AgentSession
from antiphon.voice.controllers import (
    BackgroundAudio,
    BackgroundAudioOptions,
    Controller,
    FillerController,
    FillerOptions,
    HangUp,
    HoldController,
    InputGuard,
    InputGuardOptions,
    MaxDurationController,
    MaxDurationOptions,
    SilenceWatchdog,
    SilenceWatchdogOptions,
)
from support.controllers import closed, play
from support.scripted import RATE, Answer, ScriptedLLM, Speech

LIMIT = 25.0


def everything() -> tuple[HoldController, list[Controller]]:
    dog = SilenceWatchdog(SilenceWatchdogOptions(interval=4.0))
    filler = FillerController(FillerOptions(enabled=True))
    background = BackgroundAudio(PlaybackBuffer(RATE), BackgroundAudioOptions("room_tone", thinking="typing"))
    hold = HoldController([dog, filler, background])
    guard = InputGuard(InputGuardOptions(0.5))
    return hold, [dog, filler, background, guard, MaxDurationController(MaxDurationOptions(LIMIT)), hold]


ACTIONS = st.lists(
    st.tuples(
        st.floats(0.1, LIMIT + 6.0),
        st.sampled_from(["hold", "resume", "say", "type", "interrupt", "hang up", "aclose filler"]),
    ),
    max_size=8,
)
SPEECHES = st.lists(st.tuples(st.floats(1.0, 6.0), st.floats(0.1, 3.0), st.booleans()), max_size=4)


def plan(gaps: list[tuple[float, float, bool]]) -> list[Speech]:
    """Stretches of speech one after the other, some with words."""
    speeches, at = [], 0.0
    for gap, length, words in gaps:
        start, at = at + gap, at + gap + length
        speeches.append(Speech(start, at, "what now" if words else "", at + 0.2 if words else None))
    return speeches


@settings(max_examples=25, deadline=None)
@given(ACTIONS, SPEECHES, st.floats(0.1, 4.0))
def test_every_call_ends_once_and_within_the_limit(
    actions: list[tuple[float, str]], speeches: list[tuple[float, float, bool]], think: float
) -> None:
    hold, controllers = everything()
    acts: dict[str, Any] = {
        "hold": lambda _: hold.signal_hold(True),
        "resume": lambda _: hold.signal_hold(False),
        "say": lambda session: session.say("By the way."),
        "type": lambda session: session.input_text("hello"),
        "interrupt": lambda session: session.interrupt(force=True),
        "hang up": lambda session: None if session.closed else HangUp("Bye.").attach(session),
        "aclose filler": lambda _: controllers[1].aclose(),
    }
    llm = ScriptedLLM(Answer("Three.", first=think, whole=think))
    record = play(
        plan(speeches),
        *controllers,
        until=LIMIT + 16.0,
        llm=llm,
        script=[(when, acts[name]) for when, name in actions],
    )
    ends = closed(record)
    assert len(ends) == 1
    assert ends[0][0] <= LIMIT + 15.1
    assert not [timer for controller in controllers for timer in controller._timers]
    assert not [handle for handle in controllers if handle._listeners]


def test_nothing_of_a_session_is_kept_alive() -> None:
    async def run() -> list[Any]:
        session: AgentSession[Any] = AgentSession()
        await session.start(Agent())
        _, controllers = everything()
        for controller in controllers:
            controller.attach(session)
        await session.aclose()
        assert len(asyncio.all_tasks()) == 1
        return [weakref.ref(session), *map(weakref.ref, controllers)]

    left = asyncio.run(run())
    gc.collect()
    assert [ref() for ref in left] == [None] * len(left)


def test_a_controller_is_attached_once_to_a_session_that_was_started() -> None:
    async def run() -> None:
        session: AgentSession[Any] = AgentSession()
        dog = SilenceWatchdog()
        with pytest.raises(RuntimeError, match="not attached"):
            _ = dog.session
        with pytest.raises(RuntimeError, match="start"):
            dog.attach(session)
        await session.start(Agent())
        dog.attach(session)
        with pytest.raises(RuntimeError, match="its own"):
            dog.attach(session)
        await dog.aclose()
        assert not dog.attached
        await session.aclose()
        dog.attach(session)
        assert not dog.attached

    asyncio.run(run())
