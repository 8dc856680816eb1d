"""The trained network as one ONNX file: calibrated, with its vocabulary inside and its weights in 8 bits.

Only weights are rounded, each column or row by a scale of its own; sums are of floats. So a score does not depend on what
else is in the batch, as it would with activations rounded by the range of the batch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .network import TurnNetwork

if TYPE_CHECKING:
    import onnx

_LARGE = 4096  # numbers from which an array is kept in 8 bits


class Verdict(nn.Module):
    """The network as the runtime asks it: one probability a turn."""

    def __init__(self, network: TurnNetwork, slope: float, offset: float) -> None:
        super().__init__()
        self.network = network
        self.slope = slope
        self.offset = offset

    def forward(self, turns: Tensor, context: Tensor, kinds: Tensor, last: Tensor) -> Tensor:
        logits = self.network(turns, context, kinds)
        return (logits.gather(1, last[:, None]).squeeze(1) * self.slope + self.offset).sigmoid()


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


def export(network: TurnNetwork, scaling: tuple[float, float], path: Path, metadata: dict[str, str]) -> None:
    """Write the model file.

    Args:
        network: the trained network.
        scaling: slope and offset of `calibration`.
        path: the file to write.
        metadata: what goes with it: `vocabulary` (one piece a line) and `languages`, at least.
    """
    import onnx

    verdict = Verdict(network.cpu().eval(), *scaling).eval()
    turns, context = torch.ones(2, 7, dtype=torch.long), torch.ones(2, 9, dtype=torch.long)
    batch, pieces, earlier = (
        torch.export.Dim("batch"),
        torch.export.Dim("pieces"),
        torch.export.Dim("earlier"),
    )
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
    model = onnx.load(str(path))
    _round_weights(model)
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # where in whose source files each step came from
        part.doc_string = ""
    del model.graph.value_info[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _round_weights(model: onnx.ModelProto) -> None:
    """Replace large weights by 8-bit ones and a step that widens them."""
    import onnx
    from onnx import helper, numpy_helper

    graph = model.graph
    for tensor in list(graph.initializer):
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.ndim != 2 or array.size < _LARGE:
            continue
        users = [node for node in graph.node if tensor.name in node.input]
        table = all(user.op_type == "Gather" for user in users)
        transposed = any(a.name == "transB" and a.i for user in users for a in user.attribute)
        axis = (
            0 if table or transposed else 1
        )  # of a table each row has a scale, of a matrix each column of the product
        scale = np.maximum(np.abs(array).max(axis=1 - axis, keepdims=True) / 127, 1e-12).astype(np.float32)
        graph.initializer.remove(tensor)
        small, by = f"{tensor.name}.int8", f"{tensor.name}.scale"
        graph.initializer.append(numpy_helper.from_array(np.rint(array / scale).astype(np.int8), small))
        graph.initializer.append(numpy_helper.from_array(scale if table else scale.ravel(), by))
        if not table:
            graph.node.insert(0, helper.make_node("DequantizeLinear", [small, by], [tensor.name], axis=axis))
            continue
        for user in users:
            found, result = user.input[1], user.output[0]
            at = list(graph.node).index(user)
            graph.node.remove(user)
            widened = (
                helper.make_node("Gather", [small, found], [f"{result}.rows"], axis=0),
                helper.make_node("Cast", [f"{result}.rows"], [f"{result}.wide"], to=onnx.TensorProto.FLOAT),
                helper.make_node("Gather", [by, found], [f"{result}.scales"], axis=0),
                helper.make_node("Mul", [f"{result}.wide", f"{result}.scales"], [result]),
            )
            for node in reversed(widened):
                graph.node.insert(at, node)


def describe(vocabulary: list[str]) -> dict[str, str]:
    """The metadata of a model file."""
    return {"vocabulary": "\n".join(vocabulary), "languages": "en"}
