"""Rounds the weights of an ONNX model: matrices to 8 bits, tables of vectors to 4.

A product of matrices is computed with integers. Its input is rounded by a range that examples have shown beforehand, so that
a score does not depend on what else is in the batch. Inputs take 7 bits but for a few in 100,000: sums of two products then
fit 16 bits, and processors that have no better instruction (AVX2) give the same answer as those that do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

_LARGE = 4096  # numbers from which an array is rounded
_VENDOR = "com.microsoft"

_STEPS = 127  # of a rounded input
_OUTSIDE = 2e-5  # share of the inputs that may take an eighth bit

Feed = dict[str, NDArray[np.generic]]


def round_weights(model: onnx.ModelProto, examples: Sequence[Feed]) -> None:
    """Replace large matrices and tables by rounded ones, and the steps that use them.

    Args:
        model: the model, changed in place.
        examples: inputs of the model that its numbers get their ranges from.
    """
    graph = model.graph
    made_by = {output: node for node in graph.node for output in node.output}
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    products = {
        node.output[0]: (node, weight)
        for node in graph.node
        if node.op_type == "MatMul"
        and (weight := _value(node.input[1], made_by, arrays)) is not None
        and weight.size >= _LARGE
    }
    ranges = _ranges(model, {node.input[0] for node, _ in products.values()}, examples)
    found: list[NodeProto] = []
    added: list[TensorProto] = [_tensor(name, value) for name, value in _constants().items()]
    for node in graph.node:
        if node.output[0] in products:
            continue  # done with the bias that is added to it
        if node.op_type == "Add" and node.input[0] in products:
            product, weight = products[node.input[0]]
            ends = (product.input[0], node.output[0])
            found += _product(ends, weight, node.input[1], ranges[product.input[0]], added)
        elif node.op_type == "Gather" and arrays.get(node.input[0], np.zeros(0)).size >= 100 * _LARGE:
            found += _rows(node, arrays[node.input[0]], added)
        else:
            found.append(node)
    del graph.node[:]
    graph.node.extend(found)
    names = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend({t.name: t for t in added if t.name not in names}.values())
    _drop_unused(graph)
    model.opset_import.append(helper.make_opsetid(_VENDOR, 1))


def _constants() -> dict[str, NDArray[np.generic] | np.generic]:
    return {"low_bits": np.uint8(15), "four": np.uint8(4), "eight": np.float32(8)}


def _ranges(
    model: onnx.ModelProto, names: Collection[str], examples: Sequence[Feed]
) -> dict[str, tuple[float, float]]:
    """The least and the largest number to expect of intermediate results."""
    import onnxruntime

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    seen: dict[str, list[NDArray[np.float32]]] = {name: [] for name in names}
    for feed in examples:
        for name, array in zip(names, session.run(list(names), feed), strict=True):
            seen[name].append(array.ravel())
    ends = {
        name: np.quantile(np.concatenate(found), (_OUTSIDE, 1 - _OUTSIDE)) for name, found in seen.items()
    }
    return {name: (min(float(low), 0.0), max(float(high), 0.0)) for name, (low, high) in ends.items()}


def _value(
    name: str, made_by: dict[str, NodeProto], arrays: dict[str, NDArray[np.generic]]
) -> NDArray[np.generic] | None:
    """What a name stands for, if it is an array or a slice of one or its transpose; else None."""
    if name in arrays:
        return arrays[name]
    node = made_by.get(name)
    if node is None or node.op_type not in ("Transpose", "Slice"):
        return None
    inputs = [_value(given, made_by, arrays) for given in node.input]
    if any(given is None for given in inputs):
        return None
    if node.op_type == "Transpose":
        return inputs[0].T  # type: ignore[union-attr]
    array, starts, ends, axes, steps = inputs
    where: list[slice] = [slice(None)] * array.ndim  # type: ignore[union-attr]
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):  # type: ignore[arg-type]
        where[int(axis)] = slice(int(start), int(end), int(step))
    return array[tuple(where)]  # type: ignore[index]


def _product(
    ends: tuple[str, str],
    weight: NDArray[np.generic],
    bias: str,
    between: tuple[float, float],
    added: list[TensorProto],
) -> list[NodeProto]:
    """Steps that multiply by a matrix of 8-bit numbers, each column of which has a scale, and add a bias."""
    given, result = ends
    step = np.float32((between[1] - between[0]) / _STEPS)
    scale = np.maximum(np.abs(weight).max(axis=0) / 127, 1e-12).astype(np.float32)
    arrays = {
        f"{given}.step": step,
        f"{given}.zero": np.uint8(round(-between[0] / step)),
        f"{result}.int8": np.rint(weight / scale).astype(np.int8),
        f"{result}.scale": scale,
        f"{result}.zeros": np.zeros(weight.shape[1], dtype=np.int8),
    }
    added += [_tensor(name, value) for name, value in arrays.items()]
    rounded = f"{result}.input"
    constants = [f"{given}.step", f"{result}.scale", f"{given}.zero", f"{result}.zeros"]
    return [
        helper.make_node("QuantizeLinear", [given, f"{given}.step", f"{given}.zero"], [rounded]),
        helper.make_node(
            "MatMulIntegerToFloat",
            [rounded, f"{result}.int8", *constants, bias],
            [result],
            domain=_VENDOR,
        ),
    ]


def _rows(node: NodeProto, table: NDArray[np.generic], added: list[TensorProto]) -> list[NodeProto]:
    """Steps that look vectors up in a table of 4-bit numbers, two a byte, each row of which has a scale."""
    name, index, result = node.input[0], node.input[1], node.output[0]
    packed, scale = pack(table)
    added += [_tensor(f"{name}.int4", packed), _tensor(f"{name}.scale", scale)]
    return [
        helper.make_node("Gather", [f"{name}.int4", index], [f"{result}.pairs"], axis=0),
        helper.make_node("BitwiseAnd", [f"{result}.pairs", "low_bits"], [f"{result}.low"]),
        helper.make_node("BitShift", [f"{result}.pairs", "four"], [f"{result}.high"], direction="RIGHT"),
        helper.make_node("Concat", [f"{result}.low", f"{result}.high"], [f"{result}.both"], axis=-1),
        helper.make_node("Cast", [f"{result}.both"], [f"{result}.wide"], to=TensorProto.FLOAT),
        helper.make_node("Sub", [f"{result}.wide", "eight"], [f"{result}.signed"]),
        helper.make_node("Gather", [f"{name}.scale", index], [f"{result}.scales"], axis=0),
        helper.make_node("Mul", [f"{result}.signed", f"{result}.scales"], [result]),
    ]


def pack(table: NDArray[np.generic]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Rows as 4-bit numbers with the scales that lose least; the first half of a row is in the low bits.

    Returns:
        uint8 of shape (rows, width / 2) and scales of shape (rows, 1).
    """
    largest = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-12).astype(np.float32)
    best, least = largest / 7, np.full(len(table), np.inf, dtype=np.float32)
    for share in np.linspace(0.3, 1.0, 29, dtype=np.float32):
        scale = largest * share / 7
        lost = ((_steps(table, scale) * scale - table) ** 2).sum(axis=1)
        better = lost < least
        best[better], least[better] = scale[better], lost[better]
    found = (_steps(table, best) + 8).astype(np.uint8)
    half = table.shape[1] // 2
    return found[:, :half] | (found[:, half:] << 4), best


def _steps(table: NDArray[np.generic], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(np.rint(table / scale), -8, 7)


def _tensor(name: str, value: NDArray[np.generic] | np.generic) -> TensorProto:
    return numpy_helper.from_array(np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value), name)


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Leave out steps and arrays whose results nobody takes."""
    wanted = {output.name for output in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    tensors: Sequence[TensorProto] = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensors)
