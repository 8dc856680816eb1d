"""One recorder in a room: what was heard when, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from antiphon.audio import AudioFrame
from antiphon.calls.recording.encoder import RecordingEncoder
from antiphon.calls.recording.info import RecordingInfo, RecordingState
from antiphon.calls.recording.recorder import CallRecorder
from antiphon.rooms import ParticipantKind
from antiphon.rooms.local import LocalRooms
from support.virtual_time import run

RATE = 24000
LEFT, RIGHT = 0, 1


class InlineExecutor(Executor):
    """Does the work at once, because threads know nothing of virtual time."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*args, **kwargs))
        return future


class Owner:
    def wall_clock(self) -> float:
        return 1_700_000_000.0

    def file(self, recorder: CallRecorder) -> asyncio.Task[RecordingInfo]:
        return asyncio.get_running_loop().create_task(recorder.encoded())


class Call:
    """A caller, an agent and a recorder in one room."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rooms = LocalRooms()

    async def begin(self, *, caller_rate: int = 16000, agent_rate: int = 24000) -> None:
        caller = await self.rooms.join("room", "caller", ParticipantKind.SIP)
        self.agent_room = await self.rooms.join("room", "agent", ParticipantKind.AGENT)
        self.microphone = caller.publish_source("microphone", caller_rate)
        self.voice = await self.agent_room.publish_audio("agent", sample_rate=agent_rate)
        info = RecordingInfo("rec_1", "call_1", RecordingState.RECORDING, 0.0)
        encoder = RecordingEncoder(self.path, InlineExecutor(), sample_rate=RATE)
        self.recorder = CallRecorder(Owner(), encoder, info, self.rooms, "room", "caller")
        await asyncio.sleep(0.1)
        self.began = asyncio.get_running_loop().time()
        await self.recorder.start()

    @property
    def time(self) -> float:
        """Seconds since the recording began."""
        return asyncio.get_running_loop().time() - self.began

    async def until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.time))

    async def end(self) -> RecordingInfo:
        info = await self.recorder.stop()
        await self.rooms.aclose()
        return info


def click(rate: int, duration: float = 0.02, at: float = 0.0) -> AudioFrame:
    """Silence with 2 ms of noise beginning at `at`: loud at once, so that its beginning can be found."""
    samples = np.zeros(round(rate * duration), np.int16)
    burst = np.random.default_rng(7).integers(-20000, 20000, round(rate * 0.002))
    first = round(at * rate)
    samples[first : first + burst.size] = burst
    return AudioFrame(samples, rate)


def silence(rate: int, duration: float = 0.02) -> AudioFrame:
    return AudioFrame.silence(duration, rate)


def decoded(path: Path) -> np.ndarray:
    """float array of shape (2, samples) at 48 kHz."""
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def loud_from(channel: np.ndarray, near: float, within: float = 0.2) -> float:
    """When a click near `near` seconds begins."""
    first = max(0, round((near - within) * 48000))
    part = np.abs(channel[first : round((near + within) * 48000)])
    assert part.size, f"the recording ends before {near} s"
    assert part.max() > 0.02, f"nothing is heard near {near} s"
    return (first + int(np.argmax(part > 0.4 * part.max()))) / 48000


def is_silent(channel: np.ndarray, first: float, last: float) -> bool:
    return bool(np.abs(channel[round(first * 48000) : round(last * 48000)]).max() < 0.003)


def test_clicks_of_both_sides_are_where_they_were(tmp_path: Path) -> None:
    call = Call(tmp_path / "a.ogg")

    async def main() -> RecordingInfo:
        await call.begin()
        for second in (1.0, 3.0, 6.5):
            await call.until(second)
            call.microphone.push(click(16000))
            await call.until(second + 0.5)
            call.voice.push(click(24000))
            call.voice.flush()
        await call.until(8.0)
        return await call.end()

    info = run(main())
    audio = decoded(call.path)
    assert info.state is RecordingState.STORED
    assert info.seconds == pytest.approx(8.0, abs=0.001)
    assert info.bytes == call.path.stat().st_size
    assert audio.shape[1] / 48000 == pytest.approx(8.0, abs=0.001)
    for second in (1.0, 3.0, 6.5):
        assert loud_from(audio[LEFT], second) == pytest.approx(second, abs=0.005)
        # An output that begins joins the next phase of the media tick.
        assert loud_from(audio[RIGHT], second + 0.5) == pytest.approx(second + 0.5, abs=0.01)
        assert is_silent(audio[RIGHT], second - 0.1, second + 0.1)
        assert is_silent(audio[LEFT], second + 0.4, second + 0.6)
