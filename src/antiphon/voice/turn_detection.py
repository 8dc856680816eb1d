"""What ends the turns of a session, as `AgentSession(turn_detection=...)` names it."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from ..models.audio_turn_detector import AudioTurnDetector
from ..models.errors import ConfigurationError
from ..turns import TurnDetection, TurnDetector

AnyTurnDetector = TurnDetector | AudioTurnDetector

_MODES = ("vad", "stt", "manual")


def choose(
    turn_detection: str | AnyTurnDetector | None, *, has_words: bool
) -> tuple[TurnDetection | None, AnyTurnDetector | None]:
    """What ends a turn, None: whatever suits the session's models; and the detector that is asked before, if any.

    Args:
        turn_detection: `"auto"` or None, `"audio"`, one of the modes of `TurnOptions`, or a detector.
        has_words: whether there is a recogniser.

    Raises:
        ConfigurationError: there is no such thing, or it cannot be used here.
    """
    if turn_detection is None or turn_detection == "auto":
        return None, default_detector() if has_words else None
    if turn_detection == "audio":
        from ..plugins.smart_turn import SmartTurn

        return None, SmartTurn()
    if isinstance(turn_detection, str):
        if turn_detection not in _MODES:
            raise ConfigurationError(
                'turn_detection is "auto", "audio", "vad", "stt", "manual" or a TurnDetector, '
                f"not {turn_detection!r}"
            )
        return cast(TurnDetection, turn_detection), None
    return None, turn_detection


def default_detector(model: Path | None = None) -> TurnDetector:
    """The detector that a session has when it is not told otherwise.

    It knows English; in other languages, and without a usable model, silence alone ends a turn.

    Args:
        model: a model file; None: that of this installation.
    """
    from ..plugins.turn_detector.english import EnglishModel

    return EnglishModel(model)


async def prewarm(model: Path | None = None) -> None:
    """Load the default detector for all sessions of this process, off the event loop. What is wrong with it is logged."""
    from ..plugins.turn_detector.detector import TranscriptDetector

    await TranscriptDetector(model).prewarm()


def usable_model(model: Path | None = None) -> Path:
    """The model file of the default detector, loaded to see that it can be.

    Raises:
        ConfigurationError: there is none, or it cannot be used; says what to do.
    """
    from ..plugins.turn_detector import network

    file = model or network.model_file()
    if file is None:
        raise ConfigurationError(
            f"This installation has no model of a turn detector; {network.MODEL_VARIABLE} may name a file."
        )
    network.load(file)
    return file
