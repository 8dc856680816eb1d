"""When each word of a text is spoken, from where espeak-ng says that its words begin."""

from __future__ import annotations

import re

from ....models.stt import WordInfo

_WORD = re.compile(r"\S+")


class WordClock:
    """Turns beginnings into words with a start and an end.

    The engine reports parts of what it expands, as in "one thousand two hundred" for "1,200"; they belong to the
    word that stands in the text.
    """

    def __init__(self, text: str, sample_rate: int) -> None:
        self._words = list(_WORD.finditer(text))
        self._rate = sample_rate
        self._next = 0  # the first word that has not begun
        self._open: tuple[str, float] | None = None

    def begin(self, position: int, sample: int) -> list[WordInfo]:
        """Something begins at a position in the text; returns the words that are over by that."""
        done: list[WordInfo] = []
        at = sample / self._rate
        while self._next < len(self._words) and self._words[self._next].start() <= position:
            word = self._words[self._next]
            self._next += 1
            if any(character.isalnum() for character in word.group()):
                done += self._close(at)
                self._open = (word.group(), at)
        return done

    def end(self, sample: int) -> list[WordInfo]:
        """The audio is over."""
        return self._close(sample / self._rate)

    def _close(self, at: float) -> list[WordInfo]:
        if self._open is None:
            return []
        text, start = self._open
        self._open = None
        return [WordInfo(text, start, max(start, at))]
