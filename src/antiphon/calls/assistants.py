"""Stored assistants: saved only if they could take a call, kept while numbers lead to them, shown as they would speak."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..store import OneOf, Store
from .assistant import Assistant
from .assistant_check import find_problems
from .document import FieldProblem
from .resource import Resource, Use, find_missing
from .status import CallStatus
from .template import Preview, preview

_NAMED = 20  # uses of a document that are listed


async def _check(store: Store, assistant: Assistant, _id: str | None) -> list[FieldProblem]:
    missing = set(await find_missing(store, "tools", assistant.tools))
    known = [tool for tool in assistant.tools if tool not in missing]
    # In a thread: a vendor's plugin may take a second to import.
    problems = await asyncio.to_thread(find_problems, assistant, known_tools=known)
    return problems + await _tools_with_one_name(store, assistant.tools)


async def _tools_with_one_name(store: Store, ids: list[str]) -> list[FieldProblem]:
    if not ids:
        return []
    found = await store.find("tools", {"id": OneOf(tuple(ids))}, limit=len(ids))
    names = {document["id"]: document["name"] for document in found.items}
    problems, seen = [], set()
    for index, id in enumerate(ids):
        name = names.get(id)
        if name in seen:
            problems.append(
                FieldProblem(f"tools.{index}", f"another tool of this assistant is called {name!r} too")
            )
        if name is not None:
            seen.add(name)
    return problems


async def _used_by(store: Store, id: str) -> list[Use]:
    numbers = await store.find("inbound_sip", {"assistant_id": id}, limit=_NAMED)
    queued = await store.find("calls", {"assistant_id": id, "status": CallStatus.QUEUED.value}, limit=_NAMED)
    return [
        *(Use("inbound", number["id"], number["number"]) for number in numbers.items),
        *(Use("calls", call["id"], call["id"]) for call in queued.items),
    ]


ASSISTANTS = Resource("assistants", "assistant", Assistant, _check, _used_by)


async def preview_assistant(store: Store, id: str, variables: Mapping[str, Any]) -> Preview:
    """What a stored assistant would be told for a call with these variables. Raises NotFound."""
    shown = await store.get("assistants", id)
    return preview(
        Assistant.model_construct(
            prompt=shown["prompt"], assistant_start_instruction=shown.get("assistant_start_instruction", "")
        ),
        variables,
    )
