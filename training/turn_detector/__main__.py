"""`python -m training.turn_detector`: from the dialogues to a model file, its log and its figures."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from antiphon.plugins.turn_detector.text import Pieces
from bench.turn_detector.cases import Case, load

from . import cuts, vocabulary
from .batches import Examples
from .export import calibration, describe, export
from .learning import Learning, Plan, torch_scores
from .network import Shape, TurnNetwork
from .split import split


def main() -> None:
    """Prepare, learn, export."""
    options = _options()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    files = split(options.data / "train.jsonl.gz", options.out)
    turns = cuts.read(files["learn"])
    known = vocabulary.build(turns)
    (options.out / "vocabulary.txt").write_text("\n".join(known) + "\n", encoding="utf-8")
    pieces = Pieces(known)
    network = TurnNetwork(Shape(len(known), width=options.width, layers=options.layers))
    first = vocabulary.first_vectors(known, network.shape.vector, options.seed)
    network.vectors.weight.data.copy_(torch.from_numpy(first))
    plan = Plan(epochs=options.epochs, minutes=options.minutes, seed=options.seed)
    validation = {name: load(options.data, files[name]) for name in ("unseen", "seen")}
    learning = Learning(network, plan, options.out)
    learning.run(Examples(turns, cuts.whole_turns(turns), pieces), pieces, validation)
    _finish(learning.average, known, validation["unseen"] + validation["seen"], options.out)


def _finish(network: TurnNetwork, known: list[str], cases: list[Case], out: Path) -> None:
    """Calibrate on what was set aside, and write the model file."""
    scores = torch_scores(network, Pieces(known), cases)
    scaling = calibration(scores, np.array([case.label for case in cases]))
    export(network, scaling, out / "dialogue.onnx", describe(known))
    print(f"slope {scaling[0]:.3f}, offset {scaling[1]:.3f}; the model is {out / 'dialogue.onnx'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.turn_detector", description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/turns"), help="train.jsonl.gz and pairs.py"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/turn_detector"), help="model, log and checkpoints"
    )
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end after so long, annealed all the same"
    )
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
