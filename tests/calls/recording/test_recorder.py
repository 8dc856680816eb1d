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


def test_the_voice_and_the_background_are_mixed_on_the_right(tmp_path: Path) -> None:
    call = Call(tmp_path / "a.ogg")

    async def main() -> RecordingInfo:
        await call.begin()
        background = await call.agent_room.publish_audio("background", sample_rate=22050)
        await call.until(2.0)
        call.voice.push(click(24000))
        await call.until(2.5)
        background.push(click(22050))
        await call.until(3.5)
        for output, rate in ((call.voice, 24000), (background, 22050)):
            time = np.arange(rate) / rate
            output.push(AudioFrame((8000 * np.sin(2 * np.pi * 500 * time)).astype(np.int16), rate))
        await call.until(6.0)
        return await call.end()

    run(main())
    left, right = decoded(call.path)
    assert loud_from(right, 2.0) == pytest.approx(2.0, abs=0.01)
    assert loud_from(right, 2.5) == pytest.approx(2.5, abs=0.01)
    # Both tones are there, with whatever phase between them.
    assert 9000 < 32768 * np.abs(right[4 * 48000 : 4 * 48000 + 9600]).max() < 18500
    assert is_silent(left, 0.0, 6.0)


def test_a_pause_of_the_agent_is_silence_of_the_same_length(tmp_path: Path) -> None:
    call = Call(tmp_path / "a.ogg")

    async def main() -> RecordingInfo:
        await call.begin()
        await call.until(1.0)
        for _ in range(3):
            call.voice.push(click(24000, 0.5))
        await call.until(1.31)
        call.voice.pause()
        await call.until(4.7)
        call.voice.resume()
        await call.until(7.0)
        return await call.end()

    run(main())
    right = decoded(call.path)[RIGHT]
    assert loud_from(right, 1.0) == pytest.approx(1.0, abs=0.01)
    assert is_silent(right, 1.1, 4.8)
    # 0.32 s left before the pause, so the second click comes 0.18 s after it.
    assert loud_from(right, 4.88) == pytest.approx(4.88, abs=0.01)
    assert loud_from(right, 5.38) == pytest.approx(5.38, abs=0.01)


def test_what_the_agent_takes_back_is_not_heard(tmp_path: Path) -> None:
    call = Call(tmp_path / "a.ogg")

    async def main() -> RecordingInfo:
        await call.begin()
        await call.until(1.0)
        call.voice.push(click(24000, 3.0, at=0.5))
        call.voice.push(click(24000, 3.0))
        await call.until(2.5)
        call.voice.clear()
        await call.until(6.0)
        return await call.end()

    run(main())
    right = decoded(call.path)[RIGHT]
    assert loud_from(right, 1.5) == pytest.approx(1.5, abs=0.01)
    assert is_silent(right, 1.7, 6.0)


def test_a_late_burst_is_put_where_it_belongs(tmp_path: Path) -> None:
    call = Call(tmp_path / "a.ogg")

    async def main() -> RecordingInfo:
        await call.begin()
        for number in range(300):
            moment = number * 0.02
            # From 3.0 s to 4.0 s the network holds everything back, then delivers it at once.
            await call.until(4.0 if 3.0 <= moment < 4.0 else moment)
            call.microphone.push(click(16000) if number in (50, 175, 250) else silence(16000))
        await call.until(6.0)
        return await call.end()

    info = run(main())
    left = decoded(call.path)[LEFT]
    for second in (1.0, 3.5, 5.0):
        assert loud_from(left, second) == pytest.approx(second, abs=0.005)
    assert info.gaps == 0


