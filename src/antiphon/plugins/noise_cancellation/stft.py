"""A short-time Fourier transform that sees far into the past and delays by one hop.

A long analysis window resolves the harmonics of hum and of voices; a short synthesis window at its end keeps the
delay low. Source: D. Mauler and R. Martin, "A low delay, variable resolution, perfect reconstruction spectral
analysis-synthesis system for speech enhancement", EUSIPCO 2007.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
ComplexArray = NDArray[np.complexfloating[Any, Any]]


class LowDelaySTFT:
    """Analysis and synthesis of one stream. Unchanged spectra give the input back, `hop` samples late.

    Attributes:
        hop: samples between two spectra.
        length: samples of one window.
        bins: values of one spectrum.
        white_gain: power in each bin for white noise of power 1.
    """

    def __init__(self, length: int, hop: int) -> None:
        """Prepare for one stream.

        Args:
            length: samples of the analysis window, more than 2 hops.
            hop: samples between two spectra.
        """
        self.hop = hop
        self.length = length
        self.bins = length // 2 + 1
        short = np.sin(np.pi * np.arange(2 * hop) / (2 * hop))
        rise = np.sin(np.pi * np.arange(length - hop) / (2 * (length - hop)))
        self._analysis = np.concatenate((rise, short[hop:]))
        self.white_gain = float(np.sum(self._analysis**2))
        self._synthesis = short**2 / self._analysis[-2 * hop :]
        self._history: FloatArray = np.zeros(length - hop)
        self._overlap: FloatArray = np.zeros(hop)

    def analyse(self, samples: FloatArray) -> ComplexArray:
        """Spectra of the next samples.

        Args:
            samples: shape (count * hop,).

        Returns:
            Complex array of shape (count, bins); spectrum i sees `length` samples that end with hop i.
        """
        joined = np.concatenate((self._history, samples))
        self._history = joined[samples.size :]
        windows = np.empty((samples.size // self.hop, self.length))
        for index, window in enumerate(windows):
            start = index * self.hop
            np.multiply(joined[start : start + self.length], self._analysis, out=window)
        return np.fft.rfft(windows)

    def synthesise(self, spectra: ComplexArray) -> FloatArray:
        """Samples for the next spectra: shape (count, bins) gives (count * hop,)."""
        hop = self.hop
        frames = np.fft.irfft(spectra, self.length)[:, -2 * hop :] * self._synthesis
        samples = frames[:, :hop].copy()
        samples[0] += self._overlap
        samples[1:] += frames[:-1, hop:]
        self._overlap = frames[-1, hop:].copy()
        flat: FloatArray = samples.reshape(-1)
        return flat
