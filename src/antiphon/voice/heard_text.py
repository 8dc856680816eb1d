"""Which words of a reply the listener has heard."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..models.stt import WordInfo

CHARACTERS_PER_SECOND = (
    15.0  # of ordinary speech: to guess the length of a sentence that is still being synthesised
)


@dataclass
class _Passage:
    """A sentence, or whatever the voice spoke in one go, and where it lies in the audio."""

    text: str
    start: float
    titled: bool
    duration: float = 0.0
    complete: bool = False
    words: list[WordInfo] = field(default_factory=list)

    def heard(self, position: float) -> str:
        """The words of it that end before `position`, in seconds of the segment."""
        played = position - self.start
        if played <= 0:
            return ""
        if self.complete and played >= self.duration - 1e-3:
            return self.text
        if self.words:
            count = sum(1 for word in self.words if word.end <= played + 1e-3)
            return _first_words(self.text, count, len(self.words))
        length = (
            self.duration if self.complete else max(self.duration, len(self.text) / CHARACTERS_PER_SECOND)
        )
        return _first_share(self.text, played / length if length else 1.0)


def _first_words(text: str, count: int, of: int) -> str:
    words = text.split()
    if len(words) != of:
        count = round(count * len(words) / of)
    return " ".join(words[:count])


def _first_share(text: str, share: float) -> str:
    """The whole words within the first `share` of the characters."""
    if share >= 1.0:
        return text
    limit = share * len(text)
    kept: list[str] = []
    position = 0
    for word in text.split():
        position += len(word)
        if position > limit:
            break
        kept.append(word)
        position += 1
    return " ".join(kept)


class HeardText:
    """Aligns the text of one segment of speech with its audio."""

    def __init__(self) -> None:
        self._passages: list[_Passage] = []
        self._duration = 0.0
        self._shown: str | None = None

    @property
    def duration(self) -> float:
        """Seconds of audio so far."""
        return self._duration

    @property
    def text(self) -> str:
        """All the text so far."""
        if self._shown is not None:
            return self._shown
        return " ".join(passage.text for passage in self._passages if passage.text)

    def add(self, duration: float, text: str = "", words: list[WordInfo] | None = None) -> None:
        """Note a piece of audio; `text` begins with this piece."""
        if text or not self._passages:
            self._end_passage()
            self._passages.append(_Passage(text.strip(), self._duration, titled=bool(text)))
        passage = self._passages[-1]
        passage.duration += duration
        self._duration += duration
        if words:
            passage.words.extend(words)

    @property
    def untitled(self) -> bool:
        """Whether there is audio that came without any text, as from a custom voice node."""
        return len(self._passages) == 1 and not self._passages[0].titled

    def set_text(self, text: str) -> None:
        """The text of untitled audio, as far as it is known."""
        if self.untitled:
            self._passages[0].text = text.strip()

    def show_as(self, text: str) -> None:
        """Show another text for the whole segment, as a transcription node made it."""
        self._shown = text.strip()

    def end(self) -> None:
        """No more audio will come."""
        self._end_passage()

    def _end_passage(self) -> None:
        if self._passages:
            self._passages[-1].complete = True

    def heard(self, position: float) -> str:
        """The text that was heard when `position` seconds of the segment had been played."""
        if self._shown is not None:
            length = self._duration or 1.0
            return _first_share(self._shown, (position + 1e-3) / length)
        parts = (passage.heard(position) for passage in self._passages)
        return " ".join(part for part in parts if part)
