"""Input audio for the benches, 16 kHz: a voice and a quiet line, made here so that a bench needs no file."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from antiphon.audio import AudioFrame

RATE = 16000
FRAME = 320  # samples in 20 ms

# Formants of "ah", "ee", "oo" and "eh" in Hz, after Peterson and Barney, "Control methods used in a study of the
# vowels" (1952), table II, men.
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))


def frames(pcm: NDArray[np.int16]) -> list[AudioFrame]:
    """`pcm` as frames of 20 ms; a rest is dropped."""
    return [AudioFrame(pcm[i : i + FRAME], RATE) for i in range(0, pcm.size - FRAME + 1, FRAME)]


def quiet_line(seconds: float) -> NDArray[np.int16]:
    """White noise at -60 dBFS."""
    return (np.random.default_rng(2).standard_normal(int(seconds * RATE)) * 32.8).astype(np.int16)


def voice(seconds: float) -> NDArray[np.int16]:
    """Vowels that change four times a second, with a falling and rising pitch, at -20 dBFS: a VAD takes it for speech."""
    parts = []
    for k in range(round(seconds * 4)):
        t = np.arange(RATE // 4) / RATE
        pitch = 120 + 15 * np.sin(2 * np.pi * 2 * t + k)
        phase = np.cumsum(pitch) / RATE
        sound = np.zeros(t.size)
        for harmonic in range(1, 30):
            strength = sum(1 / (1 + ((harmonic * 120 - f) / 90) ** 2) for f in VOWELS[k % len(VOWELS)])
            sound += strength / harmonic**0.5 * np.sin(2 * np.pi * harmonic * phase)
        parts.append(sound * np.sqrt(np.hanning(t.size)))
    signal = np.concatenate(parts)
    signal *= 0.1 / np.sqrt(np.mean(signal**2))
    pcm: NDArray[np.int16] = np.clip(signal * 32767, -32768, 32767).astype(np.int16)
    return pcm + quiet_line(seconds + 1)[: pcm.size]


def utterances(rig: Path | None) -> list[NDArray[np.int16]]:
    """The rig's recordings of speech, cut at their borders; the made voice where there is no rig."""
    files = sorted((rig / "assets").glob("*.wav")) if rig else []
    return [_read(path) for path in files] or [voice(2)] * 6


def recordings(rig: Path | None) -> NDArray[np.int16]:
    """All utterances in a row, half a second apart."""
    return np.concatenate([part for spoken in utterances(rig) for part in (spoken, quiet_line(0.5))])


def _read(path: Path) -> NDArray[np.int16]:
    with wave.open(str(path)) as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2")
