import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio import AudioFrame, AudioMixer, mix, soft_limit


def frame(*values: int, rate: int = 8_000) -> AudioFrame:
    return AudioFrame(np.array(values, dtype=np.int16), rate)


def sine(level_dbfs: float) -> np.ndarray:
    return 32_767 * 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * 50 / 1_000 * np.arange(20_000))


def distortion(samples: np.ndarray) -> float:
    """Total harmonic distortion as a part of the fundamental's amplitude."""
    spectrum = np.abs(np.fft.rfft(samples.astype(float)))
    fundamental = samples.size // 20
    harmonics = spectrum[2 * fundamental :: fundamental]
    return float(np.sqrt(np.sum(harmonics**2)) / spectrum[fundamental])


def test_normal_levels_are_not_coloured():
    assert distortion(soft_limit(sine(-6))) < 0.001
    assert np.array_equal(soft_limit(sine(-3.1)), np.rint(sine(-3.1)))


def test_overload_is_bent_and_not_clipped_flat():
    limited = soft_limit(sine(3))
    clipped = np.clip(sine(3), -32_767, 32_767)
    assert distortion(limited) < distortion(clipped)
    assert np.count_nonzero(limited == limited.max()) < np.count_nonzero(clipped == clipped.max()) / 2


@given(values=st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=1, max_size=50))
def test_limiting_keeps_sign_order_and_symmetry(values: list[float]):
    ordered = np.sort(np.array(values))
    limited = soft_limit(ordered).astype(int)
    assert np.all(np.diff(limited) >= 0)
    assert np.all(limited * np.sign(ordered) >= 0)
    assert np.array_equal(soft_limit(-ordered), -limited)
    assert np.abs(limited).max() <= 32_767


def test_many_mixes_at_once_equal_each_alone():
    rng = np.random.default_rng(1)
    stack = rng.integers(-32_768, 32_768, (4, 3, 160)).astype(np.int16)
    gains = rng.uniform(0, 1.5, (4, 3))
    together = mix(stack, gains)
    assert together.shape == (4, 160)
    for index in range(4):
        assert np.array_equal(together[index], mix(stack[index], gains[index]))
    assert np.array_equal(mix(stack), mix(stack, 1.0))
    assert np.array_equal(mix(stack[0]), soft_limit(stack[0].sum(axis=0, dtype=int)))


def test_mixes_with_gains_and_pads_the_shorter_frame():
    mixer = AudioMixer(8_000)
    mixer.set_gain("bed", 0.5)
    mixed = mixer.mix({"voice": frame(100, 200, 300), "bed": frame(1_000, -1_000)})
    assert mixed.samples.tolist() == [600, -300, 300]
    assert mixer.mix({}).samples.size == 0


def test_a_changed_gain_is_reached_without_a_jump():
    mixer = AudioMixer(8_000)
    loud = AudioFrame(np.full(160, 10_000, dtype=np.int16), 8_000)
    mixer.mix({"bed": loud})
    mixer.set_gain("bed", 0.0)
    fading = mixer.mix({"bed": loud}).samples
    assert fading[0] == 10_000
    assert fading[-1] == 0
    assert np.abs(np.diff(fading.astype(int))).max() < 100
    assert not mixer.mix({"bed": loud}).samples.any()


def test_a_source_that_left_comes_back_as_new():
    mixer = AudioMixer(8_000)
    mixer.set_gain("bed", 0.0)
    mixer.remove("bed")
    mixer.remove("stranger")
    assert mixer.mix({"bed": frame(5)}).samples.tolist() == [5]


@pytest.mark.parametrize("wrong", [frame(1, rate=16_000), AudioFrame.silence(0.02, 8_000, 2)])
def test_refuses_another_format_and_names_the_source(wrong: AudioFrame):
    with pytest.raises(ValueError, match="'caller'"):
        AudioMixer(8_000).mix({"caller": wrong})


@pytest.mark.parametrize("gain", [-0.1, float("nan")])
def test_refuses_a_gain_that_is_no_factor(gain: float):
    with pytest.raises(ValueError, match="0 or more"):
        AudioMixer(8_000).set_gain("bed", gain)
