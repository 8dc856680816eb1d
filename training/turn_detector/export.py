"""The trained network as one ONNX file: calibrated, with its vocabulary inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from antiphon.plugins.turn_detector.text import Pieces, number_near_end
from bench.turn_detector.cases import Case
from bench.turn_detector.metrics import held_at

from .network import TurnNetwork
from .rounding import Feed, round_weights

_CAUTIONS = (1, 2, 3, 5, 8, 12, 20)
_PRICE = 0.005  # of all cut turns: so many fewer may be held for the sake of those that end in a number

SOURCES = """Trained on the Schema-Guided Dialogue dataset (Rastogi et al. 2020, CC BY-SA 4.0) and Taskmaster-4 (Byrne and Ganesh 2024,
CC BY 4.0); begins from all-MiniLM-L6-v2 (Apache-2.0)."""


class Verdict(nn.Module):
    """The network as the runtime asks it: one probability a turn."""

    def __init__(self, network: TurnNetwork, slope: float, offset: float) -> None:
        super().__init__()
        self.network = network
        self.slope = slope
        self.offset = offset

    def forward(self, turns: Tensor, context: Tensor, kinds: Tensor, last: Tensor) -> Tensor:
        return (self.network.at(turns, context, kinds, last) * self.slope + self.offset).sigmoid()


def calibration(logits: np.ndarray, labels: np.ndarray, steps: int = 300) -> tuple[float, float]:
    """Slope and offset that make `sigmoid(slope * logit + offset)` likeliest (Platt 1999), by Newton's method."""
    x = np.stack((logits, np.ones_like(logits)), axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-(x @ weights)))
        gradient = x.T @ (p - labels)
        curvature = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        move = np.linalg.solve(curvature, gradient)
        weights -= move
        if abs(move).max() < 1e-8:
            break
    return float(weights[0]), float(weights[1])


def caution(logits: np.ndarray, cases: Sequence[Case]) -> int:
    """How many times smaller the odds of a turn that ends in a number may be made at a price that the others can bear."""
    labels = np.array([case.label for case in cases])
    numbers = np.array([number_near_end(case.text) for case in cases])
    held = {found: held_at(logits - np.log(found) * numbers, labels).held for found in _CAUTIONS}
    return max(found for found in _CAUTIONS if held[found] >= held[1] - _PRICE)


def export(
    network: TurnNetwork,
    scaling: tuple[float, float],
    examples: Sequence[Feed],
    path: Path,
    metadata: dict[str, str],
) -> None:
    """Write the model file.

    Args:
        network: the trained network.
        scaling: slope and offset of `calibration`.
        examples: questions that rounded numbers get their ranges from, as the runtime gives them.
        path: the file to write.
        metadata: what goes with it: `vocabulary` (one piece a line) and `languages`, at least.
    """
    import onnx

    _trace(Verdict(network.cpu().eval(), *scaling).eval(), path)
    model = onnx.load(str(path))
    round_weights(model, examples)
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # where in whose source files each step came from
        part.doc_string = ""
    del model.graph.value_info[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _trace(verdict: Verdict, path: Path) -> None:
    turns, context = torch.ones(2, 7, dtype=torch.long), torch.ones(2, 9, dtype=torch.long)
    batch, pieces, earlier = (torch.export.Dim(name) for name in ("batch", "pieces", "earlier"))
    torch.onnx.export(
        verdict,
        (turns, context, torch.ones_like(context), torch.tensor([6, 6])),
        str(path),
        input_names=["turns", "context", "kinds", "last"],
        output_names=["probability"],
        dynamic_shapes=(
            {0: batch, 1: pieces},
            {0: batch, 1: earlier},
            {0: batch, 1: earlier},
            {0: batch},
        ),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def describe(vocabulary: list[str], caution: float) -> dict[str, str]:
    """The metadata of a model file."""
    return {
        "vocabulary": "\n".join(vocabulary),
        "languages": "en",
        "sources": SOURCES,
        "caution": f"{caution:g}",
    }


def questions(pieces: Pieces, cases: Sequence[Case]) -> list[Feed]:
    """What the runtime gives the network for these cases, one at a time."""
    found: list[Feed] = []
    for case in cases:
        turn, (context, kinds) = pieces.turn(case.text), pieces.context(case.context)
        found.append(
            {
                "turns": np.array([turn]),
                "context": np.array([context]),
                "kinds": np.array([kinds]),
                "last": np.array([len(turn) - 1]),
            }
        )
    return found
