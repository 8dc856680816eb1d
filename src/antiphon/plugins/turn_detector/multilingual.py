"""`MultilingualModel`: the turn detector for all languages that there is a model of."""

from __future__ import annotations

from .detector import TranscriptDetector


class MultilingualModel(TranscriptDetector):
    """A detector that reads transcripts; give it to `AgentSession(turn_detection=MultilingualModel())`.

    The model of this release knows English alone. In other languages a turn ends `min_endpointing_delay` after the voice
    activity detector has heard the end of speech, as it does without a detector.
    """
