"""What a bench gives back, and the small tools that all of them measure with."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Row:
    """One measured quantity.

    Attributes:
        what: its name in the table.
        unit: of all its values.
        ours: the value of Antiphon; None when it could not be measured.
        budget: what it should stay within (at least, for `higher_is_better`).
        peers: the same quantity of other frameworks, measured in the same run.
        note: how it was measured, or why not.
    """

    what: str
    unit: str
    ours: float | None
    budget: float | None = None
    peers: dict[str, float] = field(default_factory=dict)
    higher_is_better: bool = False
    note: str = ""

    @property
    def within_budget(self) -> bool | None:
        if self.ours is None or self.budget is None:
            return None
        return self.ours >= self.budget if self.higher_is_better else self.ours <= self.budget

    @property
    def advantage(self) -> float | None:
        """How many times better than the best peer."""
        if not self.ours or not self.peers or min(self.peers.values()) <= 0:
            return None
        if self.higher_is_better:
            return self.ours / max(self.peers.values())
        return min(self.peers.values()) / self.ours

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "within_budget": self.within_budget, "advantage": self.advantage}


@dataclass(frozen=True)
class Plan:
    """How thorough a run is. `quick` keeps each bench under a minute at the price of noise."""

    quick: bool = False
    rig: Path | None = None
    peers: Mapping[str, Path] = field(default_factory=dict)
    turns: int = 24
    search_max: bool = False
    repeats: int = 1


def percentile(values: Iterable[float], q: float) -> float:
    """The `q`-th percentile (0..100), linear between neighbours.

    Raises:
        ValueError: no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    position = (len(ordered) - 1) * q / 100
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def rss_mb() -> float:
    """Resident memory of this process in MB of 2**20 bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def run_python(code: str, *, python: Path | str = sys.executable, timeout: float = 120) -> str:
    """Standard output of `code` in a fresh interpreter.

    Raises:
        RuntimeError: it failed; the message carries its standard error.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, timeout=timeout, env=environment
    )
    if result.returncode:
        raise RuntimeError(f"a measuring process failed:\n{result.stderr[-2000:]}")
    return result.stdout


class StallWatch:
    """The longest time that the event loop took to come back to a task that asks every millisecond."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> StallWatch:
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0.05)
        self.worst = 0.0
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def take(self) -> float:
        """The worst gap in seconds since the last call."""
        worst, self.worst = self.worst, 0.0
        return worst

    async def _tick(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            self.worst = max(self.worst, now - last - 0.001)
            last = now


def conditions() -> dict[str, Any]:
    """The machine and how busy it is."""
    return {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": [round(value, 2) for value in os.getloadavg()],
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
