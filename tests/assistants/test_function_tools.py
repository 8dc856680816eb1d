"""Python functions as tools of stored assistants."""

from __future__ import annotations

import asyncio
import sys
import types
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from antiphon.assistants import function_tools
from antiphon.assistants.function_tools import FunctionTools, check_function_tool, function_tool_names
from antiphon.calls.document import DocumentRefused, parse
from antiphon.calls.runtime import make_tool
from antiphon.calls.tool_definition import ToolDefinition
from antiphon.models.errors import ConfigurationError
from antiphon.models.tools import function_tool


class Counter:
    """Counts for one call."""

    def __init__(self) -> None:
        self.count = 0

    @function_tool
    async def add(self, number: int) -> int:
        """Add a number.

        Args:
            number: What to add.
        """
        self.count += number
        return self.count

    @function_tool
    async def total(self) -> int:
        """Say the total."""
        return self.count


def make_counter() -> Counter:
    return Counter()


def breaks() -> Counter:
    raise RuntimeError("no database")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with tools of every form."""
    module = types.ModuleType("counting")
    module.Counter, module.make, module.breaks, module.number = Counter, make_counter, breaks, 5  # type: ignore[attr-defined]

    @function_tool
    async def ping() -> str:
        """Answer."""
        return "pong"

    module.ping = ping  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "counting", module)
    forms = {"class": "counting:Counter", "maker": "counting:make", "module": "counting"}
    bad = {"broken": "counting:breaks", "absent": "nowhere:Tools", "number": "counting:number"}
    entries = [
        EntryPoint(name, value, function_tools.ENTRY_POINT_GROUP) for name, value in (forms | bad).items()
    ]
    monkeypatch.setattr(function_tools, "_entry_points", lambda: tuple(entries))


def call(tool: Any, **arguments: Any) -> Any:
    return asyncio.run(tool.call(arguments))


@pytest.mark.parametrize("family", ["class", "maker"])
def test_tools_of_a_set_share_state_within_a_call_and_nowhere_else(installed: None, family: str) -> None:
    one, other = FunctionTools(), FunctionTools()
    assert call(one.get(f"{family}/add"), number=2) == 2
    assert call(one.get(f"{family}/total")) == 2
    assert call(other.get(f"{family}/total")) == 0


def test_a_module_is_a_set_too(installed: None) -> None:
    assert call(FunctionTools().get("module/ping")) == "pong"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("clas/add", "did you mean 'class'"),
        ("class/ad", "did you mean 'add'"),
        ("class", "has no tool"),
        ("broken/add", "cannot be made: RuntimeError: no database"),
        ("absent/add", "cannot be imported"),
        ("number/add", "neither a class, a function nor a module"),
        ("nothing-like-it/add", "entry point of the group antiphon.tools"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(installed: None, name: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        check_function_tool(name)


def test_the_bank_comes_along() -> None:
    names = function_tool_names()
    assert {"bank/get_balance", "bank/transfer_money", "bank/end_conversation"} <= set(names)
    bank = FunctionTools()
    before = call(bank.get("bank/get_balance"), account="savings")["balance"]
    call(bank.get("bank/transfer_money"), amount=50, payee="Alice", account="savings")
    assert float(call(bank.get("bank/get_balance"), account="savings")["balance"]) == float(before) - 50


def document(**change: Any) -> dict[str, Any]:
    tool = {"name": "balance", "description": "Look it up.", "function": {"name": "bank/get_balance"}}
    return {**tool, **change}


def test_a_tool_document_names_a_function() -> None:
    tool = make_tool(parse(ToolDefinition, document()), {})
    assert (tool.name, tool.description) == ("balance", "Look it up.")
    assert list(tool.parameters["properties"]) == ["account"]
    assert call(tool, account="checking")["outcome"] == "ok"


def test_functions_of_a_call_share_its_bank() -> None:
    functions = FunctionTools()
    send = make_tool(
        parse(ToolDefinition, document(function={"name": "bank/transfer_money"})), {}, functions=functions
    )
    look = make_tool(parse(ToolDefinition, document()), {}, functions=functions)
    sent = call(send, amount=10, payee="Bob", account="checking")
    assert call(look, account="checking")["balance"] == sent["new_balance"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"function": {"name": "bank/get_balnce"}}, "function.name", "did you mean 'get_balance'"),
        ({"function": {"name": "get_balance"}}, "function.name", "pattern"),
        ({"static": {"value": 1}}, "", "exactly one of webhook, static and function"),
        (
            {"parameters": {"type": "object", "properties": {"a": {"type": "string"}}}},
            "",
            "leave them out",
        ),
    ],
)
def test_a_document_that_cannot_run_is_refused(change: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(DocumentRefused, match=words) as refused:
        parse(ToolDefinition, document(**change))
    assert refused.value.problems[0].field == field
