"""What is made up for lost audio."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from antiphon.rtp.concealment import Concealment

RATE = 8000


def tone(seconds: float, frequency: float) -> np.ndarray[Any, Any]:
    return (9000 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)).astype(np.int16)


@pytest.mark.parametrize("frequency", [85.0, 130.0, 220.0, 440.0])
def test_one_lost_frame_of_a_voice_is_hardly_a_change(frequency: float) -> None:
    voice = tone(1.0, frequency)
    concealment = Concealment(RATE)
    for start in range(0, 1600, 160):
        concealment.heard(voice[start : start + 160])
    made = concealment.conceal(160)
    after = concealment.heard(voice[1760:1920])
    whole = np.concatenate([voice[:1600], made, after]).astype(float)
    steps = np.abs(np.diff(whole))
    usual = np.abs(np.diff(voice.astype(float))).max()
    assert steps.max() < 3 * usual + 300
    assert np.sqrt(np.mean(made.astype(float) ** 2)) > 0.5 * 9000 / np.sqrt(2)


def test_a_long_loss_fades_to_silence_within_sixty_milliseconds() -> None:
    concealment = Concealment(RATE)
    concealment.heard(tone(0.2, 200.0))
    made = np.concatenate([concealment.conceal(160) for _ in range(5)])
    power = np.abs(made.astype(float)).reshape(-1, 80).mean(axis=1)
    assert power[0] > 4000
    assert np.all(np.diff(power[1:7]) < 300)
    assert not made[490:].any()


def test_nothing_comes_of_nothing() -> None:
    concealment = Concealment(RATE)
    assert not concealment.conceal(160).any()
    concealment.heard(tone(0.02, 300.0))
    assert not concealment.silence(160).any()
    assert not concealment.active


def test_unbroken_audio_passes_as_it_is() -> None:
    concealment = Concealment(RATE)
    voice = tone(0.4, 300.0)
    parts = [concealment.heard(voice[start : start + 160]) for start in range(0, voice.size, 160)]
    assert np.array_equal(np.concatenate(parts), voice)
