"""Built-in assistants by name."""

from __future__ import annotations

import pytest

from antiphon.assistants import assistant_names, load_assistant
from antiphon.models.errors import ConfigurationError
from antiphon.plugins.local.scripted import ScriptedLLM


def test_bank_is_complete() -> None:
    bank = load_assistant("bank")
    assert bank.name in assistant_names()
    assert ScriptedLLM.from_name(bank.llm.partition(":")[2]).label == bank.llm
    agent = bank.create_agent()
    assert {"get_balance", "transfer_money", "end_conversation"} <= {tool.name for tool in agent.tools}
    assert bank.create_agent() is not agent


def test_every_tool_of_the_script_is_offered_by_the_agent() -> None:
    from antiphon.plugins.local.scripted import find_script, load_script

    script = load_script(find_script("bank"))
    wanted = {intent.tool for intent in script.intents.values() if intent.tool}
    assert wanted == {tool.name for tool in load_assistant("bank").create_agent().tools}


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"'bnak'.*bank"):
        load_assistant("bnak")
