"""What importing costs: time and memory in fresh interpreters."""

from __future__ import annotations

import statistics

from .measurement import Plan, Row, run_python

# What a minimal bot of each framework imports.
ANTIPHON = "import antiphon"
ANTIPHON_BOT = "from antiphon import Agent, AgentSession\nfrom antiphon.plugins import silero"
PEERS = {
    "livekit": "from livekit import rtc\n"
    "from livekit.agents import Agent, AgentSession, JobContext, WorkerOptions, cli, inference",
    "pipecat": "from pipecat.audio.vad.silero import SileroVADAnalyzer\n"
    "from pipecat.pipeline.pipeline import Pipeline\n"
    "from pipecat.pipeline.worker import PipelineWorker\n"
    "from pipecat.services.llm_service import LLMService\n"
    "from pipecat.services.stt_service import STTService\n"
    "from pipecat.services.tts_service import TTSService\n"
    "from pipecat.workers.runner import WorkerRunner",
}

_PROBE = """
import resource, time
t = time.perf_counter()
{statement}
t = time.perf_counter() - t
with open("/proc/self/statm") as f:
    print(t, int(f.read().split()[1]) * resource.getpagesize() / 2**20)
"""


def _cost(statement: str, python: object, times: int) -> tuple[float, float]:
    """Median seconds and MB of memory afterwards; the first run warms the file cache and is dropped."""
    runs = []
    for _ in range(times + 1):
        out = run_python(_PROBE.format(statement=statement), python=str(python))
        seconds, memory = out.strip().splitlines()[-1].split()
        runs.append((float(seconds), float(memory)))
    return statistics.median(run[0] for run in runs[1:]), statistics.median(run[1] for run in runs[1:])


def measure(plan: Plan) -> list[Row]:
    import sys

    times = 3 if plan.quick else 7
    peers = {name: _cost(PEERS[name], python, times) for name, python in plan.peers.items() if name in PEERS}
    seconds = {name: round(cost[0], 3) for name, cost in peers.items()}
    memory = {name: round(cost[1], 1) for name, cost in peers.items()}
    rows = []
    for what, statement in (("import antiphon", ANTIPHON), ("imports of a minimal bot", ANTIPHON_BOT)):
        took, used = _cost(statement, sys.executable, times)
        rows.append(Row(f"{what}: time", "s", round(took, 3), 0.30, seconds))
        rows.append(Row(f"{what}: memory", "MB", round(used, 1), 60, memory))
    return rows
