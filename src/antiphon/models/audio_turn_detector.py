"""Detectors that hear whether a turn is finished, rather than read it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ..audio import AudioFrame


class AudioTurnDetector(ABC):
    """Judges the sound of the user's turn so far: its melody, its pace, how it ends.

    Give it to `AgentSession(turn_detection=...)`. It is asked when there are words and the user is silent.
    """

    @abstractmethod
    async def score(self, audio: AudioFrame) -> float | None:
        """The probability that the turn is finished.

        Args:
            audio: the user's turn from a little before its first word to its last one; mono, 16 kHz.

        Returns:
            0 to 1, or None when the detector cannot say.
        """

    def supports_language(self, language: str | None) -> bool:
        """Whether scores mean anything for this language, such as "en" or "en-GB"; None: nobody knows which it is."""
        return True

    async def prewarm(self) -> None:
        """Load the model, so that the first call is as fast as the next."""
