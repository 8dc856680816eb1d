"""What voice activity detection costs in real time: one stream alone, and many in one process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from itertools import cycle

from antiphon.audio import AudioFrame
from antiphon.plugins import silero

from .measurement import Plan, Row
from .rig import working_copy
from .signals import FRAME, RATE, frames, quiet_line, recordings

STREAMS = (1, 4, 16, 32, 64, 128)


async def _cpu_alone(audio: list[AudioFrame]) -> float:
    """Share of one core that one stream takes, fed as fast as it goes: how the rig measures the peers'."""
    detector = silero.VAD.load()
    stream = detector.stream(lambda _event: None)
    best = float("inf")
    for _ in range(3):
        before = time.process_time()
        for frame in audio:
            stream.push_frame(frame)
            await asyncio.sleep(0)
        best = min(best, time.process_time() - before)
    stream.close()
    return best / (len(audio) * FRAME / RATE)


def _peers(plan: Plan) -> dict[str, dict[str, float]]:
    """What the rig's `vad_cost.py` says of each peer, in % of a core, by kind of input."""
    if plan.rig is None or not plan.peers:
        return {}
    found: dict[str, dict[str, float]] = {"speech": {}, "silence": {}}
    with working_copy(plan) as rig:
        for name, python in plan.peers.items():
            command = [str(python), "vad_cost.py", {"livekit": "lk", "pipecat": "pc"}[name]]
            result = subprocess.run(command, cwd=rig.folder, capture_output=True, text=True, timeout=120)
            lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
            for kind, seconds in (json.loads(lines[-1])["cpu_s_per_audio_min"] if lines else {}).items():
                found[kind][name] = round(seconds / 60 * 100, 3)
    return found


async def _cpu_share(audio: list[AudioFrame], streams: int, seconds: float) -> float:
    """Share of one core that all streams take together, with a frame for every stream each 20 ms."""
    detector = silero.VAD.load()
    opened = [detector.stream(lambda _event: None) for _ in range(streams)]
    # Streams start at different points, so that not all are in speech, or complete a window, at once.
    inputs = [cycle(audio[k * 37 % len(audio) :] + audio[: k * 37 % len(audio)]) for k in range(streams)]
    loop = asyncio.get_running_loop()
    tick, used_before = loop.time(), 0.0
    warm_up = 50
    for k in range(warm_up + round(seconds / 0.02)):
        if k == warm_up:
            used_before = time.process_time()
        for stream, frame in zip(opened, inputs, strict=True):
            stream.push_frame(next(frame))
        tick += 0.02
        await asyncio.sleep(max(0.0, tick - loop.time()))
    used = time.process_time() - used_before
    for stream in opened:
        stream.close()
    return used / seconds


def measure(plan: Plan) -> list[Row]:
    seconds = 2.0 if plan.quick else 8.0
    inputs = {"speech": frames(recordings(plan.rig)), "silence": frames(quiet_line(10))}
    peers = _peers(plan)
    unit = "% of a core"
    rows = []
    for kind, audio in inputs.items():
        share = round(asyncio.run(_cpu_alone(audio)) * 100, 3)
        rows.append(Row(f"VAD on {kind}, alone", unit, share, 0.4, peers.get(kind, {}), note="at full speed"))
    empty = asyncio.run(_cpu_share([], 0, seconds))
    for kind, audio in inputs.items():
        for streams in STREAMS:
            share = (asyncio.run(_cpu_share(audio, streams, seconds)) - empty) / streams
            what = f"VAD on {kind}, {streams} at once: each"
            rows.append(Row(what, unit, round(share * 100, 3), note="in real time"))
    return rows
