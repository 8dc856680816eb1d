"""The trained network on onnxruntime: one session a process, many turns a call.

A model file holds everything: weights, the vocabulary and the languages it was trained on. `training/turn_detector` in
the sources makes one.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...models.errors import ConfigurationError
from .text import NOTHING, PAD, Pieces, number_near_end

if TYPE_CHECKING:
    import onnxruntime

MODEL_VARIABLE = "ANTIPHON_TURN_DETECTOR"
SHIPPED = Path(__file__).with_name("dialogue.onnx")

_INPUTS = ("turns", "context", "kinds", "last")
_OUTPUT = "probability"

_lock = threading.Lock()
_shared: dict[Path, Network] = {}


@dataclass(frozen=True)
class Question:
    """A pending turn after the turns before it, oldest first, as (role, text)."""

    context: Sequence[tuple[str, str]]
    text: str


class Network:
    """The loaded model; safe to call from several threads.

    Attributes:
        languages: what it was trained on, as in "en".
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        vocabulary: Sequence[str],
        languages: Sequence[str],
        caution: float = 1.0,
    ) -> None:
        """Take a session of the model, and how many times smaller the odds become where a turn ends in a number."""
        self.languages = frozenset(languages)
        self._caution = caution
        self._session = session
        self._pieces = Pieces(vocabulary)

    def __call__(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        """The probabilities that these turns are finished, shape (B,); what is asked together does not change them."""
        turns = [self._pieces.turn(question.text) for question in questions]
        contexts = [self._pieces.context(question.context) for question in questions]
        answers: tuple[NDArray[np.float32], ...] = self._session.run(
            (_OUTPUT,),
            {
                "turns": _padded(turns, PAD),
                "context": _padded([pieces for pieces, _ in contexts], PAD),
                "kinds": _padded([kinds for _, kinds in contexts], NOTHING),
                "last": np.array([len(turn) - 1 for turn in turns], dtype=np.int64),
            },
        )
        caution = [self._caution if number_near_end(question.text) else 1.0 for question in questions]
        return cautious(answers[0], caution)


def cautious(probabilities: NDArray[np.float32], caution: Sequence[float]) -> NDArray[np.float32]:
    """The probabilities with their odds divided by these numbers, both of shape (B,).

    Numbers come in groups, and whoever is cut off in one has to say it again: so more is asked of a turn that ends in one.
    """
    divisor = np.asarray(caution, dtype=np.float32)
    careful = probabilities / (probabilities + (1 - probabilities) * divisor)
    return careful.astype(np.float32, copy=False)


def _padded(rows: Sequence[Sequence[int]], filling: int) -> NDArray[np.int64]:
    array = np.full((len(rows), max(map(len, rows))), filling, dtype=np.int64)
    for k, row in enumerate(rows):
        array[k, : len(row)] = row
    return array


def model_file() -> Path | None:
    """The model file of this installation: what the environment names, or what came with the package; None without one."""
    named = os.environ.get(MODEL_VARIABLE)
    if named:
        return Path(named)
    return SHIPPED if SHIPPED.is_file() else None


def load(path: Path) -> Network:
    """The process's one network of a file; the first call reads it (about 0.1 s).

    Raises:
        ConfigurationError: onnxruntime is missing, or the file is, or it is no such model.
    """
    path = path.resolve()
    with _lock:
        if path not in _shared:
            _shared[path] = _open(path)
            _give_back_memory()
        return _shared[path]


def _give_back_memory() -> None:
    """Return what reading the file took, about 8 MB, to the system; glibc keeps it otherwise."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _open(path: Path) -> Network:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigurationError(
            'The turn detector needs the package onnxruntime. Run: pip install "antiphon[local]"'
        ) from error
    if not path.is_file():
        raise ConfigurationError(
            f"There is no turn detector's model at {path}; {MODEL_VARIABLE} may name another."
        )
    options = onnxruntime.SessionOptions()
    # A turn is too little work to share out, and an arena would keep the memory of the largest batch for good.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class but this
        raise ConfigurationError(f"{path} is no model that onnxruntime can run: {error}") from error
    about = session.get_modelmeta().custom_metadata_map
    inputs = {given.name for given in session.get_inputs()}
    if not {"vocabulary", "languages"} <= about.keys() or inputs != set(_INPUTS):
        raise ConfigurationError(
            f"{path} is not the model of a turn detector; training/turn_detector makes one."
        )
    try:
        return Network(
            session,
            about["vocabulary"].split("\n"),
            about["languages"].split(","),
            float(about.get("caution", 1)),
        )
    except ValueError as error:
        raise ConfigurationError(f"{path} cannot be used: {error}") from error
