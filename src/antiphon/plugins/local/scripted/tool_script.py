"""A script made from an application's tools alone: names, descriptions and argument schemas say what can be asked."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .matching import is_light, stem
from .script import Intent, Script
from .script_file import load_script
from .slots import Slot, SlotType
from .speech import spoken_list
from .tokens import words
from .word_list import word_set

if TYPE_CHECKING:
    from ....models.tools import FunctionTool

_ENDS_CALL = re.compile(r"hang_?up|end_?(?:the_?)?(?:call|conversation|session|chat)|disconnect|good_?bye")
_CALLS_HUMAN = re.compile(r"human|operator|representative|real_person|live_agent|to_agent|escalate")
_VERBS = word_set(
    "get set do make fetch look find check create add update run use show tell read give lookup current new"
)
# Other words for what tools are often about; used only for words that some tool has.
_ALSO = {
    "weather": ("forecast", "temperature", "rain", "raining", "rainy", "sunny", "umbrella", "how cold", "how hot", "how warm"),
    "schedule": ("book", "set up", "arrange", "plan"),
    "book": ("reserve", "schedule", "arrange"),
    "appointment": ("meeting", "booking", "consultation"),
    "reservation": ("booking", "table"),
    "transfer": ("connect", "put me through", "forward", "speak to", "talk to", "speak with", "talk with"),
    "send": ("write", "mail"),
    "search": ("look for", "look up", "find"),
    "order": ("buy", "purchase"),
    "cancel": ("call off", "revoke"),
    "news": ("headlines",),
    "price": ("cost", "how much"),
    "light": ("lights", "lamp"),
    "remind": ("reminder",),
}  # fmt: skip
_INTRODUCED_BY: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        r"location|city|place|town|country|address|region|area|destination",
        ("in", "for", "at", "to", "near", "around"),
    ),
    (
        r"name|person|recipient|contact|who|guest|customer|attendee",
        ("to", "for", "with", "named", "called", "is"),
    ),
    (
        r"description|subject|topic|title|reason|purpose|note|message|text|query|question|content|body",
        ("about", "for", "regarding", "concerning", "called", "saying", "that"),
    ),
)
_ANY_INTRODUCTION = ("in", "for", "about", "with", "to", "called", "named", "on")
_AMOUNT = re.compile(r"amount|price|sum\b|dollar|money|cost|budget")


def script_for_tools(tools: Sequence[FunctionTool]) -> Script:
    """A script that understands requests for some tools, and small talk."""
    return _script_for(tuple((t.name, t.description, json.dumps(t.parameters)) for t in tools))


@lru_cache(maxsize=64)
def _script_for(tools: tuple[tuple[str, str, str], ...]) -> Script:
    base = load_script(Path(__file__).with_name("small_talk.toml"))
    intents, slots = dict(base.intents), dict(base.slots)
    human, goodbye = base.human, base.goodbye
    common = Counter(word for tool in tools for word in set(_content_words(tool[0], tool[1])))
    for name, description, schema in tools:
        found = _slots_of(name, json.loads(schema))
        if found is None:
            continue
        tool_slots, required = found
        slots.update((slot.name, slot) for slot in tool_slots)
        intent = _intent_for(name, description, tool_slots, required, common)
        if _ENDS_CALL.search(name):
            farewell = intents.pop("goodbye", base.intents["goodbye"])
            intent = replace(
                intent,
                examples=(*intent.examples, *farewell.examples),
                keywords=(*intent.keywords, *farewell.keywords),
                say=farewell.say,
                # The tool may cut the line, so the farewell comes first; what follows is heard only if it does not.
                reply=("Take care.",),
            )
            goodbye = intent.name
        elif _CALLS_HUMAN.search(name):
            examples = (
                "talk to a human",
                "speak to a real person",
                "put me through to an agent",
                "a person please",
            )
            intent = replace(intent, examples=(*intent.examples, *examples))
            human = intent.name
        intents[intent.name] = intent
    replies = base.replies
    if not any(intent.title for intent in intents.values()):
        replies = replace(replies, can_do=("",))
    return replace(
        base,
        intents=intents,
        slots=slots,
        human=human,
        goodbye=goodbye,
        replies=replies,
        synonyms=_synonyms(common),
    )


def _intent_for(
    name: str, description: str, slots: Sequence[Slot], required: Sequence[str], common: Counter[str]
) -> Intent:
    phrase = name.replace("_", " ").replace("-", " ")
    sentence = re.split(r"(?<=[.!?])\s|\n", description.strip(), maxsplit=1)[0].rstrip(".!? ")
    content = [word for word in words(phrase) if word not in _VERBS]
    own = [w for w in _content_words(name, "") if common[w] == 1 and w not in _VERBS]
    examples = [phrase, sentence, f"i want to {phrase}", f"can you {sentence}"]
    for slot in slots:
        if slot.values:
            choice = f"{{{slot.name}}}"
            examples += [choice, f"{choice} please", f"talk to {choice}", f"i have a question about {choice}"]
        elif slot.after:
            examples.append(f"{' '.join(content) or phrase} {slot.after[0]}")
    title = _to_the_caller(sentence[:1].lower() + sentence[1:] if sentence else phrase)
    return Intent(
        name=f"tool {name}",
        title=title,
        examples=tuple(e for e in examples if e.strip()),
        keywords=tuple(dict.fromkeys([" ".join(content) or phrase, *own])),
        slots=tuple(slot.name for slot in slots if slot.name in required),
        optional=tuple(slot.name for slot in slots if slot.name not in required),
        tool=name,
        arguments={slot.name.removeprefix(_slot_prefix(name)): slot.name for slot in slots},
    )


def _to_the_caller(text: str) -> str:
    """A description, which speaks of the user, as said to them."""
    text = re.sub(r"\b(?:the|a) (?:user|caller|customer)['’]s\b", "your", text)
    return re.sub(r"\b(?:the|a) (?:user|caller|customer)\b", "you", text)


def _content_words(name: str, description: str) -> list[str]:
    text = f"{name.replace('_', ' ').replace('-', ' ')} {description}"
    return [stem(word) for word in words(text) if not is_light(word) and len(word) > 2 and word not in _VERBS]


def _synonyms(known: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    return {
        word: tuple(other for other in also if stem(other) not in known)
        for word, also in _ALSO.items()
        if stem(word) in known
    }


def _slot_prefix(tool: str) -> str:
    return f"{tool}_"


def _slots_of(tool: str, schema: Mapping[str, Any]) -> tuple[list[Slot], list[str]] | None:
    """A slot for each argument, and the names of the required ones; None when one cannot be asked for by voice."""
    required = set(schema.get("required", ()))
    slots: list[Slot] = []
    for name, argument in schema.get("properties", {}).items():
        slot = _slot_for(_slot_prefix(tool), name, argument)
        if slot is not None:
            slots.append(slot)
        elif name in required:
            return None
    return slots, [slot.name for slot in slots if slot.name.removeprefix(_slot_prefix(tool)) in required]


def _slot_for(prefix: str, name: str, argument: Mapping[str, Any]) -> Slot | None:
    argument = _without_null(argument)
    spoken = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()
    description = str(argument.get("description", ""))
    ask = f"What {spoken} should I use?"
    hint = f"I did not get the {spoken}."
    values = _values(argument, description)
    if values:
        options = spoken_list(values, "or")
        return Slot(
            prefix + name, "choice", (f"Which {spoken}: {options}?",), hint, {v: _ways(v) for v in values}
        )
    kind = _type_of(name, argument, description)
    if kind is None:
        return None
    if kind == "yes_no":
        ask = f"{(description or spoken).rstrip('.')}: yes or no?"
    after: tuple[str, ...] = ()
    if kind == "text":
        after = next(
            (ws for pattern, ws in _INTRODUCED_BY if re.search(pattern, name.lower())), _ANY_INTRODUCTION
        )
    return Slot(prefix + name, kind, (ask,), hint, after=after)


def _ways(value: str) -> tuple[str, ...]:
    spoken = value.replace("_", " ").replace("-", " ").lower()
    return () if spoken == value else (spoken,)


def _without_null(argument: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of an optional argument without its null."""
    options = [o for o in argument.get("anyOf", argument.get("oneOf", ())) if o.get("type") != "null"]
    merged = {**argument, **options[0]} if len(options) == 1 else dict(argument)
    if isinstance(merged.get("type"), list):
        merged["type"] = next((t for t in merged["type"] if t != "null"), "string")
    return merged


