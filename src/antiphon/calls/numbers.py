"""Stored number mappings: what they refer to must be there."""

from __future__ import annotations

from ..store import Store
from .document import FieldProblem
from .number_mapping import NumberMapping
from .resource import Resource, find_missing

_REFERENCES = {
    "assistant_id": ("assistants", "assistant"),
    "trunk_id": ("trunks", "trunk"),
    "inbound_context_strategy_id": ("inbound_context_strategies", "strategy"),
}


async def _check(store: Store, mapping: NumberMapping, _id: str | None) -> list[FieldProblem]:
    problems = []
    for field, (collection, noun) in _REFERENCES.items():
        id = getattr(mapping, field)
        if id is not None and await find_missing(store, collection, [id]):
            problems.append(FieldProblem(field, f"there is no {noun} {id!r}"))
    return problems


NUMBERS = Resource("inbound_sip", "number", NumberMapping, _check)
