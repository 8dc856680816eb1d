"""`EnglishModel`: the turn detector for English."""

from __future__ import annotations

from .detector import TranscriptDetector


class EnglishModel(TranscriptDetector):
    """The detector that reads English transcripts; a session has it without being told, as `turn_detection="auto"`.

    Give it to `AgentSession(turn_detection=EnglishModel("my.onnx"))` to use a model file of your own. Without a usable model
    it leaves the decision to the voice activity detector, as `TranscriptDetector` says.
    """
