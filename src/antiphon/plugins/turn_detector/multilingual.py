"""`MultilingualModel`: a turn detector for any language."""

from __future__ import annotations

from collections.abc import Sequence


class MultilingualModel:
    """A turn detector without an opinion; give it to `AgentSession(turn_detection=MultilingualModel())`.

    No trained detector is part of this release. With this one a turn ends `min_endpointing_delay` after the voice activity
    detector has heard the end of speech, in every language, as it does without a detector.
    """

    def supports_language(self, language: str | None) -> bool:
        """Whether scores mean anything for this language: never."""
        return False

    async def score(self, context: Sequence[tuple[str, str]], text: str) -> float | None:
        """The probability that `text` is a finished turn: unknown, so None.

        Args:
            context: the turns before it, oldest first, as (role, text).
            text: the pending transcript.
        """
        return None
