"""Knowing one of the script's own questions when it is met in a log, with the values that it names."""

from __future__ import annotations

from .dialogue import Dialogue
from .dialogue_state import Question, Task
from .script import Intent
from .slots import Value
from .templates import as_pattern


def recognise_question(dialogue: Dialogue, text: str) -> tuple[Task, Question] | None:
    """The task and question that a text of the assistant asks, if it is one of the script's."""
    for intent in dialogue.script.intents.values():
        for sentence in intent.confirm:
            values = _values(dialogue, intent, sentence, text)
            if values is not None and all(s in values or s in intent.defaults for s in intent.slots):
                return Task(intent.name, values), Question("confirm")
    for intent in dialogue.script.intents.values():
        for name in intent.slots:
            for sentence in intent.ask.get(name) or dialogue.script.slots[name].ask:
                values = _values(dialogue, intent, sentence, text)
                if values is not None:
                    return Task(intent.name, values), Question("slot", name)
    return None


def _values(dialogue: Dialogue, intent: Intent, sentence: str, text: str) -> dict[str, Value] | None:
    match = as_pattern(sentence).search(text)
    if match is None:
        return None
    values: dict[str, Value] = {}
    for name, spoken in match.groupdict().items():
        if name not in intent.all_slots:
            continue
        found = dialogue.read(spoken, [name], asked=name)
        if name in found.values:
            values[name] = found.values[name]
    return values
