"""Two requests in one breath: "what's my balance, and when are you open?".

A text is taken apart only where a sentence ends or a conjunction stands, and only if either side is by itself something that
the script knows well. What could be the rest of the same request, as "and send it to Alice", stays where it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .answers import refuses
from .matching import is_light, stem
from .script import Intent, Script
from .slots import Extraction
from .tokens import words
from .word_list import word_set

_CLEAR = 0.62  # how well either side must fit its intent
_OUTRIGHT = 0.75  # how well what follows a text must fit, not to be a part of it
_WHOLE = 0.9  # a sentence that fits one intent so well is one request
_MOST_WORDS = 40  # of a text that is taken apart: trying each place in it takes time
_MOST_WORDS_OF_A_VALUE = 4
_BOUNDARY = re.compile(
    r"(?P<stop>[.?!;]+)\s+(?:(?:and|also|plus|then)\b,?\s*)*"
    r"|,?\s+(?:and|also|plus|then|as well as)\b,?\s+(?:(?:also|then)\b,?\s+)*"
    r"|,\s+(?=(?:what|when|where|how|are|can|could)\b)"
    r"|\s+(?:(?:an|in|end)\s+)?(?=(?:what|when|where|how)\b)",  # recognisers lose an "and", or make something of it
    re.IGNORECASE,
)
_QUESTION = word_set(
    "what when where who which how why is are am was were do does did have has can could may will"
)
_OPENING = _QUESTION | word_set("would should let i my your the tell give show")
_SKIPPED = word_set("please just maybe um uh er well so now also then")


Read = Callable[[str, Sequence[str]], Extraction]


def split_requests(script: Script, text: str, read: Read) -> tuple[str, str] | None:
    """The two requests of a text; None if it is one.

    Args:
        script: what is known.
        text: what the caller said.
        read: reads the named slots from a text.
    """
    if refuses(text) or len(words(text)) > _MOST_WORDS:
        return None
    for boundary in _BOUNDARY.finditer(text):
        first, second = text[: boundary.start()], text[boundary.end() :]
        one, other = _intent(script, first), _intent(script, second)
        if one is None or not one.is_task or one.name == script.goodbye:
            continue
        if not boundary["stop"] and _is_another_value(one, read(first, one.all_slots), second, read):
            return first, second
        if other is None or not _is_request(script, other, second):
            continue
        if _takes_any_words(script, one) and not boundary["stop"] and not _intent(script, second, _OUTRIGHT):
            continue
        if one is other:
            if _complete_and_different(one, read(first, one.all_slots), read(second, one.all_slots)):
                return first, second
        elif boundary["stop"] or not _is_one(script, text):
            return first, second
    return None


def split_answer(
    script: Script, text: str, intent: Intent, is_answer: Callable[[str], bool]
) -> tuple[str, str] | None:
    """The answer to a question about `intent` and the request that follows it, as in "savings, and when are you open?"."""
    if len(words(text)) > _MOST_WORDS:
        return None
    for boundary in _BOUNDARY.finditer(text):
        answer, request = text[: boundary.start()], text[boundary.end() :]
        other = _intent(script, request)
        if other is None or other is intent or not _is_request(script, other, request):
            continue
        if not _takes_any_words(script, intent) and is_answer(answer):
            return answer, request
    return None


def _intent(script: Script, part: str, clear: float = _CLEAR) -> Intent | None:
    """What a part means, if that is clear."""
    if len(words(part)) < 2:
        return None
    whole = script.matcher.rank_segments(part)[0]
    return script.intents[whole[0].intent] if whole and whole[0].score >= clear else None


def _is_one(script: Script, text: str) -> bool:
    """Whether all of a text is what an example says."""
    whole = script.matcher.rank_segments(text)[0]
    return bool(whole) and whole[0].score >= _WHOLE


def _is_request(script: Script, intent: Intent, part: str) -> bool:
    """Whether a part begins as a request does, and wants something."""
    said = [word for word in words(part) if word not in _SKIPPED]
    if not said or intent.action is not None or intent.name == script.goodbye:
        return False
    if not intent.is_task:
        return said[0] in _QUESTION
    listed = (words(phrase) for phrase in (*intent.examples, *intent.keywords))
    return said[0] in _OPENING or stem(said[0]) in {stem(phrase[0]) for phrase in listed if phrase}


def _complete_and_different(intent: Intent, one: Extraction, other: Extraction) -> bool:
    """Whether two parts ask for the same with different values, and neither lacks one."""
    both = (one.values, other.values)
    complete = all(name in values for values in both for name in intent.slots if name not in intent.defaults)
    return complete and all(both) and one.values != other.values


def _is_another_value(intent: Intent, known: Extraction, part: str, read: Read) -> bool:
    """Whether a part is only another value, as the last words of "how much is in checking and in savings"."""
    if intent.confirm or len(words(part)) > _MOST_WORDS_OF_A_VALUE:
        return False
    if any(name not in known.values and name not in intent.defaults for name in intent.slots):
        return False
    found = read(part, intent.all_slots)
    others = all(known.values.get(name, value) != value for name, value in found.values.items())
    return bool(found.values) and others and all(is_light(word) for word in found.leftover)


def _takes_any_words(script: Script, intent: Intent) -> bool:
    """Whether what follows may be the text that it asks for."""
    return any(slot.type == "text" for slot in script.slots_of(intent))
