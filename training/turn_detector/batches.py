"""Turns as arrays of pieces, batched with turns of like length."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from antiphon.plugins.turn_detector.text import MAX_TURN, NOTHING, PAD, TURN, Pieces

from .cuts import Step, Turn, balanced, steps, weighed
from .services import dialogue
from .speech import disturbed, spelled

SPELLED, ELSEWHERE = 0.14, 0.2  # spelled turns, and turns about other services, for each turn of the file
_SPELLED_CUTS = (
    2.0  # weight of all cuts of a spelled turn: there are many, and nobody likes to say a number twice
)
_TURN_STEP, _CONTEXT_STEP = (
    4,
    12,
)  # lengths are multiples of these: a processor prepares for each shape it meets
_SORTED = 64  # batches whose turns are sorted by length together


@dataclass
class Batch:
    """B turns of up to T pieces after contexts of up to M pieces."""

    turns: NDArray[np.int64]  # (B, T)
    context: NDArray[np.int64]  # (B, M)
    kinds: NDArray[np.int64]  # (B, M)
    cut: NDArray[np.float32]  # (B, T): weight of "goes on after this piece"
    end: NDArray[np.float32]  # (B, T): weight of "finished after this piece"
    following: NDArray[
        np.int64
    ]  # (B, T): the piece that comes next, TURN after a finished turn, -1 where nothing is known
    drawn: NDArray[np.bool_]  # (B,): by rule, not from the file: nobody knows better


@dataclass
class _Example:
    turn: list[int]
    context: tuple[list[int], list[int]]
    cut: list[float]
    end: list[float]
    following: list[int]
    drawn: bool


class Examples:
    """The examples of one file, disturbed anew in each epoch."""

    def __init__(self, turns: Sequence[Turn], whole: frozenset[str], pieces: Pieces) -> None:
        self._pieces = pieces
        self._whole = whole
        self._steps = [steps(turn.text, whole) for turn in turns]
        self._contexts = [pieces.context(turn.context) for turn in turns]

    def __len__(self) -> int:
        return round(len(self._steps) * (1 + SPELLED + ELSEWHERE))

    def epoch(self, seed: int, size: int) -> Iterator[Batch]:
        """All the examples once, in batches of `size` turns."""
        rng = random.Random(seed)
        order = list(range(len(self)))
        rng.shuffle(order)
        for start in range(0, len(order), _SORTED * size):
            found = [self._example(index, rng) for index in order[start : start + _SORTED * size]]
            found.sort(key=lambda example: (-(-len(example.turn) // _TURN_STEP), len(example.context[0])))
            groups = [found[k : k + size] for k in range(0, len(found), size)]
            rng.shuffle(groups)
            yield from map(_batch, groups)

    def _example(self, index: int, rng: random.Random) -> _Example:
        if index < len(self._steps):
            found = balanced(disturbed(self._steps[index], rng))
            context = self._contexts[index]
        elif index < len(self._steps) * (1 + SPELLED):
            turn, found = spelled(rng)
            found, context = balanced(found, _SPELLED_CUTS), self._pieces.context(turn.context)
        else:
            turn = dialogue(rng)
            found = balanced(disturbed(steps(turn.text, self._whole), rng))
            context = self._pieces.context(turn.context)
        return self._encoded(found, context, drawn=index >= len(self._steps))

    def _encoded(self, found: list[Step], context: tuple[list[int], list[int]], *, drawn: bool) -> _Example:
        ids, cut, end = [TURN], [0.0], [0.0]
        for step in weighed(found):
            spoken = [piece for word in step.words for piece in self._pieces.word(word)]
            ids += spoken
            cut += [0.0] * (len(spoken) - 1) + [step.cut]
            end += [0.0] * (len(spoken) - 1) + [step.end]
        if len(ids) > MAX_TURN:
            ids, cut, end = (
                [TURN, *ids[1 - MAX_TURN :]],
                [0.0, *cut[1 - MAX_TURN :]],
                [0.0, *end[1 - MAX_TURN :]],
            )
        following = [*ids[1:], TURN if end[-1] >= 1 else -1]
        return _Example(ids, context, cut, end, following, drawn)


def _batch(examples: list[_Example]) -> Batch:
    return Batch(
        padded([e.turn for e in examples], PAD, _TURN_STEP),
        padded([e.context[0] for e in examples], PAD, _CONTEXT_STEP),
        padded([e.context[1] for e in examples], NOTHING, _CONTEXT_STEP),
        padded([e.cut for e in examples], 0.0, _TURN_STEP).astype(np.float32),
        padded([e.end for e in examples], 0.0, _TURN_STEP).astype(np.float32),
        padded([e.following for e in examples], -1, _TURN_STEP),
        np.array([e.drawn for e in examples]),
    )


def padded(rows: Sequence[Sequence[float]], filling: float, multiple: int = 1) -> NDArray[np.int64]:
    """Rows of unequal length as one array, filled up at their ends to a multiple of a length."""
    length = -(-max(map(len, rows)) // multiple) * multiple
    array = np.full((len(rows), length), filling, dtype=np.int64 if isinstance(filling, int) else np.float64)
    for k, row in enumerate(rows):
        array[k, : len(row)] = row
    return array
