"""What sessions cost a process: stalls of the event loop as they start, and the memory that each keeps."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import numpy as np

from antiphon.audio import AudioFrame

from .fake_providers import FakeLLM, FakeSTT, FakeTTS
from .measurement import Plan, Row, StallWatch, rss_mb, run_python

if TYPE_CHECKING:
    from antiphon import AgentSession

RATE = 16000


async def _transcribe() -> str:
    return "what is my balance"


async def _tokens() -> AsyncIterator[str]:
    for token in ("Your", " balance", " is", " forty", " pounds", "."):
        yield token


async def _speak(_text: str) -> AsyncIterator[bytes]:
    for _ in range(10):
        yield bytes(2 * 2400)


async def _start(count: int) -> list[AgentSession]:
    from antiphon import Agent, AgentSession
    from antiphon.plugins import silero

    vad = silero.VAD.load()
    sessions = [
        AgentSession(
            stt=FakeSTT(_transcribe),
            llm=FakeLLM(_tokens),
            tts=FakeTTS(_speak),
            vad=vad,
            user_away_timeout=None,
        )
        for _ in range(count)
    ]
    agents = [Agent(instructions="You are a helpful assistant.") for _ in sessions]
    await asyncio.gather(*(session.start(agent) for session, agent in zip(sessions, agents, strict=True)))
    return sessions


def _speech() -> list[AudioFrame]:
    """A second of something that a VAD takes for speech, then a second of silence; 20 ms frames."""
    t = np.arange(RATE) / RATE
    voiced = np.sign(np.sin(2 * np.pi * 130 * t)) * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    pcm = np.concatenate([(voiced * 6000).astype(np.int16), np.zeros(RATE, dtype=np.int16)])
    return [AudioFrame(pcm[i : i + 320], RATE) for i in range(0, pcm.size, 320)]


async def _talk(sessions: list[AgentSession]) -> None:
    for frame in _speech():
        for session in sessions:
            session.push_audio(frame)
        await asyncio.sleep(0.02)


async def _stalls(count: int) -> tuple[float, float]:
    """The longest stall in milliseconds while `count` sessions start, and through their first turn."""
    async with StallWatch() as watch:
        sessions = await _start(count)
        await asyncio.sleep(0.05)
        starting = watch.take()
        await _talk(sessions)
        talking = watch.take()
    await asyncio.gather(*(session.aclose() for session in sessions))
    return starting * 1000, talking * 1000


async def _memory(count: int) -> float:
    """MB that each session keeps after a turn, from the second session on."""
    first = await _start(1)
    await _talk(first)
    gc.collect()
    before = rss_mb()
    more = await _start(count)
    await _talk(more)
    gc.collect()
    used = (rss_mb() - before) / count
    await asyncio.gather(*(session.aclose() for session in first + more))
    return used


def stalls_main(count: int) -> None:
    """Printed for `measure`, which asks in a fresh process: a stall at the first start is what matters."""
    print(*asyncio.run(_stalls(count)))


def memory_main(count: int) -> None:
    print(asyncio.run(_memory(count)))


def measure(plan: Plan) -> list[Row]:
    rows = []
    for count in (1, 10):
        out = run_python(f"from bench.sessions import stalls_main; stalls_main({count})")
        starting, talking = map(float, out.split())
        rows.append(Row(f"event-loop stall while {count} start, fresh process", "ms", round(starting, 1), 20))
        rows.append(Row(f"event-loop stall in the first turn of {count}", "ms", round(talking, 1), 20))
    count = 20 if plan.quick else 100
    out = run_python(f"from bench.sessions import memory_main; memory_main({count})")
    rows.append(Row(f"memory of each of {count} sessions", "MB", round(float(out), 2), 1.0))
    return rows
