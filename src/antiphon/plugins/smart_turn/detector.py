"""`SmartTurn`: the audio turn detector behind the interface that `AgentSession(turn_detection=...)` takes."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...audio import AudioFrame
from ...audio.resample import resample
from ...models.audio_turn_detector import AudioTurnDetector
from ...models.errors import ConfigurationError
from . import network
from .features import RATE, log_mel
from .speech import spoken_part

logger = logging.getLogger(__name__)

_TRAINED_ON = "ar bn da de en es fi fr hi id it ja ko mr nb nl nn no pl pt ru tr uk vi zh"
LANGUAGES = frozenset(_TRAINED_ON.split())

# One thread for the process: answers take turns on one core rather than all of them.
_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="smart-turn")
_announced: set[str] = set()


class SmartTurn(AudioTurnDetector):
    """Hears in the last eight seconds of a turn whether it is finished. All of a process share one network.

    Silence and noise are no turn: about them it says nothing.
    """

    def __init__(self, weights: str | Path | None = None) -> None:
        """Does not load the weights; `prewarm` or the first score does.

        Args:
            weights: a file; by default what the package `pipecat-ai` brings.

        Raises:
            ConfigurationError: there is no such file; the message says what to install.
        """
        self._file = Path(weights) if weights is not None else network.weights_file()
        if not self._file.is_file():
            raise ConfigurationError(f"There are no weights of an audio turn detector at {self._file}.")
        self._usable = True

    def supports_language(self, language: str | None) -> bool:
        """Whether it was trained on this language; of an unknown one it is assumed."""
        return language is None or language.replace("_", "-").split("-")[0].lower() in LANGUAGES

    async def prewarm(self) -> None:
        """Load the weights off the event loop; what is wrong with them is logged, not raised."""
        await self._run(np.zeros(0, dtype=np.int16))

    async def score(self, audio: AudioFrame) -> float | None:
        """The probability that a turn with this sound is finished.

        Args:
            audio: the turn so far; of any rate.

        Returns:
            0 to 1, or None without speech, or without usable weights.
        """
        samples = audio.to_mono().samples
        if audio.sample_rate != RATE:
            samples = resample(samples, audio.sample_rate, RATE)
        return await self._run(samples)

    async def _run(self, samples: NDArray[np.int16]) -> float | None:
        if not self._usable:
            return None
        try:
            return await asyncio.get_running_loop().run_in_executor(_thread, _judge, self._file, samples)
        except Exception as error:  # whatever onnxruntime raises must not cost the caller his turn
            self._usable = False
            message = f"The audio turn detector is off, turns end by silence alone. {error}"
            if message not in _announced:
                _announced.add(message)
                logger.warning(message)
            return None


def _judge(file: Path, samples: NDArray[np.int16]) -> float | None:
    loaded = network.load(file)
    spoken = spoken_part(samples)
    return None if spoken is None else loaded(log_mel(spoken))
