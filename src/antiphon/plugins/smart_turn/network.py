"""The trained network on onnxruntime: one session a process."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...models.errors import ConfigurationError
from .features import BANDS, FRAMES, Float32Array

if TYPE_CHECKING:
    import onnxruntime

HOW_TO_INSTALL = "Run: pip install --no-deps pipecat-ai"

_INPUT = "input_features"

_lock = threading.Lock()
_shared: dict[Path, Network] = {}


class Network:
    """The loaded model; safe to call from several threads."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def __call__(self, spectrogram: Float32Array) -> float:
        """The probability that a turn is finished, from a spectrogram of shape (80, 800). Takes some 50 ms of one core."""
        (answers,) = self._session.run(None, {_INPUT: spectrogram[np.newaxis]})
        return float(answers.reshape(-1)[0])


def weights_file() -> Path:
    """The newest weights for a processor that the package `pipecat-ai` brings; the package is not imported.

    Raises:
        ConfigurationError: it is not installed, or holds none.
    """
    package = find_spec("pipecat")
    if package is None or not package.submodule_search_locations:
        raise ConfigurationError(
            f"The audio turn detector needs the weights in the package pipecat-ai. {HOW_TO_INSTALL}"
        )
    folder = Path(next(iter(package.submodule_search_locations))) / "audio" / "turn" / "smart_turn" / "data"
    found = sorted(folder.glob("smart-turn-v3*cpu.onnx"))
    if not found:
        raise ConfigurationError(
            f"This version of pipecat-ai has no Smart Turn 3 weights in {folder}; versions 0.0.90 to 1.14 do. "
            f"{HOW_TO_INSTALL}"
        )
    return found[-1]


def load(path: Path) -> Network:
    """The process's one network of a file; the first call reads it (about 50 ms).

    Raises:
        ConfigurationError: onnxruntime is missing, or the file is no such model.
    """
    path = path.resolve()
    with _lock:
        if path not in _shared:
            _shared[path] = _open(path)
        return _shared[path]


def _open(path: Path) -> Network:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigurationError(
            'The audio turn detector needs the package onnxruntime. Run: pip install "antiphon[local]"'
        ) from error
    options = onnxruntime.SessionOptions()
    # More threads make one answer sooner and all calls slower.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no base class but this
        raise ConfigurationError(f"{path} is no model that onnxruntime can run: {error}") from error
    shapes = {given.name: list(given.shape[1:]) for given in session.get_inputs()}
    if shapes != {_INPUT: [BANDS, FRAMES]}:
        raise ConfigurationError(f"{path} is not a Smart Turn 3 model: it takes {shapes}")
    return Network(session)
