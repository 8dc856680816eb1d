"""Audio kept by time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio import AudioFrame
from antiphon.models.audio_history import AudioHistory

RATE = 1000


def ramp(start: int, count: int) -> AudioFrame:
    return AudioFrame(np.arange(start, start + count, dtype=np.int16), RATE)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=30), st.integers(0, 2000), st.integers(0, 2000))
def test_a_cut_is_what_was_pushed_between_two_times(sizes: list[int], first: int, last: int) -> None:
    history = AudioHistory(1.0)
    for index, size in enumerate(sizes):
        history.push(ramp(sum(sizes[:index]), size))
    total = sum(sizes)
    assert history.end == pytest.approx(total / RATE)
    assert history.end - history.start < 1.0 + 0.3
    kept_from = round(history.start * RATE)
    expected = list(range(max(first, kept_from), min(last, total)))
    audio = history.cut(first / RATE, last / RATE)
    assert (audio.samples.tolist() if audio else []) == expected
    frames = history.frames_since(first / RATE)
    joined = [sample for frame in frames for sample in frame.samples.tolist()]
    assert joined == list(range(total - len(joined), total))
    if first < total:
        assert total - len(joined) <= max(first, kept_from)


def test_formats_do_not_mix() -> None:
    history = AudioHistory(1.0)
    history.push(ramp(0, 10))
    with pytest.raises(ValueError, match="resample before pushing"):
        history.push(AudioFrame(np.zeros(10, np.int16), 2000))


def test_empty() -> None:
    history = AudioHistory(1.0)
    history.forget_before(5.0)
    assert history.cut(0.0, 1.0) is None
    assert (history.start, history.end) == (0.0, 0.0)
