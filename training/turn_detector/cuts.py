"""Turns as training examples: every place where a turn may be cut, with its weight.

A network that reads from left to right is asked after each word whether the turn ends there. One turn so gives as many
examples as it has words, for the price of one.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from antiphon.plugins.turn_detector.text import words

# After these people pause though the sentence goes on.
_FUNCTION_WORDS = """a an the this that these those my your his her its our their some any no every each and or but so because if when
    while than then as of to in on at by for from with about into over after before between i you he she it we they me
    him us them is are was were be been am do does did have has had can could will would shall should may might must not
    don't i'm i'd i'll i've it's that's um uh er like well actually maybe please also just very really more most what
    which who where how why there"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
_ABBREVIATION = re.compile(r"([A-Za-z]|mr|mrs|ms|dr|st|no)\.", re.IGNORECASE)

FIGURES = 1.6  # weight of a place with figures before it, whether the turn ends there or not
SENTENCE_END = 0.3  # weight of the end of a sentence within a turn, as an example of a finished turn


class Step(NamedTuple):
    """Words that are spoken in one go, and what to learn after them."""

    words: tuple[str, ...]
    cut: float = 0.0  # weight of "the turn goes on"
    end: float = 0.0  # weight of "the turn is finished"


@dataclass(frozen=True)
class Turn:
    """A user turn with the turns before it, oldest first, as (role, text)."""

    domain: str
    context: tuple[tuple[str, str], ...]
    text: str


def read(path: Path) -> list[Turn]:
    """The turns of a file in which each line is an object with `domain`, `context` and `user`."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    roles = {"U": "user", "A": "assistant"}
    return [
        Turn(row["domain"], tuple((roles[c[0]], c[3:]) for c in row["context"]), row["user"]) for row in rows
    ]


def whole_turns(turns: Iterable[Turn]) -> frozenset[str]:
    """What someone said as a turn of its own: a cut that leaves this is not an example of an unfinished one."""
    return frozenset(" ".join(words(turn.text)) for turn in turns)


def steps(text: str, whole: frozenset[str]) -> list[Step]:
    """The words of a turn with the weight of a cut after each.

    Four parts after a function word, three after a comma, one elsewhere; none after a sentence, nor where the words so far
    are in `whole`. The end of the turn has weight 1, all the cuts of a turn of three words and more together too.
    """
    found: list[Step] = []
    so_far: list[str] = []
    for token in text.split():
        spoken = words(token)
        if not spoken:
            continue
        so_far += spoken
        if token[-1] in ".?!" and not _ABBREVIATION.fullmatch(token):
            found.append(Step(tuple(spoken), end=SENTENCE_END))
        elif " ".join(so_far) in whole:
            found.append(Step(tuple(spoken)))
        else:
            weight = 3.0 if token[-1] == "," else 4.0 if spoken[-1] in FUNCTION_WORDS else 1.0
            found.append(Step(tuple(spoken), cut=weight))
    if found:
        found[-1] = Step(found[-1].words, end=1.0)
    return found


def weighed(found: list[Step]) -> list[Step]:
    """The same with more weight where one of the last six words holds a figure: dates, numbers and addresses are hard."""
    heard: list[str] = []
    weighed: list[Step] = []
    for step in found:
        heard = [*heard, *step.words][-6:]
        factor = FIGURES if any(letter.isdigit() for word in heard for letter in word) else 1.0
        weighed.append(step._replace(cut=step.cut * factor, end=step.end * factor))
    return weighed


def balanced(found: list[Step], weight: float = 1.0) -> list[Step]:
    """The same with the weights of the cuts made to add up to this; none in a turn of fewer than three words."""
    total = sum(step.cut for step in found)
    count = sum(len(step.words) for step in found)
    scale = weight / total if total and count >= 3 else 0.0
    return [step._replace(cut=step.cut * scale) for step in found]
