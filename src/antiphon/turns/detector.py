"""Whether what the user said so far is a finished turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class TurnDetector(Protocol):
    """Scores a transcript; the machine turns the score into a delay (`endpointing.delay`)."""

    def supports_language(self, language: str | None) -> bool:
        """Whether scores mean anything for this language."""
        ...

    async def score(self, context: Sequence[tuple[str, str]], text: str) -> float | None:
        """The probability that `text` is a finished turn.

        Args:
            context: the turns before it, oldest first, as (role, text).
            text: the pending transcript.

        Returns:
            0 to 1, or None when the detector cannot say.
        """
        ...


class VADOnly:
    """No opinion: the turn ends after `min_endpointing_delay` of silence."""

    def supports_language(self, language: str | None) -> bool:
        return True

    async def score(self, context: Sequence[tuple[str, str]], text: str) -> float | None:
        return None
