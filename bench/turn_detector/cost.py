"""What a detector costs: time, memory, and what it takes from the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from antiphon.plugins.turn_detector.detector import TranscriptDetector

from .cases import Case

_TIMED = 2000
_TICK = 0.001


async def cost(detector: TranscriptDetector, cases: Sequence[Case]) -> str:
    """Lines on the latency of one question and on the longest time that the loop was kept from other work.

    Latency is what a session waits, the way through the thread included; p95 of the loop's delay is what other sessions
    notice. Both need a core to themselves to mean anything.
    """
    await detector.prewarm()
    delays: list[float] = []
    ticking = asyncio.create_task(_tick(delays))
    taken = []
    for case in cases[:: max(1, len(cases) // _TIMED)]:
        began = time.perf_counter()
        await detector.score(case.context, case.text)
        taken.append((time.perf_counter() - began) * 1000)
    ticking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ticking
    return (
        f"one question: p50 {_at(taken, 50)}, p95 {_at(taken, 95)}, p99 {_at(taken, 99)} ({len(taken)} questions)\n"
        f"delay of the event loop meanwhile: p50 {_at(delays, 50)}, p95 {_at(delays, 95)}, p99 {_at(delays, 99)}"
    )


async def _tick(delays: list[float]) -> None:
    """Note by how many milliseconds the loop is late for each tick."""
    while True:
        due = time.perf_counter() + _TICK
        await asyncio.sleep(_TICK)
        delays.append(max(0.0, time.perf_counter() - due) * 1000)


async def memory(detector: TranscriptDetector, cases: Sequence[Case]) -> str:
    """A line on the memory that the first detector of a process takes, with onnxruntime loaded already.

    Linux only: elsewhere the line says that it was not measured.
    """
    statm = Path("/proc/self/statm")
    if sys.platform != "linux":
        return "memory: not measured on this system"
    import onnxruntime  # noqa: F401  what the voice activity detector has loaded anyway

    def resident() -> float:
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    before = resident()
    for start in range(0, 640, 16):
        await asyncio.gather(*(detector.score(case.context, case.text) for case in cases[start : start + 16]))
    return f"memory: {resident() - before:.0f} MB"


def _at(values: Sequence[float], percentile: float) -> str:
    return f"{np.percentile(values, percentile):.2f} ms"
