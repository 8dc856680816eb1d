import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.audio import AudioFrame, FrameProcessor, HighPass, NoiseCancellation
from antiphon.plugins.noise_cancellation import BVC, BVCTelephony
from antiphon.plugins.noise_cancellation.stft import LowDelaySTFT

FILTERS = [BVC(), BVCTelephony()]
SECONDS = 6


def white(rate: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=SECONDS * rate)


def hum(rate: int) -> np.ndarray:
    time = np.arange(SECONDS * rate) / rate
    mains = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 7))
    return mains + 0.05 * white(rate)


def tone_bursts(rate: int, frequency: float) -> tuple[np.ndarray, np.ndarray]:
    """300 ms of tone at the start of each second, and the time of each sample."""
    time = np.arange(SECONDS * rate) / rate
    return np.where(time % 1 < 0.3, 4_000 * np.sin(2 * np.pi * frequency * time), 0), time


def noisy(bursts: np.ndarray, noise: np.ndarray, snr_db: float = 10) -> np.ndarray:
    level = 4_000 / np.sqrt(2) / 10 ** (snr_db / 20)
    return np.rint(bursts + noise / noise.std() * level).astype(np.int16)


def run(processor: FrameProcessor, samples: np.ndarray, rate: int, size: int) -> np.ndarray:
    frames = [AudioFrame(samples[start : start + size], rate) for start in range(0, samples.size, size)]
    return np.concatenate([processor.process(frame).samples for frame in frames])


def power_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples.astype(float) ** 2) + 1e-9))


def tone_db(samples: np.ndarray, time: np.ndarray, frequency: float) -> float:
    return float(20 * np.log10(np.abs(np.sum(samples * np.exp(-2j * np.pi * frequency * time)))))


@pytest.mark.parametrize("choice", FILTERS, ids=lambda choice: type(choice).__name__)
@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("make_noise", [white, hum])
@pytest.mark.parametrize("frequency", [440, 1_000, 2_500])
def test_noise_goes_and_speech_band_tones_stay(choice, rate, make_noise, frequency):
    bursts, time = tone_bursts(rate, frequency)
    before = noisy(bursts, make_noise(rate))
    processor = choice.stream()
    after = run(processor, before, rate, rate // 50)
    late = round(processor.delay * rate)
    after, before, time = after[late:], before[: after.size - late], time[: after.size - late]
    pauses = (time > 3) & (time % 1 > 0.45) & (time % 1 < 0.95)
    assert power_db(after[pauses]) < power_db(before[pauses]) - 9
    tones = (time > 3) & (time % 1 < 0.3)
    assert tone_db(after[tones], time[tones], frequency) == pytest.approx(
        tone_db(before[tones], time[tones], frequency), abs=1.5
    )
    onsets = (time > 3) & (time % 1 < 0.03)
    assert tone_db(after[onsets], time[onsets], frequency) == pytest.approx(
        tone_db(before[onsets], time[onsets], frequency), abs=2
    )


@pytest.mark.parametrize("choice", FILTERS, ids=lambda choice: type(choice).__name__)
def test_a_voice_from_the_first_moment_on_a_quiet_line_is_left_alone(choice):
    rate = 16_000
    time = np.arange(2 * rate) / rate
    syllables = np.sin(2 * np.pi * 2 * time) ** 2
    voice = syllables * sum(np.sin(2 * np.pi * 150 * k * time) for k in range(2, 16)) * 1_000
    before = voice.astype(np.int16)
    processor = choice.stream()
    after = run(processor, before, rate, 320)
    late = round(processor.delay * rate)
    assert power_db(after[late:]) == pytest.approx(power_db(before), abs=1)


def test_noise_after_digital_silence_is_still_known():
    rate = 8_000
    samples = noisy(np.zeros(SECONDS * rate), white(rate))
    samples[3 * rate : 5 * rate] = 0
    after = run(BVC().stream(), samples, rate, 160)
    returned = slice(5 * rate + 800, 6 * rate)
    assert power_db(after[returned]) < power_db(samples[returned]) - 9


def test_telephony_keeps_nothing_above_a_telephones_band():
    rate = 16_000
    time = np.arange(rate) / rate
    before = np.rint(4_000 * np.sin(2 * np.pi * 5_000 * time)).astype(np.int16)
    assert power_db(run(BVCTelephony().stream(), before, rate, 320)) < power_db(before) - 10
    assert power_db(run(BVC().stream(), before, rate, 320)) > power_db(before) - 1


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
def test_delay_is_5_ms_with_the_usual_frames(rate: int):
    processor = BVC().stream()
    assert processor.delay == 0.0
    hop = round(0.005 * rate)
    click = np.zeros(200 * hop, dtype=np.int16)
    click[rate // 2] = 30_000
    after = run(processor, click, rate, 4 * hop)
    assert np.argmax(np.abs(after)) - rate // 2 == hop
    assert processor.delay == hop / rate


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(0, 400), min_size=1, max_size=20), rate=st.sampled_from([8_000, 16_000]))
def test_any_frame_sizes_come_back_at_the_same_length_and_within_10_ms(sizes: list[int], rate: int):
    processor = BVC().stream()
    samples = (white(rate)[: sum(sizes)] * 1_000).astype(np.int16)
    for part in np.split(samples, np.cumsum(sizes)[:-1]):
        frame = processor.process(AudioFrame(part, rate))
        assert (frame.samples.size, frame.sample_rate) == (part.size, rate)
    assert processor.delay < 0.01


def test_one_choice_serves_many_streams():
    choice = BVC()
    frames = [AudioFrame((white(8_000)[:160] * scale).astype(np.int16), 8_000) for scale in (100, 3_000)]
    first, second = choice.stream(), choice.stream()
    for _ in range(50):
        first.process(frames[0])
        loud = second.process(frames[1])
    alone = choice.stream()
    for _ in range(50):
        expected = alone.process(frames[1])
    assert np.array_equal(loud.samples, expected.samples)


def test_stereo_and_a_changed_rate_are_taken():
    processor = BVCTelephony().stream()
    assert processor.process(AudioFrame.silence(0.02, 16_000, 2)).num_channels == 1
    frame = processor.process(AudioFrame.silence(0.02, 8_000))
    assert (frame.sample_rate, frame.samples.size) == (8_000, 160)


@pytest.mark.parametrize("choice", FILTERS, ids=lambda choice: type(choice).__name__)
def test_fits_where_sessions_take_a_filter(choice):
    assert isinstance(choice, NoiseCancellation)
    assert isinstance(choice.stream(), FrameProcessor)
    assert choice.process(AudioFrame.silence(0.02, 8_000)).samples.size == 160


@pytest.mark.parametrize(("length", "hop"), [(256, 40), (512, 80), (353, 55)])
def test_unchanged_spectra_give_the_input_back(length: int, hop: int):
    stft = LowDelaySTFT(length, hop)
    samples = np.random.default_rng(2).normal(size=30 * hop)
    parts = [stft.synthesise(stft.analyse(part)) for part in np.split(samples, [hop, 4 * hop, 20 * hop])]
    assert np.allclose(np.concatenate(parts)[hop:], samples[:-hop])


def test_the_high_pass_comes_first():
    rate = 8_000
    before = np.full(rate, 8_000, dtype=np.int16)
    after = run(BVC().stream(), before, rate, 160)
    assert (
        power_db(after[rate // 2 :]) < power_db(HighPass(rate).process(AudioFrame(before, rate)).samples) - 20
    )
