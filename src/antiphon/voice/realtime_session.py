"""How a realtime model takes its places in a session."""

from __future__ import annotations

from typing import Any

from ..models.errors import ConfigurationError
from ..models.llm import LLM
from ..models.realtime import RealtimeModel
from ..models.stt import STT
from ..models.tts import TTS
from ..models.vad import VAD
from .realtime_link import RealtimeLink
from .realtime_models import RealtimeLLM, RealtimeVAD, RealtimeVoice
from .turn_detection import AnyTurnDetector


class RealtimeParts:
    """The models of a session with a realtime model.

    Attributes:
        link: the connection that they share.
        vad: the given one, else the realtime model's own detection.
        llm: the realtime model.
        tts: the given one, else the realtime model's own voice; None: replies are text.
    """

    def __init__(
        self, model: RealtimeModel, *, stt: STT | None, vad: VAD | None, llm: LLM | None, tts: TTS | None
    ) -> None:
        """
        Raises:
            ConfigurationError: there is a model too many or too few.
        """
        if stt is not None or llm is not None:
            raise ConfigurationError(
                f"{model.label} listens and answers by itself: give AgentSession no stt and no llm beside it"
            )
        if vad is None and not model.capabilities.turn_detection:
            raise ConfigurationError(
                f"{model.label} does not tell when the user speaks: give the session a vad, as silero.VAD.load()"
            )
        self.link = RealtimeLink(model, detects_turns=vad is None)
        self.vad: VAD = vad or RealtimeVAD(self.link)
        self.llm: LLM = RealtimeLLM(self.link)
        speaks = model.capabilities.audio_output
        self.tts: TTS | None = tts or (RealtimeVoice(self.link) if speaks else None)


def realtime_options(
    turn_detection: str | AnyTurnDetector | None, options: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Turn-taking where the words are not known yet when a turn ends.

    Nothing can be begun by them in advance, none can be required before an interruption, and none scored.

    Raises:
        ConfigurationError: `turn_detection` needs words.
    """
    if turn_detection in (None, "auto"):
        turn_detection = "vad"
    if turn_detection not in ("vad", "manual"):
        raise ConfigurationError(
            'with a realtime model, turn_detection is "vad" or "manual": others need the words of a recogniser'
        )
    assert isinstance(turn_detection, str)
    return turn_detection, {**options, "preemptive_generation": False, "min_interruption_words": 0}
