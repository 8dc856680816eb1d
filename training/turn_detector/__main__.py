"""`python -m training.turn_detector`: from the dialogues to a model file, its log and its figures."""

from __future__ import annotations

import argparse
import copy
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from antiphon.plugins.turn_detector.text import Pieces
from bench.turn_detector.cases import Case, load

from . import cuts, pretrained, vocabulary
from .batches import Examples
from .export import calibration, caution, describe, export, questions
from .learning import Learning, Plan, torch_scores
from .network import Shape, TurnNetwork
from .split import split

_EXAMPLES = 400  # questions that rounded numbers get their ranges from


def main() -> None:
    """Prepare, learn in three rounds, export."""
    options = _options()
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")  # shapes that a processor is ready for
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    files = split(options.data / "train.jsonl.gz", options.out)
    turns = {name: cuts.read(files[name]) for name in ("learn", "unseen")}
    known = vocabulary.build(turns["learn"], pretrained.pieces(), options.pieces)
    (options.out / "vocabulary.txt").write_text("\n".join(known) + "\n", encoding="utf-8")
    whole = cuts.whole_turns([*turns["learn"], *turns["unseen"]])
    cases = {name: _clear(load(options.data, files[name]), whole) for name in ("unseen", "seen")}

    network = TurnNetwork(Shape(len(known), layers=options.layers))
    pretrained.begin(network, known)
    first = Plan(epochs=options.epochs, minutes=options.minutes, seed=options.seed)
    teacher = _learn(first, network, Lesson(turns["learn"], whole, cases), known, options.out / "first")
    everything = Lesson([*turns["learn"], *turns["unseen"]], whole, {"seen": cases["seen"]})
    for number, name in enumerate(("second", "third"), start=1):
        plan = replace(first, rate=first.rate / 2, seed=options.seed + number)
        teacher = _learn(plan, teacher, everything, known, options.out / name, teacher)
    _finish(teacher, known, cases["seen"], options.out)


class Lesson(NamedTuple):
    """What to learn from, and what to measure the result by."""

    turns: list[cuts.Turn]
    whole: frozenset[str]
    cases: dict[str, list[Case]]


def _learn(
    plan: Plan,
    network: TurnNetwork,
    lesson: Lesson,
    known: list[str],
    folder: Path,
    teacher: TurnNetwork | None = None,
) -> TurnNetwork:
    """One round from these weights; gives the average of its weights, at once where the folder has a finished round."""
    folder.mkdir(exist_ok=True)
    torch.manual_seed(plan.seed)
    pieces = Pieces(known)
    learning = Learning(copy.deepcopy(network), plan, folder, teacher)
    learning.run(lambda: Examples(lesson.turns, lesson.whole, pieces), pieces, lesson.cases)
    return learning.average


def _clear(cases: list[Case], whole: frozenset[str]) -> list[Case]:
    """The cases but the cut ones that somebody else said as a whole turn: in a small file many of these are left."""
    return [case for case in cases if case.label == 1 or case.text not in whole]


def _finish(network: TurnNetwork, known: list[str], cases: list[Case], out: Path) -> None:
    """Calibrate on what was set aside, and write the model file."""
    pieces = Pieces(known)
    scores = torch_scores(network, pieces, cases)
    scaling = calibration(scores, np.array([case.label for case in cases]))
    examples = questions(pieces, cases[:: max(1, len(cases) // _EXAMPLES)])
    careful = caution(scores * scaling[0] + scaling[1], cases)
    export(network, scaling, examples, out / "dialogue.onnx", describe(known, careful))
    print(
        f"caution {careful}, slope {scaling[0]:.3f}, offset {scaling[1]:.3f}; the model is {out / 'dialogue.onnx'}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.turn_detector", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/turns"), help="train.jsonl.gz and pairs.py"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/turn_detector"), help="model, log and checkpoints"
    )
    parser.add_argument("--epochs", type=int, default=4, help="of each round")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end each round after so long, annealed all the same"
    )
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--pieces", type=int, default=19_000, help="size of the vocabulary")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
