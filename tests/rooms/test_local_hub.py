"""Rooms of this process: their life, their clock, and what `LocalRoom` offers beyond the contract of `Room`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.models.errors import AntiphonError
from antiphon.rooms import DTMFEvent, RoomDisconnected
from antiphon.rooms.local import LocalRooms, MediaTick
from antiphon.rooms.local.tick import MAX_CATCH_UP

RATE = 16000


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting for it; `stall` makes time pass unnoticed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def stall(self, seconds: float) -> None:
        self.now += seconds

    def _run_once(self) -> None:
        timers = [handle._when for handle in self._scheduled if not handle._cancelled]  # type: ignore[attr-defined]
        if timers and not self._ready:  # type: ignore[attr-defined]
            self.now = max(self.now, min(timers))
        super()._run_once()  # type: ignore[misc]


def run_virtual(coroutine: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(asyncio.wait_for(coroutine, 3600))


def frame(seconds: float, value: int = 1000) -> AudioFrame:
    return AudioFrame(np.full(round(seconds * RATE), value, dtype=np.int16), RATE)


def test_pacing_is_exact_and_does_not_drift() -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        loop = asyncio.get_running_loop()
        speaker = await hub.join("r", "speaker")
        listener = await hub.join("r", "listener")
        output = await speaker.publish_audio("voice", sample_rate=RATE)
        await asyncio.sleep(0)
        arrivals: list[float] = []
        listener.audio_tracks()[0][1].subscribe(lambda _: arrivals.append(loop.time()))
        start = loop.time()
        finished = asyncio.Event()
        output.on_finished = lambda _: finished.set()
        output.push(frame(60.0))
        output.flush()
        await finished.wait()
        assert len(arrivals) == 3000
        assert arrivals == pytest.approx([start + 0.02 * index for index in range(3000)], abs=1e-6)
        assert not hub.tick.running
        await hub.aclose()

    run_virtual(scenario())


def test_first_audio_waits_for_a_quarter_tick_at_most() -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        loop = asyncio.get_running_loop()
        outputs = []
        waited: list[float] = []
        for index in range(12):
            room = await hub.join("r", f"speaker {index}")
            output = await room.publish_audio("voice", sample_rate=RATE)
            outputs.append(output)
            await asyncio.sleep(0.0037)
            pushed = loop.time()
            output.on_started = lambda pushed=pushed: waited.append(loop.time() - pushed)
            output.push(frame(5.0))
        await asyncio.sleep(0.1)
        assert len(waited) == 12
        assert max(waited) <= 0.005 + 1e-9
        positions = [output.position for output in outputs]
        assert max(positions) - min(positions) <= 0.0037 * 12 + 0.02
        await hub.aclose()

    run_virtual(scenario())


@pytest.mark.parametrize(
    ("stall", "burst"),
    [(0.0, 1), (0.015, 1), (0.045, 3), (0.074, 4), (0.5, MAX_CATCH_UP), (30.0, MAX_CATCH_UP)],
)
def test_a_stall_is_made_up_for_within_reason(stall: float, burst: int) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        tick = MediaTick()
        calls: list[float] = []

        def pull() -> bool:
            calls.append(loop.time())
            return True

        tick.add("source", pull)
        await asyncio.sleep(0.1)
        await asyncio.sleep(0.001)
        before = len(calls)
        last = calls[-1]
        loop.stall(max(0.0, last + 0.02 + stall - loop.time()))
        await asyncio.sleep(0.0005)
        assert len(calls) - before == burst
        assert len(set(calls[before:])) == 1
        await asyncio.sleep(0.2)
        gaps = np.diff(calls[before + burst :])
        assert gaps == pytest.approx(0.02, abs=1e-6), "the grid goes on evenly afterwards"
        assert calls[before + burst] - calls[before] <= 0.02 + 1e-6
        tick.close()
        assert not tick.running

    run_virtual(scenario())


def test_a_failing_source_is_dropped_and_the_others_play_on(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        tick = MediaTick()
        calls: list[int] = []
        tick.add("broken", lambda: 1 // 0 == 0)
        tick.add("sound", lambda: calls.append(1) is None)
        await asyncio.sleep(0.09)
        assert len(calls) == 5
        assert caplog.text.count("'broken' failed on the media tick") == 1
        tick.close()

    run_virtual(scenario())


def test_pause_keeps_audio_and_costs_nothing() -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        room = await hub.join("r", "speaker")
        output = await room.publish_audio("voice", sample_rate=RATE)
        finished: list[float] = []
        output.on_finished = finished.append
        output.push(frame(0.2))
        output.flush()
        await asyncio.sleep(0.05)
        output.pause()
        heard = output.position
        await asyncio.sleep(10)
        assert not hub.tick.running
        assert output.position == heard > 0
        output.resume()
        await asyncio.sleep(0.2)
        assert finished == [pytest.approx(0.2)]
        await hub.aclose()

    run_virtual(scenario())


def test_empty_rooms_go_away() -> None:
    async def scenario() -> None:
        hub = LocalRooms(empty_timeout=30.0)
        hub.create("never used")
        member = await hub.join("used", "someone")
        await asyncio.sleep(29)
        assert set(hub.rooms) == {"never used", "used"}
        await asyncio.sleep(2)
        assert set(hub.rooms) == {"used"}
        await member.disconnect()
        await asyncio.sleep(29)
        again = await hub.join("used", "someone else")
        await asyncio.sleep(60)
        assert again.connected
        await again.disconnect()
        await asyncio.sleep(31)
        assert not hub.rooms
        await hub.aclose()

    run_virtual(scenario())


def test_rooms_are_apart() -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        one = await hub.join("one", "a")
        other = await hub.join("other", "a")
        heard: list[Any] = []
        other.on("data_received", heard.append)
        await one.publish_data("secret")
        await asyncio.sleep(1)
        assert heard == []
        assert one.connected
        assert other.connected
        await hub.aclose()

    run_virtual(scenario())


def test_a_source_is_heard_at_once_and_without_a_copy() -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        caller = await hub.join("r", "caller")
        agent = await hub.join("r", "agent")
        source = caller.publish_source("microphone", RATE)
        await asyncio.sleep(0)
        heard: list[AudioFrame] = []
        agent.audio_tracks()[0][1].subscribe(heard.append)
        sent = frame(0.02)
        source.push(sent)
        assert heard[0] is sent
        with pytest.raises(ValueError, match="16000 Hz"):
            source.push(AudioFrame(np.zeros(480, dtype=np.int16), 48000))
        source.close()
        source.close()
        source.push(sent)
        await asyncio.sleep(0)
        assert len(heard) == 1
        assert agent.audio_tracks() == []
        await hub.aclose()

    run_virtual(scenario())


def test_one_failing_subscriber_keeps_nobody_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        caller = await hub.join("r", "caller")
        agent = await hub.join("r", "agent")
        source = caller.publish_source("microphone", RATE)
        await asyncio.sleep(0)
        track = agent.audio_tracks()[0][1]
        heard: list[AudioFrame] = []
        track.subscribe(lambda _: 1 // 0)
        track.subscribe(heard.append)
        for _ in range(50):
            source.push(frame(0.02))
        assert len(heard) == 50
        assert caplog.text.count("ZeroDivisionError") == 1
        await hub.aclose()

    run_virtual(scenario())


def test_telephone_keys() -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        caller = await hub.join("r", "caller")
        agent = await hub.join("r", "agent")
        pressed: list[DTMFEvent] = []
        agent.on("sip_dtmf_received", pressed.append)
        for digit in "1#A":
            await caller.publish_dtmf(digit)
        await asyncio.sleep(0)
        assert [(event.digit, event.participant.identity) for event in pressed] == [
            ("1", "caller"),
            ("#", "caller"),
            ("A", "caller"),
        ]
        for wrong in ("", "12", "x"):
            with pytest.raises(ValueError, match="not a telephone key"):
                await caller.publish_dtmf(wrong)
        await hub.aclose()

    run_virtual(scenario())


def test_after_leaving_nothing_can_be_sent_and_the_error_says_so() -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        room = await hub.join("r", "gone")
        output = await room.publish_audio("voice", sample_rate=RATE)
        await room.disconnect()
        output.push(frame(1.0))
        assert not hub.tick.running
        with pytest.raises(RoomDisconnected, match="'gone' cannot send data"):
            await room.publish_data("x")
        with pytest.raises(RoomDisconnected):
            await room.send_text("x")
        with pytest.raises(RoomDisconnected):
            await room.set_attributes({})
        with pytest.raises(RoomDisconnected):
            await room.publish_audio("voice", sample_rate=RATE)
        await hub.aclose()
        with pytest.raises(AntiphonError, match="shutting down"):
            await hub.join("r", "late")

    run_virtual(scenario())


def test_a_listener_that_ignores_its_cancellation_does_not_keep_the_room_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        room = await hub.join("r", "listener")
        release = asyncio.Event()

        @room.on("text_received")
        async def stubborn(message: Any) -> None:
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    continue

        other = await hub.join("r", "other")
        await other.send_text("hello")
        await asyncio.sleep(0.1)
        await asyncio.wait_for(room.disconnect(), 10)
        assert "ignores its cancellation" in caplog.text
        release.set()
        await asyncio.sleep(0)
        await hub.aclose()

    run_virtual(scenario())


def test_removing_somebody(run_clean: Any) -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        room = await hub.join("r", "guest")
        reasons: list[str] = []
        room.on("disconnected", reasons.append)
        assert not await hub.remove("r", "stranger")
        assert not await hub.remove("nowhere", "guest")
        assert await hub.remove("r", "guest")
        assert reasons == ["participant removed"]
        await hub.aclose()

    run_clean(scenario())


def test_hub_may_be_closed_from_a_listener(run_clean: Any) -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        room = await hub.join("r", "listener")
        other = await hub.join("r", "other")
        closed = asyncio.Event()

        @room.on("text_received")
        async def shut(message: Any) -> None:
            await hub.aclose()
            closed.set()

        await other.send_text("the end")
        await asyncio.wait_for(closed.wait(), 1.0)
        assert not other.connected

    run_clean(scenario())


def test_two_hundred_rooms_leave_nothing_behind(run_clean: Any) -> None:
    async def scenario() -> None:
        hub = LocalRooms(empty_timeout=0.0)

        async def call(index: int) -> None:
            agent = await hub.join(f"room {index}", "agent")
            caller = await hub.join(f"room {index}", "caller")
            output = await agent.publish_audio("voice", sample_rate=RATE)
            source = caller.publish_source("microphone", RATE)
            agent.on("track_subscribed", lambda track, _: track.subscribe(lambda frame: None))
            for _ in range(5):
                source.push(frame(0.02))
                output.push(frame(0.02))
                await asyncio.sleep(0.001 * (index % 7))
            await (agent if index % 2 else caller).disconnect()
            await hub.close(f"room {index}")

        await asyncio.gather(*(call(index) for index in range(200)))
        assert not hub.rooms
        assert not hub.tick.running or not hub.tick._phase_of
        await hub.aclose()

    run_clean(scenario())
