"""Between a task's slots and the arguments of the tool that does it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .dialogue_state import State, Task
from .script import Intent, Script
from .slots import Value


def arguments_of(intent: Intent, slots: Mapping[str, Value]) -> dict[str, Any]:
    """The arguments of an intent's tool: whole numbers as int, others as float."""
    names = intent.arguments or {name: name for name in intent.all_slots}
    return {argument: _json(slots[slot]) for argument, slot in names.items() if slot in slots}


def task_of_call(
    script: Script, state: State, tool: str, arguments: Mapping[str, Any]
) -> tuple[Intent | None, Task | None]:
    """The intent and task that a call in the log belongs to, whoever made it."""
    if state.task and script.intents[state.task.intent].tool == tool:
        return script.intents[state.task.intent], state.task
    intent = next((i for i in script.intents.values() if i.tool == tool), None)
    if intent is None:
        return None, None
    names = intent.arguments or {name: name for name in intent.all_slots}
    values = {slot: _value(arguments[name]) for name, slot in names.items() if name in arguments}
    return intent, Task(intent.name, values)


def _value(argument: Any) -> Value:
    """A tool's argument as the value of a slot."""
    if isinstance(argument, str | bool):
        return argument
    return Decimal(str(argument)) if isinstance(argument, int | float) else str(argument)


def _json(value: Value) -> Any:
    if isinstance(value, str | bool):
        return value
    return int(value) if value == value.to_integral_value() else float(value)
