"""What sessions cost a process: stalls of the event loop as they start, and the memory that each keeps."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import numpy as np

from .fake_providers import FakeLLM, FakeSTT, FakeTTS
from .measurement import Plan, Row, StallWatch, rss_mb, run_python
from .signals import frames, quiet_line, voice

if TYPE_CHECKING:
    from antiphon.audio import AudioFrame
    from antiphon.models.vad import VAD
    from antiphon.voice import AgentSession


async def _transcribe() -> str:
    return "what is my balance"


async def _tokens() -> AsyncIterator[str]:
    for token in ("Your", " balance", " is", " forty", " pounds", "."):
        yield token


async def _speak(_text: str) -> AsyncIterator[bytes]:
    for _ in range(10):
        yield bytes(2 * 2400)


async def _start(count: int, vad: VAD | str) -> list[AgentSession[None]]:
    from antiphon import Agent, AgentSession

    sessions: list[AgentSession[None]] = [
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


def _turn() -> list[AudioFrame]:
    return frames(np.concatenate([voice(1), quiet_line(1.5)]))


async def _talk(sessions: list[AgentSession[None]], audio: list[AudioFrame]) -> None:
    """One turn of each, in real time.

    Raises:
        RuntimeError: a session did not answer, so nothing was measured.
    """
    for frame in audio:
        for session in sessions:
            session.push_audio(frame)
        await asyncio.sleep(0.02)
    silent = [session for session in sessions if not any(m.role == "assistant" for m in session.history)]
    if silent:
        raise RuntimeError(f"{len(silent)} of {len(sessions)} sessions did not answer")


async def _stalls(count: int, vad: VAD | str) -> tuple[float, float]:
    """The longest stall in milliseconds while `count` sessions start, and through their first turn."""
    import antiphon.voice  # noqa: F401 - a process that runs sessions has imported it

    audio = _turn()
    async with StallWatch() as watch:
        sessions = await _start(count, vad)
        await asyncio.sleep(0.05)
        starting = watch.take()
        await _talk(sessions, audio)
        talking = watch.take()
    await asyncio.gather(*(session.aclose() for session in sessions))
    return starting * 1000, talking * 1000


async def _memory(count: int) -> float:
    """MB that each session keeps after a turn, from the second session on."""
    vad, audio = _load_vad(), _turn()
    first = await _start(1, vad)
    await _talk(first, audio)
    gc.collect()
    before = rss_mb()
    more = await _start(count, vad)
    await _talk(more, audio)
    gc.collect()
    used = (rss_mb() - before) / count
    await asyncio.gather(*(session.aclose() for session in first + more))
    return used


def _load_vad() -> VAD:
    from antiphon.plugins import silero

    return silero.VAD.load()


def stalls_main(count: int, loaded: bool) -> None:
    """Printed for `measure`, which asks in a fresh process: a stall at the first start is what matters."""
    print(*asyncio.run(_stalls(count, _load_vad() if loaded else "silero/vad")))


def memory_main(count: int) -> None:
    print(asyncio.run(_memory(count)))


def measure(plan: Plan) -> list[Row]:
    rows = []
    for loaded, when in ((True, "models loaded"), (False, "cold process")):
        for count in (1, 10):
            out = run_python(f"from bench.sessions import stalls_main; stalls_main({count}, {loaded})")
            starting, talking = map(float, out.split())
            rows.append(Row(f"event-loop stall while {count} start, {when}", "ms", round(starting, 1), 20))
            if loaded:
                rows.append(
                    Row(f"event-loop stall in the first turn of {count}", "ms", round(talking, 1), 20)
                )
    count = 20 if plan.quick else 100
    out = run_python(f"from bench.sessions import memory_main; memory_main({count})")
    rows.append(Row(f"memory of each of {count} sessions", "MB", round(float(out), 2), 1.0))
    return rows
