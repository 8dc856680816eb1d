"""Asks the session's detector whether the user's turn is finished, and tells the turn-taking machine.

The machine never waits longer for an answer than `TurnOptions.detector_patience`: what a detector may do here, besides
answering, is to be slow, to hang, or to fail, and then silence alone ends the turn.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..audio import AudioFrame
from ..models.audio_history import AudioHistory
from ..models.audio_turn_detector import AudioTurnDetector
from ..models.errors import describe
from ..turns import EndOfTurnScored, TurnDetector, Weight, weigh
from .short_answers import is_short_answer

if TYPE_CHECKING:
    from .conversation import Conversation

logger = logging.getLogger(__name__)

CONTEXT_TURNS = 6  # messages before the pending turn that a detector sees
DEADLINE = 1.0  # seconds for an answer; nobody waits so long for it
MOST_FAILURES = 3  # in a row; then the detector is left alone for the rest of the session
LEAD = 0.5  # seconds before the first sample of speech that an audio detector hears too
LONGEST_TURN = 30.0  # seconds of a turn kept for one

_told: set[str] = set()


class EndOfTurn:
    """One session's questions to its detector.

    Attributes:
        language: what the user speaks, as in "en" or "en-GB": what the recogniser last heard or, until it says so, what the
            session was told; None while nobody says.
    """

    def __init__(
        self,
        conversation: Conversation,
        detector: TurnDetector | AudioTurnDetector | None,
        language: str | None,
    ) -> None:
        self.language = language
        self._conversation = conversation
        self._detector = detector
        self._failures = 0
        self._asking: asyncio.Task[None] | None = None
        self._turn = _TurnAudio() if isinstance(detector, AudioTurnDetector) else None

    # -- the audio of the turn, for those who listen -----------------------------------------------------------------

    def hear(self, frame: AudioFrame) -> None:
        """Take the user's next audio, 16 kHz mono, as the voice activity detector gets it."""
        if self._turn is not None:
            self._turn.history.push(frame)

    def speech_started(self, position: float) -> None:
        """The user began to speak, `position` seconds into what was heard."""
        if self._turn is not None:
            self._turn.begin(position)

    def speech_ended(self, position: float) -> None:
        """The user stopped: the words that came while they spoke can be judged by their sound now."""
        if self._turn is None:
            return
        self._turn.end = position
        if text := self._conversation.driver.state.pending.text:
            self.ask(text)

    def turn_over(self) -> None:
        """The pending turn was taken; the next begins with the next speech."""
        if self._turn is not None:
            self._turn.over()

    # -- questions ---------------------------------------------------------------------------------------------------

    def ask(self, text: str) -> None:
        """Ask whether `text` is a finished turn; the machine gets the answer, at once if there can be none."""
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        speaking = self._turn is not None and self._turn.end is None
        if self._detector is None or self._failures >= MOST_FAILURES or speaking:
            self._conversation.driver.dispatch(EndOfTurnScored(None, text))
        elif not self._detector.supports_language(self.language):
            language = self.language or "a language that the recogniser does not name"
            _tell_once(
                logging.INFO, f"The turn detector does not know {language}: there, silence alone ends a turn."
            )
            self._conversation.driver.dispatch(EndOfTurnScored(None, text))
        else:
            self._asking = self._conversation.scope.spawn(self._ask(text), name="end-of-turn score")

    async def _ask(self, text: str) -> None:
        probability: float | None = None
        try:
            async with asyncio.timeout(DEADLINE):
                probability = await self._score(text)
            if probability is not None and not 0 <= probability <= 1:
                raise ValueError(f"{probability!r} is no probability")
            self._failures = 0
        except TimeoutError:
            self._failed(f"gives no answer within {DEADLINE:g} s")
        except Exception as error:  # whatever it raises must not cost the caller his turn
            self._failed(f"failed: {describe(error)}")
            probability = None
        self._asking = None  # an answer that ends the turn must not cancel itself
        conversation = self._conversation
        if probability is not None and text == conversation.driver.state.pending.text:
            conversation.answers.marks["turn_detector"] = conversation.clock.now()
        conversation.driver.dispatch(EndOfTurnScored(probability, text))

    async def _score(self, text: str) -> float | None:
        detector = self._detector
        if isinstance(detector, AudioTurnDetector):
            assert self._turn is not None
            audio = self._turn.audio()
            return None if audio is None else await detector.score(audio)
        assert detector is not None
        history = self._conversation.log.context
        turns = [(m.role, m.content) for m in history if m.role in ("user", "assistant") and m.content]
        probability = await detector.score(turns[-CONTEXT_TURNS:], text)
        unfinished = self._conversation.options.turns.end_of_turn_threshold
        # A name or an amount alone is what was asked for, and a "please" alone needs nothing more: silence decides.
        complete = is_short_answer(turns, text) or weigh(text) is Weight.COURTESY
        return None if complete and probability is not None and probability < unfinished else probability

    def _failed(self, how: str) -> None:
        self._failures += 1
        _tell_once(
            logging.WARNING,
            f"The turn detector {type(self._detector).__name__} {how}. Silence alone ends turns meanwhile.",
        )


class _TurnAudio:
    """The sound of the user's turn in progress. Positions are seconds of audio heard."""

    def __init__(self) -> None:
        self.history = AudioHistory(LONGEST_TURN)
        self.end: float | None = None
        self._begin: float | None = None

    def begin(self, position: float) -> None:
        self.end = None
        if self._begin is None:
            self._begin = position

    def over(self) -> None:
        self._begin = self.end = None

    def audio(self) -> AudioFrame | None:
        """From a little before the first word to the last one; None while the user speaks."""
        if self._begin is None or self.end is None:
            return None
        return self.history.cut(self._begin - LEAD, self.end)


def _tell_once(level: int, message: str) -> None:
    """Log it, once a process however many sessions there are."""
    if message not in _told:
        _told.add(message)
        logger.log(level, message)