def test_an_event_loop_that_stood_still_loses_nothing(tmp_path: Path) -> None:
    """What came meanwhile waits in the sockets; the recorder's own timer is late as well."""
    call = Call(tmp_path / "a.ogg")

    async def main() -> RecordingInfo:
        await call.begin()
        for number in range(600):
            await call.until(number * 0.02)
            if number == 200:
                loop: Any = asyncio.get_running_loop()
                loop._jumping.now += 3.5
                await asyncio.sleep(0)  # the timers that are due come before the sockets
            call.microphone.push(click(16000) if number in (150, 210, 360, 500) else silence(16000))
        return await call.end()

    info = run(main())
    left = decoded(call.path)[LEFT]
    for second in (3.0, 4.2, 7.2, 10.0):
        assert loud_from(left, second) == pytest.approx(second, abs=0.005)
    assert info.gaps == 0


def test_a_caller_who_connects_anew_is_recorded_on(tmp_path: Path) -> None:
    call = Call(tmp_path / "a.ogg")

    async def main() -> RecordingInfo:
        await call.begin()
        await call.until(1.0)
        call.microphone.push(click(16000))
        await call.until(2.0)
        again = await call.rooms.join("room", "caller", ParticipantKind.SIP)
        source = again.publish_source("microphone", 8000)
        await call.until(3.0)
        source.push(click(8000))
        await call.until(5.0)
        return await call.end()

    run(main())
    left, right = decoded(call.path)
    assert loud_from(left, 1.0) == pytest.approx(1.0, abs=0.005)
    assert loud_from(left, 3.0) == pytest.approx(3.0, abs=0.005)
    assert is_silent(right, 0.0, 5.0)


@pytest.mark.slow
@pytest.mark.parametrize("drift", [150e-6, -150e-6], ids=["fast", "slow"])
def test_both_sides_are_true_after_ten_minutes(tmp_path: Path, drift: float) -> None:
    """The caller's clock drifts by 90 ms in that time, and its network delivers unevenly."""
    call = Call(tmp_path / "a.ogg")
    jitter = np.random.default_rng(3).exponential(0.008, 40_000)
    marks = range(5, 600, 35)

    async def caller() -> None:
        spoken = {round(mark / 0.02 * (1 + drift)) for mark in marks}
        for number in range(round(600 / 0.02 * (1 + drift)) - 5):
            await call.until(number * 0.02 / (1 + drift) + jitter[number])
            call.microphone.push(click(16000) if number in spoken else silence(16000))

    async def agent() -> None:
        for mark in marks:
            await call.until(mark + 10)
            call.voice.push(click(24000))

    async def main() -> RecordingInfo:
        await call.begin()
        await asyncio.gather(caller(), agent())
        await call.until(600.0)
        return await call.end()

    info = run(main(), limit=700)
    assert info.gaps == 0
    assert info.seconds == pytest.approx(600.0, abs=0.001)
    left, right = decoded(call.path)
    for mark in marks:
        assert loud_from(left, mark) == pytest.approx(mark, abs=0.015)
        if mark + 10 < 600:
            assert loud_from(right, mark + 10) == pytest.approx(mark + 10, abs=0.01)


def test_a_room_that_closes_leaves_the_recording_so_far(tmp_path: Path) -> None:
    call = Call(tmp_path / "a.ogg")

    async def main() -> RecordingInfo:
        await call.begin()
        await call.until(1.0)
        call.microphone.push(click(16000))
        await call.until(3.0)
        await call.rooms.close("room")
        await call.until(3.5)
        return await call.end()

    info = run(main())
    assert info.state is RecordingState.STORED
    assert loud_from(decoded(call.path)[LEFT], 1.0) == pytest.approx(1.0, abs=0.005)


def test_stopping_twice_and_without_start(tmp_path: Path) -> None:
    async def main() -> None:
        call = Call(tmp_path / "a.ogg")
        await call.begin()
        await call.until(1.0)
        first = await call.recorder.stop()
        assert await call.end() == first

        info = RecordingInfo("rec_2", "call_2", RecordingState.RECORDING, 0.0)
        encoder = RecordingEncoder(tmp_path / "b.ogg", InlineExecutor(), sample_rate=RATE)
        never = CallRecorder(Owner(), encoder, info, LocalRooms(), "room", None)
        assert await never.stop() == info
        assert not (tmp_path / "b.ogg").exists()

    run(main())
