import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from antiphon.audio import AudioFrame
from antiphon.rooms.playback import PlaybackBuffer

RATE = 1_000


def ones(count: int) -> AudioFrame:
    return AudioFrame(np.ones(count, dtype=np.int16), RATE)


class Listener:
    """A buffer with a log of what it told."""

    def __init__(self) -> None:
        self.buffer = PlaybackBuffer(RATE, frame_duration=0.01)
        self.log: list[object] = []
        self.buffer.on_started = lambda: self.log.append("started")
        self.buffer.on_finished = self.log.append


# Each step is (method, argument); "pull" expects how many of the pulled samples are audio.
ROWS = [
    (
        "started at the first sample, finished at the last",
        [("push", 15), ("flush", None), ("pull", 10), ("pull", 5)],
        ["started", 0.015],
    ),
    ("an open segment does not finish", [("push", 10), ("pull", 10), ("pull", 0)], ["started"]),
    ("flush after the last sample was pulled", [("push", 10), ("pull", 10), ("flush", None)], ["started", 0.01]),
    (
        "an underrun is silence that does not count",
        [("push", 10), ("pull", 10), ("pull", 0), ("push", 5), ("flush", None), ("pull", 5)],
        ["started", 0.015],
    ),
    (
        "segments follow one another inside one pull",
        [("push", 4), ("flush", None), ("push", 8), ("flush", None), ("pull", 10), ("pull", 2)],
        ["started", 0.004, "started", 0.008],
    ),
    (
        "a segment that ends with the pull finishes in that pull",
        [("push", 10), ("flush", None), ("push", 1), ("pull", 10)],
        ["started", 0.01],
    ),
    ("flush of nothing finishes at once", [("flush", None)], [0.0]),
    (
        "a second flush of nothing waits its turn",
        [("push", 10), ("flush", None), ("flush", None), ("pull", 10)],
        ["started", 0.01, 0.0],
    ),
    ("an empty frame is nothing", [("push", 0), ("flush", None)], [0.0]),
    (
        "clear is no finish",
        [("push", 30), ("pull", 10), ("clear", 0.01), ("pull", 0), ("push", 2), ("flush", None), ("pull", 2)],
        ["started", "started", 0.002],
    ),
    ("clear between segments", [("push", 5), ("flush", None), ("pull", 5), ("clear", 0.0)], ["started", 0.005]),
    (
        "clear ends a pause and forgets ends that were queued",
        [("push", 5), ("flush", None), ("pause", None), ("clear", 0.0), ("push", 3), ("pull", 3)],
        ["started"],
    ),
    (
        "pause keeps everything",
        [("push", 15), ("pull", 10), ("pause", None), ("pull", 0), ("flush", None), ("resume", None), ("pull", 5)],
        ["started", 0.015],
    ),
    ("a pause does not hold up an end that was reached", [("push", 3), ("pull", 3), ("pause", None), ("flush", None)], ["started", 0.003]),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_segments(row):
    _, steps, expected = row
    listener = Listener()
    for method, argument in steps:
        if method == "push":
            listener.buffer.push(ones(argument))
        elif method == "pull":
            pulled = listener.buffer.pull(10)
            assert pulled.tolist() == [1] * argument + [0] * (10 - argument)
        elif method == "clear":
            assert listener.buffer.clear() == argument
        else:
            getattr(listener.buffer, method)()
    assert listener.log == expected


def test_idle_and_has_audio():
    buffer = PlaybackBuffer(RATE)
    assert buffer.idle
    buffer.push(ones(30))
    assert (buffer.idle, buffer.has_audio, buffer.queued_duration) == (False, True, 0.03)
    assert buffer.pull().size == 20
    buffer.pull()
    assert (buffer.idle, buffer.has_audio) == (False, False)  # under way, and late
    buffer.flush()
    assert buffer.idle


def test_listeners_may_change_the_queue():
    listener = Listener()
    buffer = listener.buffer

    def push_next(seconds: float) -> None:
        listener.log.append(seconds)
        if len(listener.log) < 4:
            buffer.push(ones(3))
            buffer.flush()

    buffer.on_finished = push_next
    buffer.push(ones(3))
    buffer.flush()
    assert buffer.pull(10).sum() == 6
    assert listener.log == ["started", 0.003, "started", 0.003]


@pytest.mark.parametrize("method", ["clear", "pause"])
def test_a_listener_can_stop_what_follows(method: str):
    buffer = PlaybackBuffer(RATE)
    buffer.on_finished = lambda _: (getattr(buffer, method)(), None)[1]
    for _ in range(2):
        buffer.push(ones(3))
        buffer.flush()
    assert buffer.pull(10).tolist() == [1] * 3 + [0] * 7
    assert buffer.has_audio == (method == "pause")


def test_pulled_audio_is_the_callers_own():
    buffer = PlaybackBuffer(RATE)
    frame = ones(10)
    buffer.push(frame)
    buffer.pull(10)[:] = 0
    assert frame.samples.all()


@pytest.mark.parametrize("frame", [AudioFrame.silence(0.02, 2_000), AudioFrame.silence(0.02, RATE, 2)])
def test_refuses_frames_of_another_format(frame: AudioFrame):
    with pytest.raises(ValueError, match="mono audio at 1000 Hz"):
        PlaybackBuffer(RATE).push(frame)


def test_refuses_frames_shorter_than_a_sample():
    with pytest.raises(ValueError, match="less than one sample"):
        PlaybackBuffer(RATE, frame_duration=0.0001)


def test_closed_is_silent():
    listener = Listener()
    listener.buffer.push(ones(10))

    async def close_twice() -> None:
        await listener.buffer.aclose()
        await listener.buffer.aclose()

    asyncio.run(close_twice())
    listener.buffer.push(ones(10))
    listener.buffer.flush()
    assert not listener.buffer.pull().any()
    assert listener.log == []


class Playback(RuleBasedStateMachine):
    """Against a model that keeps every sample in one list and knows nothing of chunks."""

    def __init__(self) -> None:
        super().__init__()
        self.buffer = PlaybackBuffer(RATE)
        self.told: list[object] = []
        self.buffer.on_started = lambda: self.told.append("started")
        self.buffer.on_finished = lambda seconds: self.told.append(round(seconds * RATE))
        self.expected: list[object] = []
        self.waiting: list[int | None] = []
        self.played = 0
        self.paused = False
        self.next_value = 1

    @rule(count=st.integers(0, 40))
    def push(self, count: int) -> None:
        values = [1 + (self.next_value + index) % 30_000 for index in range(count)]
        self.next_value += count
        self.waiting += values
        self.buffer.push(AudioFrame(np.array(values, dtype=np.int16), RATE))

    @rule()
    def flush(self) -> None:
        self.waiting.append(None)
        if len(self.waiting) == 1:
            self.finish_segments()
        self.buffer.flush()

    @rule(count=st.integers(0, 60))
    def pull(self, count: int) -> None:
        wanted: list[int] = []
        if not self.paused:
            self.finish_segments()
            while self.waiting and len(wanted) < count:
                value = self.waiting.pop(0)
                assert value is not None
                if not self.played:
                    self.expected.append("started")
                wanted.append(value)
                self.played += 1
                self.finish_segments()
        assert self.buffer.pull(count).tolist() == wanted + [0] * (count - len(wanted))

    @rule()
    def pause(self) -> None:
        self.buffer.pause()
        self.paused = True

    @rule()
    def resume(self) -> None:
        self.buffer.resume()
        self.paused = False

    @rule()
    def clear(self) -> None:
        assert self.buffer.clear() == self.played / RATE
        self.waiting.clear()
        self.played = 0
        self.paused = False

    def finish_segments(self) -> None:
        while self.waiting and self.waiting[0] is None:
            self.waiting.pop(0)
            self.expected.append(self.played)
            self.played = 0

    @invariant()
    def position_is_what_was_pulled(self) -> None:
        assert self.buffer.position == self.played / RATE

    @invariant()
    def listeners_heard_everything_in_order(self) -> None:
        assert self.told == self.expected

    @invariant()
    def knows_whether_it_has_audio(self) -> None:
        assert self.buffer.has_audio == any(value is not None for value in self.waiting)
        assert self.buffer.idle == (not self.waiting and not self.played)


TestNoSampleIsLostOrDoubled = Playback.TestCase
TestNoSampleIsLostOrDoubled.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


@settings(max_examples=40, deadline=None)
@given(
    pushes=st.lists(st.integers(1, 50), min_size=1, max_size=10),
    pulls=st.lists(st.integers(1, 50), min_size=1, max_size=10),
)
def test_a_whole_segment_arrives_once(pushes: list[int], pulls: list[int]):
    buffer = PlaybackBuffer(RATE)
    finished: list[float] = []
    buffer.on_finished = finished.append
    for size in pushes:
        buffer.push(ones(size))
    buffer.flush()
    heard = sum(int(buffer.pull(size).sum()) for size in pulls)
    heard += int(buffer.pull(1_000).sum())
    assert heard == sum(pushes)
    assert finished == [sum(pushes) / RATE]
