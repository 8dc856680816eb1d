"""Script files: the documented example works, and mistakes are named with their place."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from antiphon.models.chat_context import ChatContext, ChatMessage
from antiphon.models.errors import ConfigurationError
from antiphon.models.tools import FunctionTool
from antiphon.plugins.local.scripted import ScriptedLLM, ScriptError, find_script, load_script, parse_script

DOCUMENT = Path(__file__).parents[2] / "docs" / "scripted-assistants.md"
MINIMAL = """
[slots.size]
type = "choice"
ask = "Which size?"
values = { small = [], large = ["big"] }
[intents.order]
examples = ["I want a {size} one"]
tool = "order"
slots = ["size"]
"""


def order_pizza(arguments: dict[str, Any], context: Any) -> dict[str, Any]:
    if arguments["pizza"] == "mushroom":
        return {"outcome": "sold_out"}
    return {"outcome": "ok", "ready": "19:30", "price": "36.50"}


def talk(llm: ScriptedLLM, tools: list[FunctionTool], said: list[str]) -> tuple[list[str], list[str]]:
    """What the assistant answers to each turn, and the calls that it made."""

    async def run() -> tuple[list[str], list[str]]:
        log, answers, made = ChatContext(), [], []
        for text in said:
            log.add_message(role="user", content=text)
            answer = ""
            for _ in range(3):
                calls = []
                async for chunk in llm.chat(log, tools):
                    answer += chunk.delta
                    calls += chunk.tool_calls or []
                for call in calls:
                    made.append(f"{call.name} {call.arguments}")
                    tool = next(tool for tool in tools if tool.name == call.name)
                    output = json.dumps(await tool.call(call.arguments))
                    log.append(ChatMessage(role="assistant", tool_calls=[call]))
                    log.append(ChatMessage(role="tool", content=output, tool_call_id=call.id))
                if not calls:
                    break
            log.add_message(role="assistant", content=answer)
            answers.append(answer)
        return answers, made

    return asyncio.run(run())


def documented_script() -> str:
    match = re.search(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert match
    return match[1]


def test_the_documented_conversation_happens() -> None:
    """The example of the documentation, line by line."""
    text = DOCUMENT.read_text(encoding="utf-8")
    shown = re.search(r"```text\n(caller.*?)```", text, re.DOTALL)
    assert shown
    lines = shown[1].splitlines()
    said = [line.removeprefix("caller").strip() for line in lines if line.startswith("caller")]
    expected = [line.removeprefix("assistant").strip() for line in lines if line.startswith("assistant")]
    schema = {
        "type": "object",
        "properties": {"pizza": {"type": "string"}, "count": {"type": "integer"}, "time": {"type": "string"}},
        "required": ["pizza"],
    }
    tools = [FunctionTool.from_schema("order_pizza", "Order pizza.", schema, order_pizza)]
    answers, calls = talk(ScriptedLLM(parse_script(documented_script(), "pizzeria.toml")), tools, said)
    assert answers == expected
    assert calls == [line.strip().removeprefix("→ ") for line in lines if "→" in line]


def test_an_outcome_asks_for_a_slot_again() -> None:
    schema = {"type": "object", "properties": {"pizza": {"type": "string"}, "count": {"type": "integer"}}}
    tools = [FunctionTool.from_schema("order_pizza", "Order pizza.", schema, order_pizza)]
    said = ["one mushroom pizza", "yes", "salami then", "yes"]
    answers, calls = talk(ScriptedLLM(parse_script(documented_script(), "pizzeria.toml")), tools, said)
    assert answers[1] == "We are out of mushroom. Which one would you like instead?"
    assert answers[3].startswith("Your pizza is ready")
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("[intents.order]", "[intents.order"), r"not valid TOML"),
        (('tool = "order"', 'toool = "order"'), r"\[intents.order\] toool: unknown key; known here: .*tool"),
        (('tool = "order"', ""), r"\[intents.order\]: needs a `tool`"),
        (('examples = ["I want a {size} one"]', ""), r"\[intents.order\] examples: an intent needs"),
        (('slots = ["size"]', 'slots = ["topping"]'), r"'topping' is not defined: add \[slots.topping\]"),
        (('slots = ["size"]', 'slots = "size"\nconfirm = "A {seize}?"'), r"confirm.*\{seize\}.*size"),
        (('slots = ["size"]', "slots = [1]"), r"\[intents.order\] slots: expected a text or a list of texts"),
        (('type = "choice"', 'type = "chioce"'), r"\[slots.size\] type: expected one of money, .*'chioce'"),
        (('values = { small = [], large = ["big"] }', ""), r"\[slots.size\]: a choice needs `values`"),
        (('ask = "Which size?"', ""), r"\[slots.size\] ask: needed because \[intents.order\]"),
        (('tool = "order"', 'tool = "order"\nreply = "{x|mony}"'), r"the filter must be one of .*money"),
        (('tool = "order"', 'tool = "order"\naction = "sing"'), r"action: expected one of help, repeat"),
        (('tool = "order"', 'tool = "order"\nretry = { out = "x" }'), r"retry: 'x' is not among"),
        (
            ("[slots.size]", 'human = "person"\n[slots.size]'),
            r"human: 'person' is not an intent; there are order",
        ),
        (("[slots.size]", 'currency = "yen"\n[slots.size]'), r"currency: expected one of dollars"),
        (("[slots.size]", "[replies]\nhallo = 1\n[slots.size]"), r"\[replies\] hallo: unknown key"),
        (
            ('tool = "order"', 'tool = "order"\nfollow_up = { ask = "More?", intent = "more" }'),
            r"\[intents.order.follow_up\] intent: 'more' is not an intent",
        ),
    ],
)
def test_mistakes_are_named_with_their_place(change: tuple[str, str], problem: str) -> None:
    text = MINIMAL.replace(*change)
    assert text != MINIMAL
    with pytest.raises(ScriptError, match=r"my\.toml: .*" + problem) as caught:
        parse_script(text, "my.toml")
    assert isinstance(caught.value, ConfigurationError)


def test_an_empty_script_says_what_it_needs() -> None:
    with pytest.raises(ScriptError, match="needs at least one intent"):
        parse_script("", "empty.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match="cannot be read"):
        load_script(tmp_path / "none.toml")


def test_scripts_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_text(MINIMAL, encoding="utf-8")
    assert find_script(str(path)) == path
    assert find_script("bank").name == "script.toml"
    with pytest.raises(ScriptError, match=r"bnak.*Built in: .*bank"):
        find_script("bnak")
    with pytest.raises(ScriptError, match="no such script file"):
        find_script(str(tmp_path / "other.toml"))
