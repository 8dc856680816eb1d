"""Asking a language model."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.models.llm import LLM, LLMCapabilities, ToolChoice, ask
from antiphon.models.tools import function_tool


@function_tool
async def clock() -> str:
    """Tell the time."""
    return "noon"


class Plain(LLM):
    """Its `chat` has the parameters of the interface's first form."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    @property
    def capabilities(self) -> LLMCapabilities:
        return LLMCapabilities()

    def chat(self, chat_ctx: Any, tools: Any = None, temperature: float = 0.5) -> Any:  # type: ignore[override]
        self.asked.append((tools, temperature))


class Choosing(Plain):
    def chat(self, chat_ctx: Any, tools: Any = None, temperature: float = 0.5, **more: Any) -> Any:
        self.asked.append((tools, temperature, more))


@pytest.mark.parametrize(("choice", "offered"), [("auto", [clock]), ("required", [clock]), ("none", None)])
def test_a_model_without_tool_choice_is_offered_no_tools_where_they_are_forbidden(
    choice: ToolChoice, offered: Any
) -> None:
    model = Plain()
    ask(model, [], [clock], tool_choice=choice)
    assert model.asked == [(offered, 0.5)]


def test_a_model_with_it_is_told() -> None:
    model = Choosing()
    ask(model, [], [clock], tool_choice="none", temperature=0.9)
    ask(model, [], [clock])
    assert model.asked == [([clock], 0.9, {"tool_choice": "none"}), ([clock], 0.5, {})]
