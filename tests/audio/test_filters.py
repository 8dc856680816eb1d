import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.audio import AudioFrame, Biquad, HighPass


def sample_by_sample(b: tuple[float, float, float], a: tuple[float, float], x: np.ndarray) -> np.ndarray:
    y = np.zeros(x.size + 2)
    padded = np.concatenate([np.zeros(2), x])
    for n in range(2, y.size):
        y[n] = (
            b[0] * padded[n] + b[1] * padded[n - 1] + b[2] * padded[n - 2] - a[0] * y[n - 1] - a[1] * y[n - 2]
        )
    return y[2:]


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 2_500), min_size=1, max_size=6),
    radius=st.floats(0, 0.999),
    angle=st.floats(0, math.pi),
)
def test_blocks_equal_the_recursion_for_any_chunk_sizes(sizes: list[int], radius: float, angle: float):
    x = np.random.default_rng(3).normal(size=sum(sizes))
    b, a = (1.0, -0.5, 0.25), (-2 * radius * math.cos(angle), radius**2)
    biquad = Biquad(b, a)
    parts = [biquad.filter(part) for part in np.split(x, np.cumsum(sizes)[:-1])]
    expected = sample_by_sample(b, a, x)
    scale = 1 + np.abs(expected).max(initial=0)
    assert np.abs(np.concatenate(parts) - expected).max(initial=0) < 1e-8 * scale


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize(
    ("frequency", "lowest", "highest"),
    [(20, -30, -20), (80, -3.2, -2.8), (300, -0.1, 0.1), (3_000, -0.1, 0.1)],
)
def test_response(rate: int, frequency: float, lowest: float, highest: float):
    samples = 10_000 * np.sin(2 * np.pi * frequency * np.arange(rate) / rate)
    filtered = HighPass(rate).filter(samples)
    gain = 20 * math.log10(np.std(filtered[rate // 2 :]) / np.std(samples[rate // 2 :]))
    assert lowest <= gain <= highest


def test_takes_dc_out_of_frames():
    high_pass = HighPass(16_000)
    frame = AudioFrame(np.full(320, 5_000, dtype=np.int16), 16_000)
    for _ in range(50):
        filtered = high_pass.process(frame)
    assert filtered.samples_per_channel == 320
    assert np.abs(filtered.samples).max() <= 1


def test_extreme_input_never_wraps():
    square = np.where(np.arange(1_600) % 800 < 400, 32_767, -32_768).astype(np.int16)
    filtered = HighPass(16_000).process(AudioFrame(square, 16_000)).samples
    # Each edge overshoots full scale: wrapped samples would have the other sign.
    assert filtered[400] == -32_768
    assert filtered[800] == 32_767


def test_reset_forgets():
    high_pass = HighPass(8_000)
    first = high_pass.filter(np.arange(100.0))
    high_pass.reset()
    assert np.array_equal(high_pass.filter(np.arange(100.0)), first)


@pytest.mark.parametrize("arguments", [(8_000, 0.0), (8_000, 4_000.0), (8_000, 80.0, 0.0)])
def test_refuses_impossible_filters(arguments):
    with pytest.raises(ValueError, match="corner"):
        HighPass(*arguments)


def test_refuses_a_frame_of_another_rate():
    with pytest.raises(ValueError, match="16000 Hz"):
        HighPass(16_000).process(AudioFrame.silence(0.02, 8_000))
