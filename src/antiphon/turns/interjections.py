"""What a few words of the user mean while the agent speaks: "go on", "stop", or something to be weighed by its length.

Only transcripts say so, and only in English; what is said in another language weighs what its words and its length weigh.
"""

from __future__ import annotations

import re
from enum import Enum, auto

MOST_WORDS = 8  # more are no interjection

# "I am listening." Those in the first two lists also answer a question, and those in the first can mean nothing else once it is
# known that one will be asked. ("Bright" is a "right" misheard, as "step" is a "stop".)
_AFFIRMING = "absolutely correct definitely exactly yep yes yup|go ahead|of course|that's right"
_AGREEING = """alright bright cool fine good great k ok okay okey perfect right sure true yea yeah|ah huh|all right|fair enough|no
    problem|no worries|sounds good|uh huh|very good"""
_LISTENING = """aha ah continue gotcha indeed interesting nice oh really understood wow|carry on|go on|got it|i see|keep going|
    makes sense"""
# "It is my turn", however briefly said.
_STOPPING = """bye cancel enough goodbye no nope pardon pause quiet sorry step stop wait what|be quiet|excuse me|hang on|hold on|one
    moment|one second|shut up|stop it|stop that"""
# What belongs to the sentence before, and adds nothing to it.
_COURTEOUS = (
    "cheers please ta thanks|thank you|thank you very much|thank you so much|thanks a lot|thanks very much"
)
_FILLING = "er erm uh um"
_AGREEING_HUM = "mhm+|mm+(?: h?m+)?|hm+ h?m+|m(?: [hm]+)+"  # "mhm", "mm", "mm-hmm", "M. H. M."
_LISTENING_HUM = "hm+"


class Asked(Enum):
    """Whether the agent is putting a question.

    Attributes:
        NOT: it is not.
        SOON: its reply ends with one, and half of the reply was heard.
        NOW: it is finishing one, and whoever speaks now answers it.
    """

    NOT = auto()
    SOON = auto()
    NOW = auto()


class Weight(Enum):
    """What a transcript means to a reply that is being heard.

    Attributes:
        PLAIN: it stops the reply if it is long enough.
        ACKNOWLEDGEMENT: the listener is with the speaker, who goes on.
        COURTESY: likewise, and it takes nothing back that was asked for before, as a "please" that comes late.
        INSISTENT: it stops the reply however short it is.
    """

    PLAIN = auto()
    ACKNOWLEDGEMENT = auto()
    COURTESY = auto()
    INSISTENT = auto()

    @property
    def yields(self) -> bool:
        """Whether it leaves the floor to the agent."""
        return self in (Weight.ACKNOWLEDGEMENT, Weight.COURTESY)


def _alternatives(*lists: str) -> str:
    """A pattern of the words and the `|`-separated phrases of some lists."""
    entries: set[str] = set()
    for text in lists:
        singles, *phrases = text.split("|")
        entries.update(singles.split(), (" ".join(phrase.split()) for phrase in phrases))
    return "|".join(sorted(entries, key=len, reverse=True))


_AGREED = f"{_AGREEING_HUM}|{_alternatives(_AFFIRMING, _AGREEING, _COURTEOUS)}"
_ACKNOWLEDGING = f"{_AGREED}|{_LISTENING_HUM}|{_alternatives(_LISTENING)}"
_BESIDE = f"{_ACKNOWLEDGING}|{_alternatives(_FILLING)}"
_STOPPED = _alternatives(_STOPPING)
_ACKNOWLEDGED = re.compile(rf"(?:(?:{_ACKNOWLEDGING}) )+")
_HAS_AGREED = re.compile(rf"(?:(?:{_BESIDE}) )*?(?:{_AGREED}) ")
_HAS_AFFIRMED = re.compile(rf"(?:(?:{_BESIDE}) )*?(?:{_alternatives(_AFFIRMING)}) ")
_COMMANDED = re.compile(rf"(?:(?:{_BESIDE}) )*?(?:{_STOPPED}) (?:(?:{_BESIDE}|{_STOPPED}) )*")
_COURTEOUSLY = re.compile(rf"(?:(?:{_alternatives(_COURTEOUS)}) )+")
_FILLED = re.compile(rf"(?:(?:{_alternatives(_FILLING)}) )*")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


def weigh(text: str, *, language: str | None = None, asked: Asked = Asked.NOT) -> Weight:
    """What `text` means over the agent's voice.

    Args:
        text: an interim or final transcript.
        language: what is spoken, as in "en-GB"; None: unknown, taken for English.
        asked: what the agent is asking.
    """
    if language is not None and language.replace("_", "-").split("-")[0].lower() != "en":
        return Weight.PLAIN
    said = _WORD.findall(text.casefold().replace("’", "'"))
    if len(said) > MOST_WORDS:
        return Weight.INSISTENT if asked is Asked.NOW else Weight.PLAIN
    words = "".join(f"{word} " for word in said)
    if _FILLED.fullmatch(words):
        return Weight.PLAIN
    acknowledged = _ACKNOWLEDGED.fullmatch(words) is not None
    if asked is Asked.NOW:
        only_listens = acknowledged and not _HAS_AGREED.match(words)
        return Weight.ACKNOWLEDGEMENT if only_listens else Weight.INSISTENT
    if asked is Asked.SOON and acknowledged and _HAS_AFFIRMED.match(words):
        return Weight.INSISTENT
    if acknowledged:
        return Weight.COURTESY if _COURTEOUSLY.fullmatch(words) else Weight.ACKNOWLEDGEMENT
    return Weight.INSISTENT if _COMMANDED.fullmatch(words) else Weight.PLAIN
