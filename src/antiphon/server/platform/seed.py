"""The assistants of the demo as stored documents, like those that people make over REST."""

from __future__ import annotations

from typing import Any

from ...assistants import load_assistant
from ...assistants.bank import BankTools
from ...assistants.bank.agent import GREETING, INSTRUCTIONS
from ...calls.assistant import Assistant
from ...calls.document import Document, parse
from ...calls.tool_definition import ToolDefinition
from ...models.registry import ModelName
from ...models.tools import find_function_tools
from ...store import AlreadyExists, NotFound, Store

BANK = "bank"
"""The id of the bank assistant, so that `?agent=bank` finds it."""


async def seed_demo(store: Store) -> None:
    """Store the bank assistant with its tools. What is there already stays as it is, also what was changed or deleted."""
    names = [tool.name for tool in find_function_tools(BankTools())]
    for tool in find_function_tools(BankTools()):
        definition = {"name": tool.name, "description": tool.description}
        await _create(
            store,
            "tools",
            _tool_id(tool.name),
            parse(ToolDefinition, {**definition, "function": {"name": f"bank/{tool.name}"}}),
        )
    await _create(store, "assistants", BANK, parse(Assistant, _bank([_tool_id(name) for name in names])))


def _tool_id(name: str) -> str:
    return f"bank_{name}"


def _bank(tools: list[str]) -> dict[str, Any]:
    definition = load_assistant("bank")
    return {
        "name": definition.title,
        "description": definition.description,
        "examples": list(definition.examples),
        "prompt": INSTRUCTIONS,
        "assistant_start_instruction": GREETING,
        "stt": _model(definition.stt),
        "llm": _model(definition.llm),
        "tts": _model(definition.tts),
        "tools": tools,
        "end_call": {"enabled": False},  # the bank's own end_conversation does it
        "interaction": {"silence": {"interval_seconds": 30}},  # visitors look around
        "recording": False,  # nobody asked the visitor
        "public": True,
    }


def _model(name: str) -> dict[str, Any]:
    parsed = ModelName.parse(name)
    provider, _, model = str(parsed).partition("/")
    return {"provider": provider, "model": model}


async def _create(store: Store, collection: str, id: str, document: Document) -> None:
    try:
        await store.get(collection, id, include_deleted=True)
    except NotFound:
        fields = document.model_dump(mode="json", exclude_none=True)
        try:
            await store.create(collection, fields, id=id)
        except AlreadyExists:
            return  # another process seeds too
