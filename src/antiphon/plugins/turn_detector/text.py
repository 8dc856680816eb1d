"""Text as the detector sees it: words as a recogniser without formatting writes them, and the pieces they are made of."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

PAD, UNKNOWN, TURN, CONTEXT = 0, 1, 2, 3  # ids of the pieces that stand for no text
SPECIAL = ("[pad]", "[unknown]", "[turn]", "[context]")

MAX_TURN = 64  # pieces of the pending turn, the one that begins it included
MAX_CONTEXT = 36  # pieces of the turns before it, likewise
LAST_TURN_WORDS, EARLIER_TURN_WORDS = 20, 6

# What a piece of the context comes from.
NOTHING, AGENT_LAST, USER_LAST, AGENT_EARLIER, USER_EARLIER = range(5)
KINDS = 5

# A number may go on; one word alone ("that one", "no one") is none.
_NUMBERS = """zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand double triple"""
_NUMBER_WORDS = frozenset(_NUMBERS.split())
_NEAR_END = 6  # words

_BREAKS = re.compile(r"[\s/]+|(?<=\d)[-,.:](?=\d)|-")
_NO_LETTER = re.compile(r"[^\w']")


def words(text: str) -> list[str]:
    """Lower-case words without punctuation but apostrophes; "5:30-6" is three words."""
    return [word for part in _BREAKS.split(text) if (word := _NO_LETTER.sub("", part.lower()))]


def number_near_end(text: str) -> bool:
    """Whether one of the last six words holds a figure, or two of them running are numbers in words."""
    last = words(text)[-_NEAR_END:]
    if any(letter.isdigit() for word in last for letter in word):
        return True
    return any(first in _NUMBER_WORDS and second in _NUMBER_WORDS for first, second in pairwise(last))


class Pieces:
    """Words to numbered pieces, the longest known piece first.

    Figures are always single pieces, so that a network can count them. A piece that goes on within a word begins with
    `##` in the vocabulary. The scheme is WordPiece (Schuster and Nakajima 2012, "Japanese and Korean voice search").
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """Take the pieces in the order of their ids.

        Raises:
            ValueError: the vocabulary does not begin with the special pieces.
        """
        if tuple(vocabulary[: len(SPECIAL)]) != SPECIAL:
            raise ValueError(f"The vocabulary of a turn detector begins with {', '.join(SPECIAL)}.")
        self._ids = {piece: index for index, piece in enumerate(vocabulary)}
        self._longest = max(len(piece) for piece in vocabulary)
        self.word = lru_cache(maxsize=20_000)(self._word)

    def __len__(self) -> int:
        return len(self._ids)

    def turn(self, text: str) -> list[int]:
        """The pieces of a pending turn; of a long one the last."""
        pieces = [piece for word in words(text) for piece in self.word(word)]
        return [TURN, *pieces[-(MAX_TURN - 1) :]]

    def context(self, turns: Iterable[tuple[str, str]]) -> tuple[list[int], list[int]]:
        """The pieces of the turns before it, the latest last, and what each comes from.

        Args:
            turns: (role, text), oldest first; roles are "user" and "assistant". The last three count.
        """
        pieces, kinds = [CONTEXT], [NOTHING]
        latest: list[tuple[list[int], int]] = []
        seen: set[str] = set()
        for role, text in reversed(list(turns)[-3:]):
            first = role not in seen
            seen.add(role)
            if role == "user":
                kind = USER_LAST if first else USER_EARLIER
            else:
                kind = AGENT_LAST if first else AGENT_EARLIER
            count = EARLIER_TURN_WORDS if latest else LAST_TURN_WORDS
            latest.append(([p for word in words(text)[-count:] for p in self.word(word)], kind))
        for found, kind in reversed(latest):
            pieces += found
            kinds += [kind] * len(found)
        if len(pieces) > MAX_CONTEXT:
            pieces[1:], kinds[1:] = pieces[1 - MAX_CONTEXT :], kinds[1 - MAX_CONTEXT :]
        return pieces, kinds

    def _word(self, word: str) -> tuple[int, ...]:
        if not word.isascii():
            word = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()
        found: list[int] = []
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + self._longest), start, -1):
                piece = self._ids.get(("##" if start else "") + word[start:end])
                if piece is not None:
                    break
            else:
                return (UNKNOWN,)
            found.append(piece)
            start = end
        return tuple(found) or (UNKNOWN,)
