"""`EnglishModel`: the turn detector for English."""

from __future__ import annotations

from .detector import TranscriptDetector


class EnglishModel(TranscriptDetector):
    """A detector that reads English transcripts; give it to `AgentSession(turn_detection=EnglishModel())`.

    No model file is part of this release: without one of your own it leaves the decision to the voice activity detector,
    as `TranscriptDetector` says.
    """
