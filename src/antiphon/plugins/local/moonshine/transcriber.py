"""From the samples of one utterance to a text that is worth believing.

The tiny model hears the same utterance differently with a little more or less silence before it, so an unsure first
hearing is followed by a second one and the surer of the two is taken. And it always says something: what it says to
noise is recognised here and dropped.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ....audio.frame import Int16Array
from .model import SAMPLE_RATE, Float32Array, Hypothesis, Model


@dataclass(frozen=True)
class Transcript:
    """A text and how sure the model is of it (0 to 1); the text is empty where there is nothing to believe."""

    text: str
    confidence: float


_QUOTES = " \"'\u2018\u2019\u201c\u201d"  # the model knows speech from books, and sometimes quotes it

NOTHING = Transcript("", 0.0)

_LEVEL = 0.1  # root mean square of the louder half
_MAX_GAIN = 60.0
_SURE = 0.9
# Silence before, silence after (seconds), gain: two hearings that err on different words.
_FIRST = (0.3, 0.0, 1.0)
_SECOND = (0.4, 0.2, 4.0)

_MIN_CONFIDENCE = 0.45
_MIN_CONFIDENCE_SHORT = 0.55
_SHORT = 3  # tokens
_MAX_WORDS_PER_SECOND = 7.0
# Steady noise, a hum or a tone vary less from one hundredth of a second to the next; speech under as much noise varies more.
_STEADY = 1.0  # dB, standard deviation
_STEADY_BLOCKS = 30
# What captions say where nobody speaks; the model has read many.
_CAPTION = re.compile(
    r"(?i)\bthank(?:s| you)(?: all| so much| very much)? for (?:watching|listening)\b|\bsubscribe\b|\btranscript|\bsubtitle|\bcaption"
)
_TO_NOISE = frozenset({"you", "oh", "so", "uh", "um", "i", "the", "a"})


def transcribe(
    model: Model,
    samples: Int16Array,
    *,
    speech_seconds: float,
    thorough: bool = True,
    cancelled: Callable[[], bool] = lambda: False,
) -> Transcript:
    """Hear one utterance of at most about 30 s.

    Args:
        model: the network.
        samples: mono at 16 kHz, shape (n,): the speech, with what there was up to 0.2 s before and 0.1 s after it.
        speech_seconds: how much of it sounded like speech.
        thorough: whether to hear it a second time when unsure.
        cancelled: asked between steps.

    Raises:
        Cancelled: `cancelled()` became true.
    """
    if samples.size == 0:
        return NOTHING
    if is_steady(samples):
        return NOTHING
    level = _normalised(samples)
    best = model.transcribe(_conditioned(level, *_FIRST), cancelled)
    if thorough and best.confidence < _SURE:
        second = model.transcribe(_conditioned(level, *_SECOND), cancelled)
        if second.confidence > best.confidence and not second.looped:
            best = second
    if not believable(best, speech_seconds):
        return NOTHING
    return Transcript(best.text.strip(_QUOTES), best.confidence)


def believable(heard: Hypothesis, speech_seconds: float) -> bool:
    """Whether this is something that was said, rather than what the model says to noise."""
    if not any(character.isalnum() for character in heard.text):
        return False
    if heard.text.lower() in _TO_NOISE:
        return False  # a bare word without a full stop
    if any(unicodedata.category(c)[0] in "LN" and not _is_latin(c) for c in heard.text):
        return False  # another script than English is written in
    if _CAPTION.search(heard.text) and heard.confidence < _SURE:
        return False
    if len(heard.text.split()) > 2 + _MAX_WORDS_PER_SECOND * speech_seconds:
        return False
    return heard.confidence >= (_MIN_CONFIDENCE_SHORT if heard.tokens <= _SHORT else _MIN_CONFIDENCE)


def _is_latin(character: str) -> bool:
    return character.isascii() or unicodedata.name(character, "").startswith("LATIN")


def is_steady(samples: Int16Array) -> bool:
    """Whether this is a steady sound, as of a fan, a hum or a dial tone, which the model would put words to."""
    count = samples.size // 160
    if count < _STEADY_BLOCKS:
        return False
    blocks = samples[: count * 160].reshape(count, 160).astype(np.float32)
    blocks -= blocks.mean(axis=1, keepdims=True)
    power = np.square(blocks).mean(axis=1)
    sounding = power[power > power.max() / 1000]
    return sounding.size > count // 2 and float(np.std(10 * np.log10(sounding))) < _STEADY


def _normalised(samples: Int16Array) -> Float32Array:
    """Without offset, at the level the model is used to."""
    audio = (samples / 32768).astype(np.float32)
    audio -= audio.mean()
    power = np.square(audio[: audio.size // 160 * 160]).reshape(-1, 160).mean(axis=1)
    if power.size == 0:
        return audio
    louder = np.sort(power)[power.size // 2 :]
    gain = min(_LEVEL / max(float(np.sqrt(louder.mean())), 1e-6), _MAX_GAIN)
    return (audio * gain).astype(np.float32)


def _conditioned(audio: Float32Array, before: float, after: float, gain: float) -> Float32Array:
    padded = np.pad(audio * gain, (round(before * SAMPLE_RATE), round(after * SAMPLE_RATE)))
    return padded.astype(np.float32)
