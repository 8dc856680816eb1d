"""Spoken turns with a pause in the middle: what is said, by which voice, and when it is over."""

from __future__ import annotations

import asyncio
import random
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from antiphon.audio import AudioFrame, read_wav, resample
from antiphon.models.registry import resolve_tts

from ..signals import RATE, quiet_line
from .cases import Case

# Pauses inside a turn are mostly below a second and sometimes far longer; shorter ones than these no detector notices.
MEDIAN_PAUSE, SPREAD = 0.7, 0.6
SHORTEST_PAUSE, LONGEST_PAUSE = 0.3, 4.0

LEAD = 0.5  # seconds of quiet line before the first word
VOICES = ("flite slt", "espeak en-us", "flite rms", "flite awb", "espeak en-gb", "flite kal16")
_MIN_WORDS, _MAX_WORDS = 4, 16
_LEVEL = 0.07  # RMS, full scale = 1
_FAINT = 0.003  # of the peak: a last "s" is not much louder


@dataclass(frozen=True)
class Spoken:
    """A turn as it is heard.

    Attributes:
        context: the turns before it, as (role, text).
        parts: what is said before and after the pause.
        voice: a program and its voice.
        pause: seconds between the parts.
        sound: 16 kHz, from `LEAD` seconds before the first word on; ends with the last one.
    """

    context: tuple[tuple[str, str], ...]
    parts: tuple[str, str]
    voice: str
    pause: float
    sound: NDArray[np.int16]

    @property
    def seconds(self) -> float:
        """Where the turn is over."""
        return self.sound.size / RATE


def speak_turns(cases: Sequence[Case], count: int, seed: int = 6) -> list[Spoken]:
    """Turns drawn from reference cases, spoken with a pause where the case was cut; always the same ones.

    Args:
        cases: cut turns, each after the finished one that it was made from.
        count: how many.
        seed: of the draw.
    """
    pairs = [
        (whole, cut)
        for whole, cut in pairwise(cases)
        if cut.label == 0
        and whole.text.startswith(f"{cut.text} ")
        and _MIN_WORDS <= len(whole.text.split()) <= _MAX_WORDS
    ]
    draw = random.Random(seed)
    chosen = draw.sample(pairs, count)
    pauses = [
        min(LONGEST_PAUSE, max(SHORTEST_PAUSE, draw.lognormvariate(np.log(MEDIAN_PAUSE), SPREAD)))
        for _ in chosen
    ]

    def spoken(index: int) -> Spoken:
        whole, cut = chosen[index]
        parts = (cut.text, whole.text[len(cut.text) + 1 :])
        voice = VOICES[index % len(VOICES)]
        first, second = (_say(text, voice) for text in parts)
        silence = np.zeros(round(pauses[index] * RATE))
        sound = np.concatenate([np.zeros(round(LEAD * RATE)), first, silence, second])
        line = quiet_line(sound.size / RATE + 1)[: sound.size]
        pcm = np.clip(np.rint(sound * 32767) + line, -32768, 32767).astype(np.int16)
        return Spoken(whole.context, parts, voice, pauses[index], pcm)

    return [spoken(index) for index in range(count)]


def _say(text: str, voice: str) -> NDArray[np.float64]:
    """The words alone, without the silence around them, at a fixed level."""
    program, name = voice.split()
    frame = _flite(text, name) if program == "flite" else asyncio.run(_espeak(text, name))
    samples = resample(frame.samples, frame.sample_rate, RATE) / 32768
    audible = np.flatnonzero(np.abs(samples) > _FAINT * np.abs(samples).max())
    words: NDArray[np.float64] = samples[audible[0] : audible[-1] + 1]
    return words * (_LEVEL / np.sqrt(np.mean(words**2)))


def _flite(text: str, voice: str) -> AudioFrame:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = ["flite", "-voice", voice, "-t", text, "-o", file.name]
        subprocess.run(command, check=True, timeout=60, capture_output=True)
        return read_wav(Path(file.name)).to_mono()


async def _espeak(text: str, voice: str) -> AudioFrame:
    return await resolve_tts(f"local/espeak:{voice}").synthesize(text).collect()
