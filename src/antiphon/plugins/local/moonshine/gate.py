"""Which parts of a stream sound like something, by energy alone.

This is no voice detector: it finds where an utterance begins, pauses and ends well enough to trim the silence around
it, at a few microseconds a frame. Whether it was speech, a VAD or the recogniser says.
"""

from __future__ import annotations

import numpy as np

from ....audio.frame import Int16Array
from .model import SAMPLE_RATE

BLOCK = SAMPLE_RATE // 100

_FLOOR_MIN = 1e-8  # -80 dBFS
_FLOOR_START = 1e-5  # -50 dBFS
_FALL = 0.3
_RISE = 10 ** (0.03 / 10)  # 3 dB a second
_OVER_FLOOR = 10 ** (8 / 10)
_AUDIBLE = 10 ** (-62 / 10)
_UNDER_LEVEL = 10 ** (-26 / 10)
_LEVEL_MEMORY = 0.95
_LEVEL_FADE = 10 ** (-0.02 / 10)  # 2 dB a second
_ONSET_BLOCKS = 5  # this many of the last eight
_ONSET_SPAN = 8


class SpeechGate:
    """Follows the energy of 10 ms blocks.

    Attributes:
        position: samples measured so far.
        last_active: where the last sounding block ended.
        onset: where the sound that is going on began, or None before enough of it was heard.
        active_blocks: how many blocks sounded since `restart`.
    """

    def __init__(self) -> None:
        self.position = 0
        self.last_active = 0
        self.onset: int | None = None
        self.active_blocks = 0
        self._rest: Int16Array = np.zeros(0, dtype=np.int16)
        self._floor = _FLOOR_START
        self._level = 0.0
        self._recent: list[int] = []

    def restart(self) -> None:
        """Wait for a new onset; noise floor and level stay known."""
        self.onset = None
        self.active_blocks = 0
        self._recent.clear()

    def push(self, samples: Int16Array) -> list[float]:
        """Measure more audio, 16 kHz mono; returns the mean squares of the blocks that it completed."""
        if self._rest.size:
            samples = np.concatenate((self._rest, samples))
        count = samples.size // BLOCK
        self._rest = samples[count * BLOCK :]
        if not count:
            return []
        blocks = samples[: count * BLOCK].reshape(count, BLOCK).astype(np.float32)
        blocks -= blocks.mean(axis=1, keepdims=True)
        powers: list[float] = (np.einsum("ij,ij->i", blocks, blocks) / (BLOCK * 32768.0**2)).tolist()
        for power in powers:
            self._step(power)
        return powers

    def _step(self, power: float) -> None:
        self.position += BLOCK
        active = power > max(self._floor * _OVER_FLOOR, self._level * _UNDER_LEVEL, _AUDIBLE)
        if power < self._floor:
            self._floor = max(self._floor + _FALL * (power - self._floor), _FLOOR_MIN)
        else:
            self._floor = min(self._floor * _RISE, power)
        self._level *= _LEVEL_FADE
        if not active:
            return
        self._level = max(self._level, self._level * _LEVEL_MEMORY + power * (1 - _LEVEL_MEMORY))
        self.last_active = self.position
        self.active_blocks += 1
        if self.onset is None:
            self._recent.append(self.position)
            while self._recent[0] <= self.position - _ONSET_SPAN * BLOCK:
                self._recent.pop(0)
            if len(self._recent) >= _ONSET_BLOCKS:
                self.onset = self._recent[0] - BLOCK
