"""What a tool returned, as the text that a model reads."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Any


def tool_output_text(value: Any) -> str:
    """Put what a tool returned into text for the model: text as it is, data as JSON, None as "done"."""
    if value is None:
        return "done"
    if isinstance(value, enum.Enum):
        return tool_output_text(value.value)
    if isinstance(value, str):
        return value
    if _is_data(value) or isinstance(value, bool):
        return json.dumps(value, ensure_ascii=False, default=_to_json)
    return str(value)


def _is_data(value: Any) -> bool:
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return True
    return not isinstance(value, type) and (
        dataclasses.is_dataclass(value) or callable(getattr(value, "model_dump", None))
    )


def _to_json(value: Any) -> Any:
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {member.name: getattr(value, member.name) for member in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, enum.Enum):
        return value.value
    return str(value)
