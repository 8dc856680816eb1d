"""The Moonshine tiny network on onnxruntime: an encoder and a decoder, one session each a process.

Paper: Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands", arXiv:2410.15608.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....models.errors import ConfigurationError
from .tokenizer import START, STOP, Tokenizer

Float32Array = NDArray[np.float32]

SAMPLE_RATE = 16000
_MIN_SAMPLES = 1600  # the encoder's first filters need about 60 ms
_TOKENS_PER_SECOND = 6.5  # fast speech; the paper's bound against endless output
_EXTRA_TOKENS = 6
_LONGEST_REPEAT = 6
_REPEATS = 4

_lock = threading.Lock()
_shared: Model | None = None


class Cancelled(Exception):
    """The result of a decoding is not wanted any more."""


@dataclass(frozen=True)
class Hypothesis:
    """What the network heard.

    Attributes:
        text: with the model's own case and punctuation.
        confidence: geometric mean of the tokens' probabilities, the stop included.
        tokens: how many, without the stop.
        looped: whether it repeated itself and was cut off.
    """

    text: str
    confidence: float
    tokens: int
    looped: bool = False


class Model:
    """The loaded network; `transcribe` may be called from any one thread at a time."""

    def __init__(self, encoder: Any, decoder: Any, tokenizer: Tokenizer) -> None:
        self._encoder = encoder
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._outputs = [output.name for output in decoder.get_outputs()]
        self._past: list[str] = []
        empty: dict[str, Float32Array] = {}
        for entry in decoder.get_inputs():
            if entry.name.startswith("past_key_values."):
                self._past.append(entry.name)
                empty[entry.name] = np.zeros((1, entry.shape[1], 0, entry.shape[3]), dtype=np.float32)
        self._empty = empty

    def transcribe(self, samples: Float32Array, cancelled: Callable[[], bool] = lambda: False) -> Hypothesis:
        """Hear one utterance.

        Args:
            samples: mono at 16 kHz, full scale = 1, shape (n,); up to about 30 s.
            cancelled: asked before each token.

        Raises:
            Cancelled: `cancelled()` became true.
        """
        if samples.size < _MIN_SAMPLES:
            samples = np.pad(samples, (0, _MIN_SAMPLES - samples.size))
        mask = np.ones((1, samples.size), dtype=np.int64)
        hidden = self._encoder.run(None, {"input_values": samples[np.newaxis], "attention_mask": mask})[0]
        limit = math.ceil(samples.size / SAMPLE_RATE * _TOKENS_PER_SECOND) + _EXTRA_TOKENS
        tokens, log_probability, looped = self._decode(hidden, mask, limit, cancelled)
        confidence = math.exp(log_probability / (len(tokens) + 1))
        return Hypothesis(self._tokenizer.decode(tokens), confidence, len(tokens), looped)

    def _decode(
        self, hidden: Float32Array, mask: NDArray[np.int64], limit: int, cancelled: Callable[[], bool]
    ) -> tuple[list[int], float, bool]:
        """Greedy search with cached keys and values: tokens, sum of their log-probabilities, whether it looped."""
        feeds: dict[str, Any] = {
            "encoder_hidden_states": hidden,
            "encoder_attention_mask": mask,  # of the samples: the decoder takes each 384th
            "input_ids": np.array([[START]], dtype=np.int64),
            "use_cache_branch": np.array([False]),
            **self._empty,
        }
        tokens: list[int] = []
        total = 0.0
        for step in range(limit):
            if cancelled():
                raise Cancelled
            results = dict(zip(self._outputs, self._decoder.run(self._outputs, feeds), strict=True))
            logits = results["logits"][0, -1]
            token = int(logits.argmax())
            total -= math.log(float(np.exp(logits - logits[token]).sum()))
            if token == STOP:
                break
            tokens.append(token)
            repeat = _repeated(tokens)
            if repeat:
                return tokens[: len(tokens) - repeat * (_REPEATS - 1)], total, True
            feeds["input_ids"] = np.array([[token]], dtype=np.int64)
            feeds["use_cache_branch"] = np.array([True])
            for name in self._past:
                # The encoder's keys come out once, with the first token.
                if step == 0 or ".decoder." in name:
                    feeds[name] = results[name.replace("past_key_values", "present")]
        return tokens, total, False


def _repeated(tokens: list[int]) -> int:
    """The length of what the last tokens say four times over, or 0."""
    for length in range(1, _LONGEST_REPEAT + 1):
        tail = tokens[-length * _REPEATS :]
        if len(tail) == length * _REPEATS and tail == tail[:length] * _REPEATS:
            return length
    return 0


def load() -> Model:
    """The process's one model; the first call reads it (about 0.3 s, 90 MB).

    Raises:
        ConfigurationError: a package is missing, or has no weights.
    """
    global _shared
    with _lock:
        if _shared is None:
            _shared = _open_model()
        return _shared


def _open_model() -> Model:
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("the package onnxruntime") from error
    package = find_spec("moonshine_voice")
    if package is None or package.origin is None:
        raise _missing("the package moonshine-voice")
    folder = Path(package.origin).parent / "assets" / "tiny-en"
    files = [folder / name for name in ("encoder_model.ort", "decoder_model_merged.ort", "tokenizer.bin")]
    for file in files:
        if not file.is_file():
            raise _missing(f"{file}, which moonshine-voice carries up to version 0.1.0")
    options = onnxruntime.SessionOptions()
    # One thread: an utterance takes a few tens of milliseconds, and the other cores have calls to serve.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = (
        False  # it would keep the 60 MB that one long utterance needs; costs no time
    )
    encoder, decoder = (
        onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        for file in files[:2]
    )
    return Model(encoder, decoder, Tokenizer.read(files[2]))


def _missing(what: str) -> ConfigurationError:
    return ConfigurationError(
        f'The recogniser local/moonshine-tiny needs {what}. Run: pip install "antiphon[local]"'
    )
