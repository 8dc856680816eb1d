"""What a detector must beat: a rule, a regression on the last words, and no opinion."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .cases import Case
from .metrics import FloatArray

# A turn that ends in one of these is not finished.
_UNFINISHED = """a an the this these my your his her its our their some any no every each and or but so because if when while than
    then as of to in on at by for from with about into over after before between i you he she we they is are was were be
    am do does did have has had can could will would shall should may might must i'm i'd i'll i've it's um uh er like
    well please which what where how"""
UNFINISHED = frozenset(_UNFINISHED.split())

_BUCKETS = 1 << 15
_LAST = 4


def keyword_rule(cases: Sequence[Case]) -> FloatArray:
    """0 where the last word asks for another, else 1."""
    return np.array([float(case.text.split()[-1] not in UNFINISHED) for case in cases])


def majority(cases: Sequence[Case]) -> FloatArray:
    """The same for all: it holds nothing at any acceptance."""
    return np.full(len(cases), 0.5)


class LastWords:
    """Logistic regression on the last four words, alone and in pairs, by hashed features."""

    def __init__(self, cases: Sequence[Case], epochs: int = 3, rate: float = 0.15, seed: int = 1) -> None:
        """Fit to cases by stochastic gradient descent with AdaGrad's rates."""
        self._weights = np.zeros(_BUCKETS)
        squares = np.full(_BUCKETS, 1e-6)
        features = [_features(case) for case in cases]
        order = np.random.default_rng(seed)
        for _ in range(epochs):
            for k in order.permutation(len(cases)):
                at = features[k]
                gap = 1 / (1 + np.exp(-self._weights[at].sum())) - cases[k].label
                squares[at] += gap * gap
                self._weights[at] -= rate * gap / np.sqrt(squares[at])

    def __call__(self, cases: Sequence[Case]) -> FloatArray:
        """Probabilities of "finished"."""
        logits = np.array([self._weights[_features(case)].sum() for case in cases])
        return np.asarray(1 / (1 + np.exp(-logits)))


def _features(case: Case) -> list[int]:
    said = ["#" if word.isdigit() else word for word in case.text.split()]
    last = [*["<"] * _LAST, *said][-_LAST:]
    names = [f"{k}={word}" for k, word in enumerate(last)]
    names += [f"{k}:{first} {second}" for k, (first, second) in enumerate(pairwise(last))]
    names += [f"length={min(len(said), 12)}", f"bag={last[-1]}"]
    return [zlib.crc32(name.encode()) % _BUCKETS for name in names]