def _values(argument: Mapping[str, Any], description: str) -> list[str]:
    """The allowed values: an enum, or a list in the description as in `(sales, support, billing)`."""
    if "enum" in argument:
        return [str(value) for value in argument["enum"] if value is not None]
    if argument.get("type", "string") != "string":
        return []
    listed = re.search(
        r"\(((?:[\w-]+, )+(?:or )?[\w-]+)\)|(?:one of|either)[: ]+([\w\"', -]+?)(?:\.|$)", description
    )
    if not listed:
        return []
    parts = re.split(r",\s*(?:or\s+)?|\s+or\s+", listed[1] or listed[2])
    values = [part.strip(" \"'") for part in parts]
    return values if len(values) > 1 and all(re.fullmatch(r"[\w-]+", value) for value in values) else []


def _type_of(name: str, argument: Mapping[str, Any], description: str) -> SlotType | None:
    kind = argument.get("type", "string")
    if kind in ("integer", "number"):
        return "money" if _AMOUNT.search(f"{name} {description}".lower()) else "number"
    if kind == "boolean":
        return "yes_no"
    if kind != "string":
        return None
    form = str(argument.get("format", ""))
    if form == "date" or "YYYY-MM-DD" in description.upper() or name.lower() == "date":
        return "date"
    if form == "time" or "HH:MM" in description.upper() or name.lower() == "time":
        return "time"
    return "text"
