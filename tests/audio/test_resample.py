import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.audio import AudioFrame, Resampler, resample

RATES = (8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
PAIRS = [(source, target) for source in RATES for target in RATES if source != target]
LIVE_PAIRS = [(48_000, 16_000), (16_000, 48_000), (24_000, 48_000), (8_000, 16_000), (16_000, 8_000)]


def tone(frequency: float, rate: int, seconds: float = 0.25, amplitude: float = 10_000) -> np.ndarray:
    time = np.arange(round(rate * seconds)) / rate
    return np.rint(amplitude * np.sin(2 * np.pi * frequency * time)).astype(np.int16)


def steady_level(samples: np.ndarray) -> float:
    """RMS in dB of the middle half, away from the filter's start and end."""
    middle = samples[samples.size // 4 : -samples.size // 4].astype(float)
    return 10 * math.log10(np.mean(middle**2) + 1e-9)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_voice_band_passes_unchanged(source: int, target: int):
    lower = min(source, target)
    for part in (0.05, 0.2, 0.4):
        before = tone(part * lower, source)
        after = resample(before, source, target)
        assert steady_level(after) == pytest.approx(steady_level(before), abs=0.5), part


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_nothing_above_the_band_folds_back(source: int, target: int):
    for frequency in {0.56 * target, 0.625 * target, 0.8 * target, 0.47 * source}:
        if 0.55 * target < frequency < source / 2:
            before = tone(frequency, source)
            assert steady_level(resample(before, source, target)) < steady_level(before) - 50, frequency


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] < pair[1]])
def test_no_images_above_the_band(source: int, target: int):
    after = resample(tone(0.3 * source, source, 0.5), source, target).astype(float)
    spectrum = np.abs(np.fft.rfft(after * np.hanning(after.size))) ** 2
    frequencies = np.fft.rfftfreq(after.size, 1 / target)
    wanted = spectrum[np.abs(frequencies - 0.3 * source) < 50].sum()
    images = spectrum[frequencies > 0.54 * source].sum()
    assert images < wanted * 1e-5


def test_5_khz_does_not_survive_on_a_telephone_line():
    before = tone(5_000, 16_000)
    assert steady_level(resample(before, 16_000, 8_000)) < steady_level(before) - 55


@settings(max_examples=60, deadline=None)
@given(
    pair=st.sampled_from(PAIRS),
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=12),
    seed=st.integers(0, 2**16),
)
def test_pieces_give_exactly_what_the_whole_gives(pair: tuple[int, int], sizes: list[int], seed: int):
    noise = np.random.default_rng(seed).integers(-32_768, 32_768, sum(sizes)).astype(np.int16)
    whole = Resampler(*pair)
    expected = np.concatenate([whole.push(noise), whole.flush().samples])
    pieces = Resampler(*pair)
    parts = [pieces.push(part) for part in np.split(noise, np.cumsum(sizes)[:-1])]
    parts.append(pieces.flush().samples)
    assert np.array_equal(np.concatenate(parts), expected)


@settings(max_examples=60, deadline=None)
@given(pair=st.sampled_from(PAIRS), sizes=st.lists(st.integers(0, 700), min_size=1, max_size=12))
def test_output_is_never_held_back(pair: tuple[int, int], sizes: list[int]):
    resampler = Resampler(*pair)
    got = given_samples = 0
    for size in sizes:
        got += resampler.push(np.zeros(size, dtype=np.int16)).size
        given_samples += size
        assert got == -(-given_samples * pair[1] // pair[0])


@pytest.mark.parametrize(("source", "target"), LIVE_PAIRS)
def test_20_ms_in_are_20_ms_out(source: int, target: int):
    resampler = Resampler(source, target)
    for _ in range(5):
        assert resampler.push(AudioFrame.silence(0.02, source)).duration == 0.02


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_delay_is_what_it_says_and_small(source: int, target: int):
    resampler = Resampler(source, target)
    assert resampler.delay <= 0.002
    before = tone(200, source)
    after = np.concatenate([resampler.push(before), resampler.flush().samples])
    time = np.arange(after.size) / target
    turn = np.exp(-2j * np.pi * 200 * time)
    window = np.where((time >= 0.05) & (time < 0.2), np.sin(np.pi * (time - 0.05) / 0.15) ** 2, 0)
    phase = np.angle(np.sum(after * turn * window)) + math.pi / 2
    late = (-phase / (2 * np.pi * 200)) % (1 / 200)
    assert late == pytest.approx(resampler.delay, abs=2e-6)


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_a_whole_recording_keeps_its_times(source: int, target: int):
    before = tone(400, source)
    after = resample(before, source, target)
    assert after.size == -(-before.size * target // source)
    expected = tone(400, target, after.size / target)
    inside = slice(target // 50, -target // 50)
    assert np.abs(after[inside].astype(int) - expected[inside]).max() < 60


@pytest.mark.parametrize(
    ("source", "target"), [(22_254, 16_000), (96_000, 16_000), (12_000, 8_000), (6_000, 16_000)]
)
def test_files_of_odd_rates(source: int, target: int):
    before = tone(700, source)
    after = resample(before, source, target)
    assert steady_level(after) == pytest.approx(steady_level(before), abs=0.2)


def test_loud_input_saturates_and_never_wraps():
    square = np.where(np.arange(4_000) % 40 < 20, 32_767, -32_768).astype(np.int16)
    after = resample(square, 16_000, 48_000).astype(int)
    upper = np.repeat(square[50:-50], 3) > 0
    middle = after[150:-150]
    assert np.all(middle[upper & (np.abs(middle) > 30_000)] > 0)
    assert after.max() == 32_767


def test_dc_keeps_its_value_in_every_phase():
    after = resample(np.full(2_000, 12_345, dtype=np.int16), 44_100, 48_000)
    assert set(after[200:-200].tolist()) == {12_345}


def test_equal_rates_pass_through():
    resampler = Resampler(16_000, 16_000)
    samples = tone(440, 16_000)
    assert np.array_equal(resampler.push(samples), samples)
    assert resampler.delay == 0.0
    assert resampler.flush().samples.size == 0


def test_flush_starts_a_new_stream():
    resampler = Resampler(24_000, 16_000)
    first = resampler.push(tone(300, 24_000))
    resampler.flush()
    assert np.array_equal(resampler.push(tone(300, 24_000)), first)


def test_empty_recordings_stay_empty():
    assert resample(np.zeros(0, dtype=np.int16), 48_000, 16_000).size == 0


@pytest.mark.parametrize("frame", [AudioFrame.silence(0.02, 8_000), AudioFrame.silence(0.02, 16_000, 2)])
def test_refuses_frames_of_another_format(frame: AudioFrame):
    with pytest.raises(ValueError, match="mono audio at 16000 Hz"):
        Resampler(16_000, 8_000).push(frame)


def test_refuses_a_rate_of_zero():
    with pytest.raises(ValueError, match="at least 1"):
        Resampler(0, 8_000)
