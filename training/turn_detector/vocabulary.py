"""The pieces of text that the network knows: MiniLM's that matter, single figures, and the commonest words as wholes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from antiphon.plugins.turn_detector.text import SPECIAL, Pieces, words

from .cuts import Turn

_PLAIN = re.compile(r"(##)?[a-z]+")
_FIGURES = [*"0123456789", *(f"##{figure}" for figure in "0123456789"), "'", "##'"]
_OFTEN = 300  # a word heard so often in training becomes a piece; one with an apostrophe sooner
_OFTEN_SHORTENED = 20


def build(turns: Sequence[Turn], pretrained: Sequence[str], size: int) -> list[str]:
    """The vocabulary, in the order of ids: after the special pieces and figures those heard most often.

    Args:
        turns: what is learned from.
        pretrained: pieces that there are vectors of, the commonest words of the language first.
        size: how many pieces to keep at most.
    """
    plain = [piece for piece in pretrained if _PLAIN.fullmatch(piece)]
    known = {*SPECIAL, *_FIGURES, *plain}
    heard: Counter[str] = Counter()
    for turn in turns:
        heard.update(words(turn.text))
        heard.update(word for _, text in turn.context[-1:] for word in words(text))
    added = [
        word
        for word, count in heard.items()
        if word not in known
        and re.fullmatch(r"[a-z']+", word)
        and count >= (_OFTEN_SHORTENED if "'" in word else _OFTEN)
    ]
    candidates = [*SPECIAL, *_FIGURES, *plain, *added]
    spelled = Pieces(candidates)
    used: Counter[str] = Counter()
    for word, count in heard.items():
        for piece in spelled.word(word):
            used[candidates[piece]] += count
    whole = [piece for piece in plain if not piece.startswith("##")]
    rank = {piece: number for number, piece in enumerate(whole)}
    # Any word can still be spelled: letters and short ends stay even if nobody used them.
    short = [
        piece
        for piece in plain
        if len(piece.removeprefix("##")) == 1 or (len(piece) == 4 and piece[:2] == "##")
    ]
    kept = dict.fromkeys([*used, *added, *short])
    for piece in sorted(plain, key=lambda piece: rank.get(piece, len(whole))):
        if len(kept) + len(SPECIAL) + len(_FIGURES) >= size:
            break
        kept.setdefault(piece)
    fixed = {*SPECIAL, *_FIGURES}
    ordered = sorted((piece for piece in kept if piece not in fixed), key=lambda piece: (-used[piece], piece))
    return [*SPECIAL, *_FIGURES, *ordered]
