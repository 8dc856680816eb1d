"""Ten callers at a time join, speak and leave at random, in one process, with the real models of this machine."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from antiphon.assistants import load_assistant
from antiphon.audio import AudioFrame, read_wav, resample
from antiphon.rooms.local import LocalRooms
from antiphon.voice import AgentSession
from antiphon.worker.assistants import assistant_options
from antiphon.worker.dispatcher import JobDispatcher

CALLERS = 10
CALLS = 2  # of each caller
FRAME = 320


@pytest.mark.slow
@pytest.mark.needs("flite")
def test_ten_callers_join_and_leave_at_random(
    speak: Callable[..., Path], run_clean: Callable[..., Any]
) -> None:
    spoken = read_wav(speak("What is my savings balance?", lead=0.3, tail=2.0))
    samples = resample(spoken.samples, spoken.sample_rate, 16000)
    closed: list[str] = []
    heard: list[str] = []
    all_closed = asyncio.Event()
    sessions = 0
    dice = random.Random(7)

    def session_closed(event: Any) -> None:
        closed.append(str(event.reason))
        if len(closed) == CALLERS * CALLS:
            all_closed.set()

    def watch(session: AgentSession[Any]) -> None:
        nonlocal sessions
        sessions += 1
        session.on("close", session_closed)
        session.on("conversation_item_added", lambda event: heard.append(event.item.content))

    async def call(rooms: LocalRooms, dispatcher: JobDispatcher, name: str) -> None:
        """One call of 0 to 6 s: some hang up before the greeting, some in the middle of a word."""
        room = await rooms.join(name, f"caller {name}")
        await dispatcher.start("bank", name)
        source = room.publish_source("microphone", 16000)
        loop = asyncio.get_running_loop()
        start, length = loop.time(), dice.uniform(0.0, 6.0)
        position = 0
        while loop.time() - start < length:
            source.push(AudioFrame(samples[position : position + FRAME], 16000))
            position = (position + FRAME) % (samples.size // FRAME * FRAME)
            await asyncio.sleep(max(0.0, start + (loop.time() - start) // 0.02 * 0.02 + 0.02 - loop.time()))
        await room.disconnect()

    async def play() -> None:
        rooms = LocalRooms(empty_timeout=0.1)
        dispatcher = JobDispatcher(rooms, [assistant_options(load_assistant("bank"))], on_session=watch)
        await dispatcher.prewarm()

        async def caller(index: int) -> None:
            for number in range(CALLS):
                await asyncio.sleep(dice.uniform(0.0, 1.0))
                await call(rooms, dispatcher, f"{index}-{number}")

        await asyncio.gather(*(caller(index) for index in range(CALLERS)))
        async with asyncio.timeout(10):
            await all_closed.wait()
        await dispatcher.runner.aclose()
        await rooms.aclose()

    run_clean(play(), timeout=60.0)
    gc.collect()
    assert sessions == CALLERS * CALLS
    assert len(closed) == sessions, "each session closed once"
    assert any("savings" in text for text in heard), "some stayed long enough to be understood"
    assert [thing for thing in gc.get_objects() if isinstance(thing, AgentSession)] == []
