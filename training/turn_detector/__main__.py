"""`python -m training.turn_detector`: from the dialogues to a model file, its log and its figures."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from antiphon.plugins.turn_detector.text import Pieces
from bench.turn_detector.cases import Case, load

from . import cuts, pretrained, vocabulary
from .batches import Examples
from .export import calibration, describe, export, questions
from .learning import Learning, Plan, load_average, torch_scores
from .network import Shape, TurnNetwork
from .split import split

_EXAMPLES = 400  # questions that rounded numbers get their ranges from


def main() -> None:
    """Prepare, learn, export."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    files = split(options.data / "train.jsonl.gz", options.out)
    turns = cuts.read(files["learn"])
    if options.all:
        turns += cuts.read(files["unseen"])
    known = vocabulary.build(turns, pretrained.pieces(), options.pieces)
    (options.out / "vocabulary.txt").write_text("\n".join(known) + "\n", encoding="utf-8")
    pieces = Pieces(known)
    network = TurnNetwork(Shape(len(known), layers=options.layers))
    pretrained.begin(network, known)
    plan = Plan(epochs=options.epochs, minutes=options.minutes, seed=options.seed)
    whole = cuts.whole_turns(turns)
    validation = {
        name: _clear(load(options.data, files[name]), whole) for name in ("unseen", "seen")[options.all :]
    }
    learning = Learning(network, plan, options.out, [load_average(path) for path in options.teacher])
    learning.run(Examples(turns, whole, pieces), pieces, validation)
    _finish(learning.average, known, [case for cases in validation.values() for case in cases], options.out)


def _clear(cases: list[Case], whole: frozenset[str]) -> list[Case]:
    """The cases but the cut ones that somebody else said as a whole turn: in a small file many of these are left."""
    return [case for case in cases if case.label == 1 or case.text not in whole]


def _finish(network: TurnNetwork, known: list[str], cases: list[Case], out: Path) -> None:
    """Calibrate on what was set aside, and write the model file."""
    pieces = Pieces(known)
    scores = torch_scores(network, pieces, cases)
    scaling = calibration(scores, np.array([case.label for case in cases]))
    examples = questions(pieces, cases[:: max(1, len(cases) // _EXAMPLES)])
    export(network, scaling, examples, out / "dialogue.onnx", describe(known))
    print(f"slope {scaling[0]:.3f}, offset {scaling[1]:.3f}; the model is {out / 'dialogue.onnx'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.turn_detector", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/turns"), help="train.jsonl.gz and pairs.py"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/turn_detector"), help="model, log and checkpoints"
    )
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end after so long, annealed all the same"
    )
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--pieces", type=int, default=19_000, help="size of the vocabulary")
    parser.add_argument("--all", action="store_true", help="learn from the services set aside too")
    parser.add_argument(
        "--teacher",
        type=Path,
        action="append",
        default=[],
        help="checkpoint of an earlier run to learn from; may be repeated",
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
