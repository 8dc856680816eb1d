"""What recording costs: processor time, size and held-up event loop of calls that are recorded while both sides talk."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from antiphon.audio import AudioFrame, Resampler
from antiphon.calls.recording import CallRecorder, RecordingInfo, Recordings, RecordingStorage
from antiphon.rooms import ParticipantKind
from antiphon.rooms.local import LocalRooms
from antiphon.store import open_store

from .measurement import Plan, Row, StallWatch
from .signals import RATE, frames, voice

CALLS = 20
AGENT_RATE = 24000


class _Call:
    """A caller and an agent who both talk all the time."""

    def __init__(self, rooms: LocalRooms, name: str) -> None:
        self.rooms = rooms
        self.name = name
        self.recorder: CallRecorder | None = None

    async def begin(self, recordings: Recordings | None, spoken: AudioFrame) -> None:
        caller = await self.rooms.join(self.name, "caller")
        agent = await self.rooms.join(self.name, "agent", ParticipantKind.AGENT)
        self.microphone = caller.publish_source("microphone", RATE)
        voice = await agent.publish_audio("agent", sample_rate=AGENT_RATE)
        voice.push(spoken)
        if recordings is not None:
            self.recorder = recordings.recorder(f"call_{self.name}", self.rooms, self.name)
            await self.recorder.start()


async def _talk(
    count: int, seconds: float, recordings: Recordings | None
) -> tuple[float, float, Sequence[RecordingInfo]]:
    """CPU seconds, worst stall and the recordings of `count` calls."""
    heard = frames(voice(4.0))
    spoken = AudioFrame(Resampler(RATE, AGENT_RATE).push(voice(seconds)), AGENT_RATE)
    rooms = LocalRooms()
    calls = [_Call(rooms, f"{number}") for number in range(count)]
    for call in calls:
        await call.begin(recordings, spoken)
    loop = asyncio.get_running_loop()
    async with StallWatch() as watch:
        used, began = time.process_time(), loop.time()
        for tick in range(round(seconds / 0.02)):
            await asyncio.sleep(max(0.0, began + tick * 0.02 - loop.time()))
            for number, call in enumerate(calls):
                call.microphone.push(heard[(tick + 7 * number) % len(heard)])
        recorders = [call.recorder for call in calls if call.recorder is not None]
        infos = await asyncio.gather(*(recorder.stop() for recorder in recorders))
        used = time.process_time() - used
        stall = watch.take()
    await rooms.aclose()
    return used, stall, infos


async def _measure(seconds: float) -> list[Row]:
    alone, _, _ = await _talk(CALLS, seconds, None)
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(f"sqlite:{folder}/store.db") as store:
            recordings = Recordings(store, RecordingStorage(Path(folder) / "recordings"))
            await recordings.start()
            recorded, stall, infos = await _talk(CALLS, seconds, recordings)
            await recordings.aclose()
    minutes = sum(info.seconds for info in infos) / 60
    note = f"{CALLS} calls at once for {seconds:g} s, both sides talk all the time"
    return [
        Row(
            "recording: CPU for a minute of a call",
            "s",
            round((recorded - alone) / minutes, 3),
            0.6,
            note=note,
        ),
        Row(
            "recording: size of a minute",
            "KB",
            round(sum(info.bytes for info in infos) / minutes / 1000, 1),
            note=note,
        ),
        Row("recording: longest stall of the event loop", "ms", round(stall * 1000, 1), note=note),
        Row("recording: audio lost", "s", sum(info.gap_seconds for info in infos), 0.0, note=note),
    ]


def measure(plan: Plan) -> list[Row]:
    return asyncio.run(_measure(10.0 if plan.quick else 30.0))
