"""Figures of merit for scores of finished (1) and cut (0) turns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ACCEPTED = 0.993


@dataclass(frozen=True)
class OperatingPoint:
    """The threshold that accepts a given share of the finished turns, and the share of the cut ones held there."""

    threshold: float
    held: float


def held_at(scores: FloatArray, labels: IntArray, accepted: float = ACCEPTED) -> OperatingPoint:
    """The highest threshold (a turn is accepted from it on) that accepts `accepted` of the finished turns."""
    finished = np.sort(scores[labels == 1])
    threshold = float(finished[int(np.floor((1 - accepted) * len(finished) + 1e-9))])
    return OperatingPoint(threshold, share_held(scores, labels, threshold))


def share_held(scores: FloatArray, labels: IntArray, threshold: float) -> float:
    """The share of the cut turns that score below the threshold; NaN without any."""
    cut = scores[labels == 0]
    return float((cut < threshold).mean()) if len(cut) else float("nan")


def area_under_curve(scores: FloatArray, labels: IntArray) -> float:
    """The probability that a finished turn scores higher than a cut one, ties counted half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    ones = int((labels == 1).sum())
    zeros = len(labels) - ones
    return float((ranks[labels == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def calibration_error(probabilities: FloatArray, labels: IntArray, bins: int = 15) -> float:
    """Expected calibration error (Naeini et al. 2015): mean gap between what was said and what was so, over equal bins."""
    which = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [
        abs(probabilities[which == k].mean() - labels[which == k].mean()) * (which == k).mean()
        for k in range(bins)
        if (which == k).any()
    ]
    return float(sum(gaps))
