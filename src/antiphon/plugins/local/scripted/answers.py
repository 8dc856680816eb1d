"""Yes, no, never mind: the short answers to a question, and signs of a correction."""

from __future__ import annotations

import re
from functools import lru_cache

from .tokens import words
from .word_list import word_set

_NO = re.compile(
    r"^(?:know|note|nop)$|\b(?:no|nope|nah|negative|not really|not now|not today|not yet|do not|definitely not|absolutely not|no way|"
    r"incorrect|wrong|not right|not correct|rather not|not that|no thanks|i am good|not necessary|no need)\b"
)
_YES = re.compile(
    r"^please$|\b(?:yes|yeah|yep|yup|yah|yea|sure|correct|right|exactly|absolutely|definitely|certainly|of course|indeed|affirmative|"
    r"confirm|confirmed|approve|approved|you got it|go ahead|go for it|do it|do that|please do|sounds good|all good|that is it|fine|ok|by all means|"
    r"all right|that works|perfect|why not|proceed|continue|uh huh|mhm|mm hmm|aye|looks good|agreed|good to go)\b"
)
_NO_THANKS = re.compile(
    r"(?:no|nope|nah)\b(?: (?!wait\b|do\b)\w+){0,2}? (?:thank|thanks|cheers|appreciate)\b(?: \w+){0,4}$"
)
_PLAIN_YES = re.compile(
    r"(?:yes|yeah|yep|yup|sure|correct|exactly|confirmed|approved|that is (?:right|correct)|go ahead)\b"
)
# At the very end of a denial a word such as "right" is part of it: "that is not right".
_NOT_YES = re.compile(
    r"\b(?:not|is not|that is not)(?: \w+)? (?:right|correct|it|ok|fine|sure|good|what)\b|\bnot sure\b"
)
_CANCEL = re.compile(
    r"\b(?:never ?mind|forget (?:it|about it|that|the whole)|cancel(?: it| that| this| the \w+)?|leave it|drop it|scrap (?:it|that)|"
    r"call it off|changed my mind|change my mind|stop (?:it|that|this)|do not bother|skip it|abort|^(?:(?:ok|no|oh|hey|please|just|well|all right|wait) )*(?:stop|enough|that is enough|be quiet|quiet|shut up)(?: (?:please|now|talking|speaking|there))*$|let us not|not any ?more|"
    r"do not (?:want|need) (?:to|it|that|this|anything)|(?:would|d) rather not)\b"
)
_HOLD = re.compile(
    r"\b(?:wait|hang on|hold on|one moment|one second|just a (?:second|moment|minute|sec)|give me a (?:second|moment|minute|sec)|"
    r"let me (?:think|check|see))\b"
)
_CORRECTION = re.compile(
    r"\b(?:no|actually|sorry|i said|i meant|mean|make (?:it|that)|change (?:it|that)|instead|rather|wait|not)\b"
)
_REFUSES = re.compile(
    r"^(?:(?:oh|well|please|ok|no|actually|hey|wait) )*(?:do not|never)(?: you)?(?! (?:know|have|see|remember|understand|think|get|recall|recognize))\b"
)
# Said to what was being said; what is asked comes after it.
_STOP_FIRST = re.compile(
    r"^\W*(?:(?:ok|okay|no|oh|hey|please|well|all right)\b\W+)*(?:stop|wait|quiet|enough)\b\W+(?:please\b\W+)?(?:and\b\W+)?"
    r"(?=(?:what|when|where|who|how|which|why|is|are|can|could|do|does|tell|i|please)\b)",
    re.IGNORECASE,
)
_AROUND_CANCEL = word_set(
    "no oh ok well please just actually sorry i you it that then now wait and have do um uh"
)
_FILLERS = word_set("um uh er hmm ah oh well so like mm erm huh hm eh")


@lru_cache(maxsize=2048)
def yes_or_no(text: str) -> bool | None:
    """Whether a text answers yes or no; None when it says neither, or both in a way that leaves it open."""
    said = " ".join(words(text))
    if not said:
        return None
    if re.search(r"\bno (?:problem|worries|doubt)\b|\bwhy not\b", said):
        return True
    without = _NOT_YES.sub("no", said)
    no, yes = _NO.search(without), _YES.search(without)
    if yes and re.search(r"\bno wait\b|\bwait no\b|\bactually no\b|\bno (?:stop|do not|hold on)\b", without):
        return False
    if no and yes:
        # "no, that is right" is rare and unsafe; "yes, no problem" was dealt with above: the first word decides.
        return yes.start() < no.start() and not re.search(r"\bdo not\b|\bbut\b", without)
    if no:
        return False
    return True if yes else None


@lru_cache(maxsize=2048)
def begins_with_yes(text: str) -> bool:
    """Whether a text says yes before anything else, as in "yes, and how long will it take?"."""
    return yes_or_no(text) is True and bool(_PLAIN_YES.match(" ".join(words(text))))


@lru_cache(maxsize=2048)
def declines(text: str) -> bool:
    """Whether a text is a "no, thank you", in a few words."""
    return bool(_NO_THANKS.match(" ".join(words(text))))


@lru_cache(maxsize=2048)
def is_cancel(text: str) -> bool:
    """Whether a text calls off what is going on, as in "never mind"."""
    return bool(_CANCEL.search(" ".join(words(text))))


@lru_cache(maxsize=2048)
def is_only_cancel(text: str) -> bool:
    """Whether a text calls off and says nothing else: "cancel" is, "cancel my card" is not."""
    said = _CANCEL.sub("", " ".join(words(text)))
    return is_cancel(text) and all(word in _AROUND_CANCEL for word in said.split())


def without_stop(text: str) -> str:
    """What follows a command to be silent, as in "stop, when are you open?"; the text itself where nothing does."""
    return _STOP_FIRST.sub("", text)


@lru_cache(maxsize=2048)
def is_hold(text: str) -> bool:
    """Whether a text only asks for a moment, as in "hang on"."""
    said = words(text)
    return len(said) <= 7 and bool(_HOLD.search(" ".join(said)))


@lru_cache(maxsize=2048)
def is_correction(text: str) -> bool:
    """Whether a text takes back something, as in "no, I said fifty" or "make it sixty instead"."""
    return bool(_CORRECTION.search(" ".join(words(text))))


@lru_cache(maxsize=2048)
def refuses(text: str) -> bool:
    """Whether a text tells not to do something, as in "do not block my card"."""
    said = " ".join(words(text))
    return bool(_REFUSES.search(said) or re.search(r"\bdo not (?:want|need)(?: you)? to\b", said))


@lru_cache(maxsize=2048)
def is_noise(text: str) -> bool:
    """Whether there is nothing in a text but hesitation."""
    return all(word in _FILLERS for word in words(text))
