"""Attenuates steady noise in one stream of audio.

A Wiener gain for each frequency from an a-priori signal-to-noise ratio that is estimated "decision-directed", which
keeps what is left of the noise from chirping. Sources: Y. Ephraim and D. Malah, "Speech enhancement using a minimum
mean-square error short-time spectral amplitude estimator", IEEE Trans. ASSP 32(6), 1984, section V (the estimator);
P. Scalart and J. Vieira Filho, "Speech enhancement based on a priori signal to noise estimation", ICASSP 1996 (its
use with a Wiener gain).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from antiphon.audio import AudioFrame, HighPass

from .minimum_statistics import MinimumStatistics
from .stft import LowDelaySTFT

FloatArray = NDArray[np.floating[Any]]

_HOP = 0.005  # seconds
_WINDOW = 0.032
_DECISION_DIRECTED = 0.92  # weight of the previous spectrum in the a-priori ratio
_NOISE_SMOOTHING = 0.05  # seconds
_QUIET = 18.0  # RMS in units of int16 (-65 dBFS) of the noise that a line has at least
_SILENCE = 10.0  # RMS of a hop, in units of int16, below which it says nothing about the noise on the line


@dataclass(frozen=True)
class SuppressorSettings:
    """What differs from one kind of line to another.

    Attributes:
        high_pass: corner in Hz of the filter against rumble and hum.
        band_end: frequency in Hz above which there is no voice; None: up to half the sample rate.
        floor_db: what remains of pure noise.
        memory: seconds after which steady sound counts as noise.
        bias: mean power of steady noise divided by its tracked minimum; about 2.5 with a memory near two seconds.
        rise: dB a second by which growing noise is followed.
    """

    high_pass: float
    band_end: float | None
    floor_db: float
    memory: float
    bias: float = 2.5
    rise: float = 20.0


class NoiseSuppressor:
    """The filter for one stream; the rate is that of the first frame.

    Frames of any length come back with the same length. Audio is late by `delay`: 5 ms when all frames are multiples
    of 5 ms, less than 10 ms otherwise.
    """

    def __init__(self, settings: SuppressorSettings) -> None:
        self._settings = settings
        self._sample_rate = 0

    def _start(self, sample_rate: int) -> None:
        settings = self._settings
        self._sample_rate = sample_rate
        hop = max(1, round(_HOP * sample_rate))
        self._stft = LowDelaySTFT(2 * round(_WINDOW * sample_rate / 2), hop)
        self._high_pass = HighPass(sample_rate, settings.high_pass)
        bins = self._stft.bins
        self._tracker = MinimumStatistics(
            bins,
            pace=2 * hop / sample_rate,
            memory=settings.memory,
            smoothing=_NOISE_SMOOTHING,
            bias=settings.bias,
            rise=settings.rise,
            least=_QUIET**2 * self._stft.white_gain,
        )
        self._floor = 10 ** (settings.floor_db / 20)
        self._ceiling: FloatArray = np.ones(bins)
        if settings.band_end is not None:
            self._ceiling[np.linspace(0, sample_rate / 2, bins) > settings.band_end] = self._floor
        self._speech: FloatArray = np.zeros(bins)  # power of the speech in the spectrum decided on last
        self._gain: FloatArray = self._ceiling
        self._decide = False
        self._hops_of_sound = 0
        self._pending: FloatArray = np.zeros(0)  # input that is no whole hop yet
        self._ready: FloatArray = np.zeros(0)  # output that no frame has taken yet
        self._inserted = 0

    @property
    def delay(self) -> float:
        """Seconds that the output is late; 0.0 before the first frame."""
        return (self._stft.hop + self._inserted) / self._sample_rate if self._sample_rate else 0.0

    def process(self, frame: AudioFrame) -> AudioFrame:
        """Filter the next frame.

        Args:
            frame: audio of any length; several channels are mixed to one. A new sample rate starts anew.

        Returns:
            A mono frame of the same rate and duration.
        """
        mono = frame.to_mono()
        if mono.sample_rate != self._sample_rate:
            self._start(mono.sample_rate)
        count = mono.samples.size
        hop = self._stft.hop
        pending = np.concatenate((self._pending, self._high_pass.filter(mono.samples)))
        whole = pending.size - pending.size % hop
        self._pending = pending[whole:]
        if whole:
            self._ready = np.concatenate((self._ready, self._suppress(pending[:whole])))
        missing = count - self._ready.size
        if missing > 0:  # only in the first frames, and only when they are no multiples of the hop
            self._ready = np.concatenate((np.zeros(missing), self._ready))
            self._inserted += missing
        out = np.clip(np.rint(self._ready[:count]), -32768, 32767).astype(np.int16)
        self._ready = self._ready[count:]
        return AudioFrame(out, self._sample_rate)

    def _suppress(self, samples: FloatArray) -> FloatArray:
        spectra = self._stft.analyse(samples)
        power = spectra.real**2 + spectra.imag**2
        hops = samples.reshape(-1, self._stft.hop)
        sounding = np.einsum("ij,ij->i", hops, hops) > _SILENCE**2 * self._stft.hop
        gains = np.empty_like(power)
        for index, sound in enumerate(sounding.tolist()):
            self._hops_of_sound = self._hops_of_sound + 1 if sound else 0
            # Neighbouring windows share most of their samples: deciding at every second one halves the work.
            self._decide = not self._decide
            if self._decide:
                self._gain = self._decide_gain(power[index])
            gains[index] = self._gain
        return self._stft.synthesise(spectra * gains)

    def _decide_gain(self, power: FloatArray) -> FloatArray:
        # A window that reaches into digital silence (a muted line, a lost packet) would look like very low noise.
        if self._hops_of_sound * self._stft.hop >= self._stft.length:
            noise = self._tracker.update(power)
        else:
            noise = self._tracker.noise
        excess = np.maximum(power - noise, 0.0)
        excess *= 1.0 - _DECISION_DIRECTED
        excess += _DECISION_DIRECTED * self._speech
        gain = excess / (excess + noise)
        np.maximum(gain, self._floor, out=gain)
        np.minimum(gain, self._ceiling, out=gain)
        self._speech = gain * gain * power
        return gain
