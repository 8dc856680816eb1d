"""Tools that act on the call: end it, transfer it, press keys."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from antiphon.models.chat_context import ToolCall
from antiphon.models.errors import StopResponse, ToolError
from antiphon.models.tools import FunctionTool, RunContext, ToolArgumentError
from antiphon.voice.builtin_tools import end_call_tool, send_dtmf_tool, transfer_call_tool
from support.controllers import QUESTION, TURN, closed, near, play, said
from support.scripted import Answer, Recording, ScriptedLLM, Speech


def ending(text: str, tool: FunctionTool, *speeches: Speech, until: float = 20, **options: Any) -> Recording:
    llm = ScriptedLLM({QUESTION: Answer(text, calls=[ToolCall("call_1", "end_call")])})
    return play([TURN, *speeches], until=until, llm=llm, tools=[tool], **options)


def test_what_the_agent_says_and_the_goodbye_are_heard_before_the_call_ends() -> None:
    record = ending("All done.", end_call_tool("Goodbye."))
    assert [text for _, text in said(record)] == ["All done.", "Goodbye."]
    assert record.playouts == [[near(3.2), near(6.2)], [near(6.4), near(9.4)]]
    assert closed(record) == [(near(9.4), "agent_hangup")]


def test_without_words_the_call_ends_after_the_reply() -> None:
    assert closed(ending("Bye now.", end_call_tool())) == [(near(6.2), "agent_hangup")]
    assert closed(ending("", end_call_tool())) == [(near(3.0), "agent_hangup")]


def test_an_interruption_does_not_keep_the_call() -> None:
    speech = Speech(4.0, 5.0, "no wait", 5.2)
    record = ending("All done.", end_call_tool("Goodbye."), speech, can_pause=False)
    # The goodbye waits until the user is silent, and answers to what they said are dropped.
    assert record.playouts == [[near(3.2), near(4.5)], [near(5.5), near(8.5)]]
    assert closed(record) == [(near(8.5), "agent_hangup")]


def test_a_reply_that_does_not_end_does_not_keep_the_call() -> None:
    def pause(session: Any) -> None:
        session.conversation.playout.pause()

    record = ending("All done.", end_call_tool("Goodbye.", deadline=5.0), script=[(4.0, pause)])
    assert closed(record) == [(near(8.0), "agent_hangup")]


# -- telephony ---------------------------------------------------------------------------------------------------------


class NothingToWaitFor:
    async def wait_for_playout(self) -> None: ...


def call(tool: FunctionTool, arguments: Mapping[str, Any]) -> Any:
    context: RunContext[Any] = RunContext(None, NothingToWaitFor(), ToolCall("call_1", tool.name))
    return asyncio.run(tool.call(arguments, context))


class Telephone:
    def __init__(self) -> None:
        self.got: list[str] = []

    async def __call__(self, value: str) -> None:
        self.got.append(value)


@pytest.mark.parametrize(
    ("to", "target"),
    [("+49 30 1234-56", "+4930123456"), ("112", "112"), ("sip:desk@example.com", "sip:desk@example.com")],
)
def test_a_call_is_transferred_to_a_number_or_address(to: str, target: str) -> None:
    telephone = Telephone()
    with pytest.raises(StopResponse):
        call(transfer_call_tool(telephone), {"to": to})
    assert telephone.got == [target]


@pytest.mark.parametrize("to", ["the boss", "+", "http://example.com", "sip:x", "1" * 30, ""])
def test_what_is_no_destination_is_told_to_the_model(to: str) -> None:
    telephone = Telephone()
    with pytest.raises(ToolError, match="neither"):
        call(transfer_call_tool(telephone), {"to": to})
    assert telephone.got == []


def test_named_destinations_are_all_that_the_model_may_choose() -> None:
    telephone = Telephone()
    tool = transfer_call_tool(telephone, destinations={"sales": "+49301"})
    assert tool.parameters["properties"]["to"]["enum"] == ["sales"]
    with pytest.raises(StopResponse):
        call(tool, {"to": "sales"})
    with pytest.raises(ToolArgumentError):
        call(tool, {"to": "+900123456"})
    assert telephone.got == ["+49301"]


@pytest.mark.parametrize(("digits", "sent"), [("12#", "12#"), ("1 2-3", "123"), ("ABCD*w9", "ABCD*w9")])
def test_keys_are_sent(digits: str, sent: str) -> None:
    telephone = Telephone()
    assert call(send_dtmf_tool(telephone), {"digits": digits}) == "sent"
    assert telephone.got == [sent]


@pytest.mark.parametrize("digits", ["", "one", "1+2", "1" * 65])
def test_what_are_no_keys_is_told_to_the_model(digits: str) -> None:
    with pytest.raises(ToolError, match="digits"):
        call(send_dtmf_tool(Telephone()), {"digits": digits})


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [(transfer_call_tool(None), {"to": "112"}), (send_dtmf_tool(None), {"digits": "1"})],
)
def test_without_a_telephone_the_model_is_told_so(tool: FunctionTool, arguments: dict[str, str]) -> None:
    with pytest.raises(ToolError, match="not on a telephone"):
        call(tool, arguments)


async def never(_value: str) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (transfer_call_tool(never, timeout=0.05), {"to": "112"}),
        (send_dtmf_tool(never, timeout=0.05), {"digits": "1"}),
    ],
)
def test_a_telephone_that_does_not_answer_is_given_up(tool: FunctionTool, arguments: dict[str, str]) -> None:
    with pytest.raises(ToolError, match="in time"):
        call(tool, arguments)
