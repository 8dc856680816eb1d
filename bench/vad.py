"""What voice activity detection costs in real time: one stream alone, and many in one process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import wave
from itertools import cycle
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from antiphon.audio import AudioFrame
from antiphon.plugins import silero

from .measurement import Plan, Row
from .rig import working_copy

RATE = 16000
FRAME = 320  # 20 ms
STREAMS = (1, 4, 16, 32, 64, 128)


def _frames(pcm: NDArray[np.int16]) -> list[AudioFrame]:
    return [AudioFrame(pcm[i : i + FRAME], RATE) for i in range(0, pcm.size - FRAME + 1, FRAME)]


def _noise(seconds: float) -> NDArray[np.int16]:
    """A quiet line: white noise at -60 dBFS."""
    return (np.random.default_rng(2).standard_normal(int(seconds * RATE)) * 32.8).astype(np.int16)


def _speech(rig: Path | None) -> NDArray[np.int16]:
    """The rig's recordings, half a second apart; without a rig, something with the rhythm of speech."""
    recordings = sorted((rig / "assets").glob("*.wav")) if rig else []
    if recordings:
        parts = []
        for path in recordings:
            with wave.open(str(path)) as wav:
                parts.append(np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2"))
            parts.append(_noise(0.5))
        return np.concatenate(parts)
    t = np.arange(12 * RATE) / RATE
    buzz = np.sign(np.sin(2 * np.pi * 120 * t)) * np.sin(2 * np.pi * 700 * t)
    syllables = np.clip(np.sin(2 * np.pi * 4 * t), 0, 1) * (np.sin(2 * np.pi * 0.3 * t) > -0.3)
    speech: NDArray[np.int16] = (0.2 * 32767 * buzz * syllables).astype(np.int16) + _noise(12)
    return speech


async def _cpu_alone(frames: list[AudioFrame]) -> float:
    """Share of one core that one stream takes, fed as fast as it goes: how the rig measures the peers'."""
    detector = silero.VAD.load()
    stream = detector.stream(lambda _event: None)
    best = float("inf")
    for _ in range(3):
        before = time.process_time()
        for frame in frames:
            stream.push_frame(frame)
            await asyncio.sleep(0)
        best = min(best, time.process_time() - before)
    stream.close()
    return best / (len(frames) * FRAME / RATE)


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


async def _cpu_share(frames: list[AudioFrame], streams: int, seconds: float) -> float:
    """Share of one core that all streams take together, with a frame for every stream each 20 ms."""
    detector = silero.VAD.load()
    opened = [detector.stream(lambda _event: None) for _ in range(streams)]
    # Streams start at different points, so that not all are in speech, or complete a window, at once.
    inputs = [cycle(frames[k * 37 % len(frames) :] + frames[: k * 37 % len(frames)]) for k in range(streams)]
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
    inputs = {"speech": _frames(_speech(plan.rig)), "silence": _frames(_noise(10))}
    peers = _peers(plan)
    unit = "% of a core"
    rows = []
    for kind, frames in inputs.items():
        share = round(asyncio.run(_cpu_alone(frames)) * 100, 3)
        rows.append(Row(f"VAD on {kind}, alone", unit, share, 0.4, peers.get(kind, {}), note="at full speed"))
    empty = asyncio.run(_cpu_share([], 0, seconds))
    for kind, frames in inputs.items():
        for streams in STREAMS:
            share = (asyncio.run(_cpu_share(frames, streams, seconds)) - empty) / streams
            what = f"VAD on {kind}, {streams} at once: each"
            rows.append(Row(what, unit, round(share * 100, 3), note="in real time"))
    return rows
