"""Where frames are put, by their arrival alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.calls.recording.timeline import Channel, Heard, StereoTimeline

RATE = 24000
FRAME = 0.02


@dataclass(frozen=True)
class Row:
    """Frames of 20 ms by arrival; those in `marked` begin with a click; where the clicks are expected."""

    name: str
    arrivals: list[float]
    marked: list[int]
    expected: list[float]
    gaps: int = 0
    rate: int = 16000


def paced(first: float, count: int) -> list[float]:
    return [first + number * FRAME for number in range(count)]


ROWS = [
    Row("in time", paced(1, 100), [0, 50, 99], [1.0, 2.0, 2.98]),
    Row("at the rate of the recording", paced(1, 100), [0, 50], [1.0, 2.0], rate=24000),
    Row("at a rate that does not divide", paced(1, 100), [0, 99], [1.0, 2.98], rate=22050),
    Row("of a telephone", paced(1, 100), [0, 99], [1.0, 2.98], rate=8000),
    Row("after a pause", paced(1, 10) + paced(3.333, 10), [0, 10, 19], [1.0, 3.333, 3.513]),
    Row("one frame late", [*paced(1, 5), 1.115, *paced(1.12, 20)], [4, 5, 6], [1.08, 1.1, 1.12]),
    Row("a burst", [*paced(1, 50), *[2.8] * 40, *paced(2.8, 20)], [50, 70, 95], [2.0, 2.4, 2.9]),
    Row("the beginning in a burst", [*[2.0] * 40, *paced(2, 20)], [0, 20, 45], [1.2, 1.6, 2.1]),
    Row("delay grows for good", [*paced(1, 50), *paced(2.3, 50)], [10, 50, 90], [1.2, 2.3, 3.1]),
    Row("from before the beginning", [*[0.0] * 10, *paced(0.0, 50)], [20, 40], [0.2, 0.6]),
    # 5 s of a stream that was held back for 5 s: what is written already cannot be mended.
    Row("a burst too late", [*paced(1, 50), *[7.0] * 250, *paced(7, 50)], [10, 295], [1.2, 6.9], gaps=1),
]


def play(
    arrivals: list[float], marked: list[int], rate: int, until: float
) -> tuple[np.ndarray, StereoTimeline]:
    """What is recorded of the caller, given out twice a second with 2 s of hindsight."""
    timeline = StereoTimeline(RATE)
    parts = []
    flush = 0.5
    for number, arrival in enumerate(arrivals):
        while flush <= arrival:
            parts.append(timeline.render(flush - 2.0))
            flush += 0.5
        samples = np.zeros(round(rate * FRAME), np.int16)
        if number in marked:
            samples[: rate // 500] = np.resize([20000, -20000], rate // 500)
        timeline.add(Heard(1, Channel.CALLER, arrival, samples, rate))
    parts.append(timeline.render(until))
    return np.concatenate(parts).reshape(-1, 2), timeline


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_frames_are_put_where_they_belong(row: Row) -> None:
    until = max(row.arrivals) + 1.0
    stereo, timeline = play(row.arrivals, row.marked, row.rate, until)
    assert stereo.shape == (round(until * RATE), 2)
    assert not stereo[:, Channel.AGENT].any()
    left = np.abs(stereo[:, Channel.CALLER].astype(int))
    loud = np.flatnonzero(left > 4000) / RATE
    begins = loud[np.diff(loud, prepend=-1.0) > 0.01]
    assert begins == pytest.approx(row.expected, abs=0.003)
    assert timeline.losses.count == row.gaps


def test_two_tracks_of_a_side_are_added_and_never_wrap_around() -> None:
    timeline = StereoTimeline(RATE)
    loud = np.full(RATE, 30000, np.int16)
    timeline.add(Heard(1, Channel.AGENT, 0.0, loud, RATE))
    timeline.add(Heard(2, Channel.AGENT, 0.0, loud, RATE))
    right = timeline.render(1.0).reshape(-1, 2)[:, Channel.AGENT]
    assert right.min() > 30000


def test_one_track_alone_is_not_changed() -> None:
    timeline = StereoTimeline(RATE)
    samples = np.random.default_rng(0).integers(-32768, 32767, RATE).astype(np.int16)
    timeline.add(Heard(1, Channel.AGENT, 0.0, samples, RATE))
    assert np.array_equal(timeline.render(1.0).reshape(-1, 2)[:, Channel.AGENT], samples)


def test_a_track_that_ends_is_heard_to_its_end() -> None:
    timeline = StereoTimeline(RATE)
    timeline.add(Heard(1, Channel.CALLER, 0.0, np.full(8000, 1000, np.int16), 8000))
    timeline.end(1)
    assert abs(timeline.render(0.9).reshape(-1, 2)[-1, 0] - 1000) < 20
    rest = timeline.render(2.0).reshape(-1, 2)[:, 0]
    assert abs(rest[int(0.095 * RATE)] - 1000) < 20
    assert not rest[int(0.105 * RATE) :].any()


@settings(max_examples=30, deadline=None)
@given(
    drift=st.floats(-500e-6, 500e-6),
    jitter=st.floats(0.0, 0.02),
    seed=st.integers(0, 1000),
    rate=st.sampled_from([8000, 16000, 24000, 44100, 48000]),
)
def test_a_drifting_clock_is_followed(drift: float, jitter: float, seed: int, rate: int) -> None:
    late = np.random.default_rng(seed).exponential(jitter + 1e-9, 6000)
    times = np.arange(6000) * FRAME / (1 + drift)
    arrivals = np.maximum.accumulate(times + late)
    marked = [300, 1500, 2900, 4700, 5900]
    stereo, timeline = play(arrivals.tolist(), marked, rate, float(arrivals[-1]) + 1)
    left = np.abs(stereo[:, Channel.CALLER].astype(int))
    for mark in marked:
        first = round((times[mark] - 0.1) * RATE)
        assert np.argmax(left[first : first + RATE // 5] > 4000) / RATE - 0.1 == pytest.approx(0, abs=0.018)
    assert timeline.losses.count == 0


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.floats(0.0, 0.6), max_size=120),
    durations=st.lists(st.sampled_from([0.01, 0.02, 0.06, 0.5]), min_size=1, max_size=7),
    flushes=st.lists(st.floats(0.0, 3.0), max_size=20),
)
def test_any_arrivals_give_as_much_audio_as_time(
    steps: list[float], durations: list[float], flushes: list[float]
) -> None:
    timeline = StereoTimeline(RATE)
    now, total, rendered = 0.0, 0, 0.0
    for number, step in enumerate(steps):
        now += step
        duration = durations[number % len(durations)]
        timeline.add(
            Heard(number % 2, Channel(number % 2), now, np.ones(round(duration * 16000), np.int16), 16000)
        )
        if number < len(flushes):
            rendered = max(rendered, now - flushes[number])
            total += timeline.render(rendered).size // 2
    total += timeline.render(now).size // 2
    assert total == timeline.rendered == round(max(now, 0.0) * RATE)
