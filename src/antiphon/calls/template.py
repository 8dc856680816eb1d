r"""Placeholders in prompts: `{{caller_number}}`, `{{context.name}}`, `{{context.orders.0.id}}`.

A placeholder is names joined by dots between two braces; blanks around it do not matter. It is replaced by the value that
the names lead to, as it is: nothing is escaped, nothing is evaluated, and a value that looks like a placeholder is not
looked into. A value that is not there renders empty and is reported. Everything else stays as it was written, braces too;
`\{{name}}` writes `{{name}}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .assistant import Assistant

_PLACEHOLDER = re.compile(r"(\\)?\{\{[ \t]*([A-Za-z_][\w-]*(?:\.[\w-]+)*)[ \t]*\}\}")
_INDEX = re.compile(r"[0-9]{1,6}")
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered text, and the placeholders that had no value, each once, in order of appearance."""

    text: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preview:
    """What an assistant would be told for a call with given variables; `missing` is of both texts."""

    prompt: str
    start_instruction: str
    missing: tuple[str, ...] = ()


def render(template: str, variables: Mapping[str, Any]) -> Rendered:
    """Fill in placeholders.

    Texts are put in as they are, numbers as Python writes them, `true` and `false`, and objects and lists as JSON. Null
    counts as missing: nobody wants to hear it.
    """
    missing: dict[str, None] = {}

    def fill(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        if escaped:
            return match.group()[1:]
        value = _look_up(name, variables)
        if value is _ABSENT or value is None:
            missing[name] = None
            return ""
        return _text(value)

    return Rendered(_PLACEHOLDER.sub(fill, template), tuple(missing))


def preview(assistant: Assistant, variables: Mapping[str, Any]) -> Preview:
    """Render what depends on the call: the prompt and the start instruction."""
    prompt = render(assistant.prompt, variables)
    start = render(assistant.assistant_start_instruction, variables)
    return Preview(prompt.text, start.text, tuple(dict.fromkeys(prompt.missing + start.missing)))


def _look_up(name: str, variables: Mapping[str, Any]) -> Any:
    value: Any = variables
    for part in name.split("."):
        if isinstance(value, Mapping):
            value = value.get(part, _ABSENT)
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes) and _INDEX.fullmatch(part):
            value = value[int(part)] if int(part) < len(value) else _ABSENT
        else:
            return _ABSENT
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return json.dumps(value, ensure_ascii=False, default=str)
