"""The turn detector that reads transcripts, behind the interface that `AgentSession(turn_detection=...)` takes."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Sequence
from pathlib import Path

from ...models.errors import ConfigurationError
from . import network
from .batching import batcher_of_running_loop
from .network import Network, Question
from .text import words

logger = logging.getLogger(__name__)

DEADLINE = 0.8  # seconds; a later answer would come after the turn was decided

_announced: set[str] = set()
_tried: weakref.WeakSet[Network] = weakref.WeakSet()


class TranscriptDetector:
    """Scores how likely a transcript is a finished turn, with the model file of this installation.

    Without a model file, or where it cannot be used, it has no opinion, says so once, and a turn ends
    `min_endpointing_delay` after the voice activity detector has heard the end of speech. All detectors of a process share
    the one network of a file.
    """

    def __init__(self, model: str | Path | None = None) -> None:
        """Does not load the model; `prewarm` or the first score does.

        Args:
            model: a model file; by default what ANTIPHON_TURN_DETECTOR names, or what came with the package.
        """
        self._file = Path(model) if model is not None else network.model_file()
        self._network: Network | None = None
        self._usable = True
        if self._file is None:
            self._give_up(f"No model of one is installed; {network.MODEL_VARIABLE} may name a file.")

    def supports_language(self, language: str | None) -> bool:
        """Whether scores mean anything for this language, such as "en" or "en-GB".

        Before the model is loaded the answer is that of English, the one language there are dialogues of. None, an unknown
        language, is taken for the model's own. Without a usable model every score is None whatever the language.
        """
        known = self._network.languages if self._network is not None else frozenset(("en",))
        return language is None or language.replace("_", "-").split("-")[0].lower() in known

    async def prewarm(self) -> None:
        """Load the model and, the first time in a process, run it once, off the event loop.

        What is wrong with it is logged, not raised.
        """
        if self._file is None or self._network is not None or not self._usable:
            return
        try:
            self._network = await asyncio.to_thread(_load_and_try, self._file)
        except ConfigurationError as error:
            self._give_up(str(error))
        except Exception as error:  # onnxruntime's errors share no base class but this
            self._give_up(f"{self._file} fails: {error!r}")

    async def score(self, context: Sequence[tuple[str, str]], text: str) -> float | None:
        """The probability that `text` is a finished turn.

        Args:
            context: the turns before it, oldest first, as (role, text); the last three count.
            text: the pending transcript.

        Returns:
            0 to 1, or None without words, without a usable model, or when the answer is too late to be of use.
        """
        if not words(text):
            return None
        try:
            async with asyncio.timeout(DEADLINE):
                await self.prewarm()
                if self._network is None:
                    return None
                return await batcher_of_running_loop(self._network).ask(Question(tuple(context[-3:]), text))
        except TimeoutError:
            _say_once(f"The turn detector takes longer than {DEADLINE:g} s; turns end by silence meanwhile.")
        except Exception as error:  # whatever onnxruntime raises must not cost the caller his turn
            self._give_up(f"judging failed: {error!r}")
        return None

    def _give_up(self, reason: str) -> None:
        self._usable = False
        self._network = None
        _say_once(f"The turn detector is off, turns end by silence alone. {reason}")


def _load_and_try(file: Path) -> Network:
    """The network of a file; its first answer takes longer than the next, so nobody should wait for that one."""
    loaded = network.load(file)
    if loaded not in _tried:
        _tried.add(loaded)
        loaded([Question((), "hello")])
    return loaded


def _say_once(message: str) -> None:
    """Log a warning, once a process however many sessions there are."""
    if message not in _announced:
        _announced.add(message)
        logger.warning(message)
