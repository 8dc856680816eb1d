"""The audio turn detector: what it hears of a turn, what it does not take for speech, and what it does without weights."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from antiphon.audio import AudioFrame, read_wav, resample
from antiphon.models.errors import ConfigurationError
from antiphon.plugins.smart_turn import SmartTurn, detector, network
from antiphon.plugins.smart_turn.features import RATE, log_mel
from antiphon.plugins.smart_turn.speech import TAIL, spoken_part
from antiphon.voice import AgentSession
from bench.signals import quiet_line, voice

Sound = NDArray[np.int16]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    detector._announced.clear()
    yield
    network._shared.clear()


def tone(frequency: float, seconds: float, level: float = 8000) -> Sound:
    t = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * frequency * t)).astype(np.int16)


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * RATE), dtype=np.int16)


# -- features ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frequency", "band"), [(250, 5), (1000, 26), (4000, 62)])
def test_a_tone_stands_in_its_band_at_the_end_of_the_window(frequency: float, band: int) -> None:
    seen = log_mel(tone(frequency, 2.0))
    assert seen.shape == (80, 800)
    assert seen.dtype == np.float32
    assert int(seen[:, 700].argmax()) == pytest.approx(band, abs=1)
    assert seen[:, 700].max() > seen[:, 500].max() + 1  # silence goes before


def test_of_a_long_sound_the_last_eight_seconds_count_and_its_level_does_not() -> None:
    sound = voice(9)
    np.testing.assert_array_equal(log_mel(sound), log_mel(sound[-8 * RATE :]))
    np.testing.assert_allclose(log_mel(sound), log_mel(sound // 4), atol=0.05)


def test_silence_has_features_too() -> None:
    assert np.isfinite(log_mel(silence(0))).all()
    assert np.ptp(log_mel(silence(1))) == 0


@pytest.mark.needs("smart turn weights")
def test_features_are_those_that_the_network_was_trained_on() -> None:
    package = importlib.util.find_spec("pipecat")
    assert package is not None
    assert package.submodule_search_locations
    folder = Path(package.submodule_search_locations[0]) / "audio" / "turn" / "smart_turn"
    spec = importlib.util.spec_from_file_location("whisper_features", folder / "_whisper_features.py")
    assert spec is not None
    assert spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    for sound in (voice(3), quiet_line(8), tone(700, 1), silence(8)):
        padded = np.zeros(8 * RATE, dtype=np.float32)
        padded[-sound.size :] = sound / np.float32(32768)
        expected = reference.compute_whisper_log_mel_features(padded, do_normalize=True)
        np.testing.assert_allclose(log_mel(sound), expected, atol=1e-4)


# -- what is speech ------------------------------------------------------------------------------------------------------


def noise(slope: float, seconds: float = 3.0, *, bursts: bool = False) -> Sound:
    """Noise whose power falls with frequency to the `slope`; in bursts, 1.5 a second, or steady."""
    count = round(seconds * RATE)
    random = np.random.default_rng(7)
    spectrum = np.fft.rfft(random.standard_normal(count))
    shaped = np.fft.irfft(spectrum / np.maximum(np.arange(spectrum.size), 1) ** (slope / 2), count)
    shaped /= shaped.std()
    if bursts:
        shaped = shaped * (np.sin(np.arange(count) / RATE * 3 * np.pi) > 0.6)
        shaped += 0.001 * random.standard_normal(count)
    return np.clip(shaped * 3000, -32768, 32767).astype(np.int16)


def clicks() -> Sound:
    sound = quiet_line(3)
    sound[:: RATE // 4] = 20000
    return sound


NO_TURNS = {
    "nothing": silence(0),
    "silence": silence(3),
    "a quiet line": quiet_line(3),
    "hum": tone(50, 3),
    "clicks": clicks(),
    "white noise": noise(0),
    "white bursts": noise(0, bursts=True),
    "pink noise": noise(1),
    "pink bursts": noise(1, bursts=True),
    "brown noise": noise(2),
    "brown bursts": noise(2, bursts=True),
    "a twentieth of a second": voice(0.25)[: RATE // 20],
}


@pytest.mark.parametrize("sound", NO_TURNS.values(), ids=NO_TURNS)
def test_silence_and_noise_are_no_turn(sound: Sound) -> None:
    assert spoken_part(sound) is None


@pytest.mark.parametrize("tail", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("line", [silence, quiet_line], ids=["silence", "a quiet line"])
def test_silence_after_the_last_word_is_cut_off(line: Callable[[float], Sound], tail: float) -> None:
    sound = np.concatenate([line(0.5), voice(2), line(tail)])
    found = spoken_part(sound)
    assert found is not None
    assert found.size / RATE == pytest.approx(2.5 + TAIL, abs=0.06)


@pytest.mark.parametrize("snr", [30, 20, 15])
def test_the_end_is_found_in_noise(snr: float) -> None:
    sound = np.concatenate([silence(0.5), voice(2), silence(1)]).astype(float)
    hiss = noise(1, sound.size / RATE).astype(float)
    sound += hiss / hiss.std() * sound[RATE // 2 : -RATE].std() * 10 ** (-snr / 20)
    found = spoken_part(np.clip(sound, -32768, 32767).astype(np.int16))
    assert found is not None
    assert found.size / RATE == pytest.approx(2.5 + TAIL, abs=0.2)


# -- the detector --------------------------------------------------------------------------------------------------------


class Fake:
    """A network that answers by what it is told and keeps what it saw."""

    def __init__(self, answer: float | Exception = 0.7) -> None:
        self.answer = answer
        self.seen: list[Any] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self, spectrogram: Any) -> float:
        self.seen.append(spectrogram)
        assert self.may_answer.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    monkeypatch.setattr(network, "load", lambda _file: made)
    return made


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "weights.onnx"
    file.write_bytes(b"no model")
    return file


def score(smart_turn: SmartTurn, sound: Sound, rate: int = RATE) -> float | None:
    return asyncio.run(smart_turn.score(AudioFrame(sound, rate)))


def test_speech_is_judged_and_silence_is_not(fake: Fake, weights: Path) -> None:
    smart_turn = SmartTurn(weights)
    assert score(smart_turn, voice(2)) == 0.7
    assert score(smart_turn, silence(2)) is None
    assert score(smart_turn, noise(1)) is None
    assert len(fake.seen) == 1


def test_silence_after_a_turn_changes_nothing(fake: Fake, weights: Path) -> None:
    smart_turn = SmartTurn(weights)
    for tail in (0.5, 2.0):
        score(smart_turn, np.concatenate([voice(2), silence(tail)]))
    np.testing.assert_array_equal(*fake.seen)


def test_audio_of_another_rate_is_taken(fake: Fake, weights: Path) -> None:
    assert score(SmartTurn(weights), resample(voice(2), RATE, 8000), 8000) == 0.7


def test_the_loop_runs_on_meanwhile(fake: Fake, weights: Path) -> None:
    async def scenario() -> float | None:
        fake.may_answer.clear()
        asking = asyncio.create_task(SmartTurn(weights).score(AudioFrame(voice(1), RATE)))
        await asyncio.sleep(0.05)
        assert not asking.done()
        fake.may_answer.set()
        return await asyncio.wait_for(asking, 10)

    assert asyncio.run(scenario()) == 0.7


def test_a_failing_network_is_not_asked_again_and_is_named_once(
    fake: Fake, weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake.answer = RuntimeError("out of memory")
    smart_turn = SmartTurn(weights)
    assert [score(smart_turn, voice(1)) for _ in range(3)] == [None] * 3
    assert score(SmartTurn(weights), voice(1)) is None
    assert len(fake.seen) == 2
    assert len([r for r in caplog.records if r.levelno >= logging.WARNING]) == 1


def test_a_file_that_is_no_model_leaves_the_decision_to_silence(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("onnxruntime")
    smart_turn = SmartTurn(weights)
    asyncio.run(smart_turn.prewarm())
    assert score(smart_turn, voice(1)) is None
    assert "weights.onnx" in caplog.text


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(network, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match="pip install --no-deps pipecat-ai"):
        AgentSession(turn_detection="audio")
    with pytest.raises(ConfigurationError, match=r"absent\.onnx"):
        SmartTurn(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    ("language", "known"), [("en-GB", True), ("hi", True), ("zh_CN", True), (None, True), ("ta", False)]
)
def test_it_knows_the_languages_it_was_trained_on(
    language: str | None, known: bool, fake: Fake, weights: Path
) -> None:
    assert SmartTurn(weights).supports_language(language) is known


# -- the weights themselves ------------------------------------------------------------------------------------------------


def read(path: Path) -> Sound:
    frame = read_wav(path).to_mono()
    return resample(frame.samples, frame.sample_rate, RATE)


@pytest.mark.needs("smart turn weights", "onnxruntime")
def test_the_weights_tell_a_finished_turn_from_a_cut_one(speak: Callable[..., Path]) -> None:
    finished = read(speak("My name is Henry.", "rms", 16000, tail=1.0))
    cut = read(speak("I want to fly to", "rms", 16000, tail=1.0))
    smart_turn = SmartTurn()
    whole, part = score(smart_turn, finished), score(smart_turn, cut)
    assert whole is not None
    assert part is not None
    assert whole > 0.8
    assert part < 0.2
    assert score(smart_turn, silence(3)) is None
    assert list(network._shared) == [network.weights_file().resolve()]
