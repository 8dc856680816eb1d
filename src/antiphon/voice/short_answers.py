"""Short answers to a question: complete as they are, though nobody can tell from their words.

"Alice", "two hundred" and "the savings one" begin many sentences, so that a detector that reads words takes them for
unfinished. After "To whom?" they are what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST_WORDS = 3

# What may come before an answer without making it a sentence.
_BEFORE_ANSWERS = """a an the my our to on in at for from by with it's its and no yes yeah sure okay ok oh uh um er well just please
    maybe"""
# With one of these it is the beginning of a sentence, a filler, or an address that is being spelled.
_IN_SENTENCES = """a an the this that these those my your his her our their some any no every each and or but so because if when
    than as of to in on at by for from with about into after before between i you he she we they me him us them is are
    was were be am do does did have has had can could will would shall should may might must not i'm i'd i'll i've um uh
    er well also just very really more most what which who where how why there want need like dot underscore dash hyphen
    plus double triple"""
_READ_SINGLY = "oh zero one two three four five six seven eight nine"

_LEADS, _GOES_ON, _FIGURES = (
    frozenset(text.split()) for text in (_BEFORE_ANSWERS, _IN_SENTENCES, _READ_SINGLY)
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


def is_short_answer(turns: Sequence[tuple[str, str]], text: str) -> bool:
    """Whether `text` may be all of an answer to what the agent just asked.

    English. Figures and letters read one by one are none: more of them may follow. Nor is anything after an offer of help,
    which asks for a sentence.

    Args:
        turns: the turns before, oldest first, as (role, text).
        text: the pending transcript.
    """
    if not turns or turns[-1][0] != "assistant" or not turns[-1][1].rstrip().endswith("?"):
        return False
    if re.search(r"\b(?:help|else|do for you)\b", turns[-1][1].lower()):
        return False
    words = _WORD.findall(text.lower().replace("’", "'"))
    while words and words[0] in _LEADS and len(words) > 1:
        words = words[1:]
    if not 1 <= len(words) <= MOST_WORDS or any(word in _GOES_ON for word in words if word != "and"):
        return False
    if words[-1] == "and":
        return False
    return not all(word in _FIGURES or word.isdigit() or len(word) == 1 for word in words)
