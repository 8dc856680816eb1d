"""The spectrum of steady noise, tracked also while somebody speaks.

In each frequency bin even a busy voice pauses often, so the smallest smoothed power of the last second or two is that
of the noise, less a known bias. Source: R. Martin, "Spectral subtraction based on minimum statistics", EUSIPCO 1994.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]

_STRETCHES = 6  # parts that the memory is kept in; the oldest is dropped as a whole


class MinimumStatistics:
    """Noise power of each bin, from power spectra that come at a fixed pace.

    The estimate falls at once and rises slowly, from a quiet start: who speaks without a pause, or from the first
    moment on, must not be taken for noise.

    Attributes:
        noise: shape (bins,), the noise power known so far.
    """

    def __init__(
        self,
        bins: int,
        *,
        pace: float,
        memory: float,
        smoothing: float,
        bias: float,
        rise: float,
        least: float,
    ) -> None:
        """Prepare for one stream.

        Args:
            bins: values of one spectrum.
            pace: seconds from one spectrum to the next.
            memory: seconds that a minimum counts.
            smoothing: time constant of the smoothed power in seconds.
            bias: mean power of steady noise divided by its tracked minimum.
            rise: dB a second by which the estimate can rise.
            least: the estimate's first and lowest value, above 0.
        """
        self.noise = np.full(bins, least)
        self._least = least
        self._keep = float(np.exp(-pace / smoothing))
        self._bias = bias
        self._rise = 10 ** (rise * pace / 10)
        self._smoothed: FloatArray | None = None
        self._stretch = max(1, round(memory / pace / _STRETCHES))  # spectra in one part of the memory
        self._minima = np.full((_STRETCHES, bins), np.inf)
        self._older: FloatArray = np.full(bins, np.inf)
        self._seen = 0

    def update(self, power: FloatArray) -> FloatArray:
        """Take in the next power spectrum, shape (bins,); returns `noise`."""
        if self._smoothed is None:
            self._smoothed = power.copy()
        self._smoothed += (1.0 - self._keep) * (power - self._smoothed)
        part, place = divmod(self._seen, self._stretch)
        current = self._minima[part % _STRETCHES]
        if place == 0:
            current[:] = np.inf
            self._older = self._minima.min(axis=0)
        np.minimum(current, self._smoothed, out=current)
        self._seen += 1
        lowest = np.minimum(current, self._older)
        lowest *= self._bias
        self.noise *= self._rise
        np.minimum(self.noise, lowest, out=self.noise)
        np.maximum(self.noise, self._least, out=self.noise)
        return self.noise
