"""Stored tools: each name once an assistant, and kept while an assistant has them."""

from __future__ import annotations

from ..store import Store
from .document import FieldProblem
from .resource import Resource, Use
from .tool_definition import ToolDefinition

# Tools that an assistant may have by itself.
BUILT_IN = ("end_call", "transfer_call", "send_dtmf")


async def _check(store: Store, tool: ToolDefinition, id: str | None) -> list[FieldProblem]:
    if tool.name in BUILT_IN:
        return [FieldProblem("name", f"{tool.name} is the name of a built-in tool; choose another one")]
    if id is None or (await store.get("tools", id))["name"] == tool.name:
        return []
    others = {
        document["id"] async for document in store.each("tools", {"name": tool.name}) if document["id"] != id
    }
    return [
        FieldProblem("name", f"assistant {assistant['name']} has another tool of this name")
        async for assistant in store.each("assistants")
        if others and id in assistant["tools"] and others.intersection(assistant["tools"])
    ]


async def _used_by(store: Store, id: str) -> list[Use]:
    return [
        Use("assistants", assistant["id"], assistant["name"])
        async for assistant in store.each("assistants")
        if id in assistant.get("tools", ())
    ]


TOOLS = Resource("tools", "tool", ToolDefinition, _check, _used_by)
