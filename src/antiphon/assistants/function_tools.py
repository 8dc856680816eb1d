"""Python functions that stored assistants may use as tools, by name: `"bank/get_balance"`.

A set of tools is found under the first part of the name: one that comes along (`bank`), or an entry point of the group
`antiphon.tools` of an installed package. What it names is a class (made anew for each call, so that it may keep what belongs
to the call), a function that returns such an object, or a module. The tools are its `@function_tool` members.
"""

from __future__ import annotations

import copy
import difflib
import importlib
import inspect
import types
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from ..models.errors import ConfigurationError
from ..models.tools import FunctionTool, find_function_tools

ENTRY_POINT_GROUP = "antiphon.tools"

_BUILT_IN = {"bank": ("antiphon.assistants.bank", "BankTools")}


def tool_set_names() -> list[str]:
    """The sets that are installed."""
    return sorted({*_BUILT_IN, *(entry.name for entry in _entry_points())})


def function_tool_names() -> list[str]:
    """All tools, as `"bank/get_balance"`. Imports every set.

    Raises:
        ConfigurationError: a set cannot be imported, or is none.
    """
    return [f"{name}/{tool.name}" for name in tool_set_names() for tool in _tools_of(_load(name), name)]


def check_function_tool(name: str) -> None:
    """Raises ConfigurationError unless there is a tool called `name`; the message says which there are."""
    FunctionTools().get(name)


class FunctionTools:
    """The function tools of one call: each set is made once, when the first of its tools is asked for."""

    def __init__(self) -> None:
        self._sets: dict[str, dict[str, FunctionTool]] = {}

    def get(self, name: str) -> FunctionTool:
        """The tool called `name`.

        Raises:
            ConfigurationError: there is none, or its set cannot be imported or made.
        """
        family, _, member = name.partition("/")
        if family not in self._sets:
            made = _load(family)
            if not isinstance(made, types.ModuleType):
                made = _make(made, family)
            self._sets[family] = {tool.name: tool for tool in _tools_of(made, family)}
        tools = self._sets[family]
        if member not in tools:
            raise ConfigurationError(_unknown(f"{family} has no tool {member!r}", member, list(tools)))
        return tools[member]


def described(tool: FunctionTool, name: str, description: str) -> FunctionTool:
    """The tool under another name and with another description for the model."""
    renamed = copy.copy(tool)
    renamed.name, renamed.description = name, description
    return renamed


@cache
def _entry_points() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=ENTRY_POINT_GROUP))


def _load(family: str) -> Any:
    try:
        if family in _BUILT_IN:
            module, attribute = _BUILT_IN[family]
            return getattr(importlib.import_module(module), attribute)
        for entry in _entry_points():
            if entry.name == family:
                return entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"the tools {family!r} cannot be imported: {error}") from error
    raise ConfigurationError(
        _unknown(f"no tools are installed under {family!r}", family, tool_set_names())
        + f". Tools of your own come from a package with an entry point of the group {ENTRY_POINT_GROUP}"
    )


def _make(maker: Any, family: str) -> Any:
    if not callable(maker):
        raise ConfigurationError(f"the tools {family!r} are neither a class, a function nor a module")
    try:
        return maker()
    except Exception as error:
        raise ConfigurationError(
            f"the tools {family!r} cannot be made: {type(error).__name__}: {error}"
        ) from error


def _tools_of(source: Any, family: str) -> list[FunctionTool]:
    if inspect.isfunction(source):
        source = _make(source, family)
    found = find_function_tools(source)
    if not found:
        raise ConfigurationError(f"the tools {family!r} have no member that is a @function_tool")
    return found


def _unknown(what: str, asked: str, known: list[str]) -> str:
    near = difflib.get_close_matches(asked, known, n=1)
    return f"{what}; did you mean {near[0]!r}?" if near else f"{what}; there are: {', '.join(known)}"
