"""Field-level changes of one document: checked once, applied by SQLite here and by MongoDB in its own words."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .documents import RESERVED, Document, check_path, check_value
from .errors import InvalidDocument


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change in a document; the keys are paths such as `"llm.model"`.

    Attributes:
        set: values to put, making the dicts on the way to them.
        unset: fields to remove; one that is not there is no error.
        increment: numbers to add; a missing field counts as 0.
        append: items to add to the end of lists; a missing list counts as empty.
        raise_to: numbers which a field must have at least; a missing field gets them.
    """

    set: Mapping[str, Any] = field(default_factory=dict)
    unset: Sequence[str] = ()
    increment: Mapping[str, int | float] = field(default_factory=dict)
    append: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    raise_to: Mapping[str, float] = field(default_factory=dict)

    def paths(self) -> list[str]:
        return [*self.set, *self.unset, *self.increment, *self.append, *self.raise_to]

    def check(self) -> None:
        """Raises InvalidDocument if a path is malformed, belongs to the store, or meets another one of these changes."""
        paths = sorted(self.paths())
        for path in paths:
            check_path(path)
            if path.partition(".")[0] in RESERVED:
                raise InvalidDocument(f"{path} is set by the store only", field=path)
        for index, path in enumerate(paths):
            for other in paths[index + 1 :]:
                if other == path or other.startswith(path + "."):
                    raise InvalidDocument(f"{path} and {other} cannot change at once", field=other)
        for path, value in {**self.set, **self.increment, **self.raise_to}.items():
            check_value(value, path)
        for path, items in self.append.items():
            check_value(list(items), path)
        for path, number in {**self.increment, **self.raise_to}.items():
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise InvalidDocument(f"{path} can only grow by a number", field=path)

    def plus(self, other: Changes) -> Changes:
        """Both at once; `other` wins where both set or unset the same field."""
        return Changes(
            set={**{k: v for k, v in self.set.items() if k not in other.unset}, **other.set},
            unset=[*(path for path in self.unset if path not in other.set), *other.unset],
            increment={**self.increment, **other.increment},
            append={**self.append, **other.append},
            raise_to={**self.raise_to, **other.raise_to},
        )


def apply(changes: Changes, document: Document) -> Document:
    """`document` with `changes`, which were checked; the document itself stays as it was.

    Raises:
        InvalidDocument: a path leads through something that is not a dict, or a field has not the type that it needs.
    """
    changed = copy.deepcopy(document)
    for path, value in changes.set.items():
        parent, name = _parent(changed, path)
        parent[name] = copy.deepcopy(value)
    for path in changes.unset:
        _unset(changed, path)
    for path, number in changes.increment.items():
        parent, name = _parent(changed, path)
        parent[name] = _number(parent, name, path, 0) + number
    for path, number in changes.raise_to.items():
        parent, name = _parent(changed, path)
        parent[name] = max(_number(parent, name, path, number), number)
    for path, items in changes.append.items():
        parent, name = _parent(changed, path)
        present = parent.setdefault(name, [])
        if not isinstance(present, list):
            raise InvalidDocument(f"{path} is not a list, so nothing can be appended", field=path)
        present.extend(copy.deepcopy(list(items)))
    return changed


def _parent(document: Document, path: str) -> tuple[Document, str]:
    *way, name = path.split(".")
    parent = document
    for step in way:
        below = parent.setdefault(step, {})
        if not isinstance(below, dict):
            raise InvalidDocument(f"{path} leads through {step}, which is not an object", field=path)
        parent = below
    return parent, name


def _unset(document: Document, path: str) -> None:
    *way, name = path.split(".")
    parent: Any = document
    for step in way:
        parent = parent.get(step)
        if not isinstance(parent, dict):
            return
    parent.pop(name, None)


def _number(parent: Document, name: str, path: str, default: float) -> float:
    value = parent.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidDocument(f"{path} is not a number", field=path)
    return value
