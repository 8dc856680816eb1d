"""The scripted model as a language model: streaming, tools, instructions, and the offline assistant without a script."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.models.chat_context import ChatContext, ChatMessage, ToolCall
from antiphon.models.llm import ChatChunk, ToolChoice
from antiphon.models.tools import FunctionTool, RunContext, find_function_tools, function_tool
from antiphon.plugins.local.scripted import ScriptedLLM

BANK = ScriptedLLM.from_name("bank")


class Samples:
    """The tools of a typical agent."""

    @function_tool
    async def get_weather(self, ctx: RunContext, location: str) -> str:
        """Get the current weather for a location.

        Args:
            location: The city or location to get weather for
        """
        return f"The weather in {location} is sunny and 72F"

    @function_tool
    async def schedule_appointment(self, ctx: RunContext, date: str, time: str, description: str) -> str:
        """Schedule an appointment for the user.

        Args:
            date: The date in YYYY-MM-DD format
            time: The time in HH:MM format
            description: Brief description of the appointment
        """
        return f"Appointment scheduled for {date} at {time}"

    @function_tool
    async def transfer_call(self, ctx: RunContext, department: str) -> str:
        """Transfer the call to another department.

        Args:
            department: The department to transfer to (sales, support, billing)
        """
        return f"Transferring to {department}"

    @function_tool
    async def hang_up(self, ctx: RunContext) -> str:
        """End the phone call."""
        return "Call ended"


SAMPLES = find_function_tools(Samples())
BANK_TOOLS = [
    FunctionTool.from_schema(name, "", {"type": "object"}, lambda arguments, context: '{"outcome": "ok"}')
    for name in ("get_balance", "transfer_money", "block_card", "order_replacement_card", "end_conversation")
]


def offline() -> ScriptedLLM:
    return ScriptedLLM(today=lambda: dt.date(2026, 1, 6))


def chunks(
    llm: ScriptedLLM,
    messages: ChatContext | list[ChatMessage],
    tools: list[FunctionTool] | None = None,
    tool_choice: ToolChoice = "auto",
) -> list[ChatChunk]:
    async def run() -> list[ChatChunk]:
        return [chunk async for chunk in llm.chat(messages, tools, tool_choice=tool_choice)]

    return asyncio.run(run())


def text_of(parts: list[ChatChunk]) -> str:
    return "".join(part.delta for part in parts).strip()


def calls_of(parts: list[ChatChunk]) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, json.loads(call.arguments)) for part in parts for call in part.tool_calls or []]


def users(*texts: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text) for text in texts]


def converse(
    llm: ScriptedLLM, tools: list[FunctionTool], *said: str
) -> tuple[list[str], list[tuple[str, Any]]]:
    """The answers to some turns, tools run in between, and the calls made."""
    log, answers, made = ChatContext(), [], []
    for text in said:
        log.add_message(role="user", content=text)
        answer = ""
        for _ in range(3):
            parts = chunks(llm, log, tools)
            answer = f"{answer} {text_of(parts)}".strip()
            calls = [call for part in parts for call in part.tool_calls or []]
            for call in calls:
                made.append((call.name, json.loads(call.arguments)))
                tool = next(tool for tool in tools if tool.name == call.name)
                output = asyncio.run(tool.call(call.arguments))
                log.append(ChatMessage(role="assistant", tool_calls=[call]))
                log.append(ChatMessage(role="tool", content=output, tool_call_id=call.id))
            if not calls:
                break
        log.add_message(role="assistant", content=answer)
        answers.append(answer)
    return answers, made


def test_text_streams_word_by_word_and_ends_with_a_reason() -> None:
    parts = chunks(BANK, users("who are you"))
    assert len([part for part in parts if part.delta]) == len(text_of(parts).split())
    assert parts[-1].finish_reason == "stop"
    assert parts[-1].usage is not None
    assert parts[-1].usage.completion_tokens == len(text_of(parts).split())


def test_a_closed_stream_stops() -> None:
    async def run() -> int:
        stream = BANK.chat(users("who are you"))
        count = 0
        async for _ in stream:
            count += 1
            await stream.aclose()
        await stream.aclose()
        return count

    assert asyncio.run(run()) == 1


def test_nothing_happens_before_the_stream_is_iterated() -> None:
    log = users("hello")
    stream = BANK.chat(log)
    log.clear()

    async def run() -> str:
        return "".join([chunk.delta async for chunk in stream])

    assert "Hello" in asyncio.run(run()) or "Hi" in asyncio.run(run())


def test_a_call_carries_json_and_says_so() -> None:
    tools = [FunctionTool.from_schema("get_balance", "", {"type": "object"}, lambda arguments, context: "")]
    parts = chunks(BANK, users("what's my savings balance"), tools)
    assert calls_of(parts) == [("get_balance", {"account": "savings"})]
    assert parts[-1].finish_reason == "tool_calls"


def test_tool_choice_none_forbids_calls() -> None:
    tools = [FunctionTool.from_schema("get_balance", "", {"type": "object"}, lambda arguments, context: "")]
    parts = chunks(BANK, users("what's my savings balance"), tools, "none")
    assert not calls_of(parts)
    assert "cannot do that" in text_of(parts)


@pytest.mark.parametrize(
    ("instructions", "expected"),
    [
        ("Greet the user warmly and ask how you can help.", "Hello, this is the Antiphon bank"),
        ('Say "Your call is being recorded." and wait.', "Your call is being recorded."),
        ("Tell the caller that the line will close soon", "The line will close soon."),
        ("Say goodbye to the caller.", "oodbye"),
        ("The user has been silent; ask if they are still there.", "Are you still there?"),
        ("Be creative.", "Hello, this is the Antiphon bank"),
    ],
)
def test_instructions(instructions: str, expected: str) -> None:
    system = ChatMessage(role="system", content="You are a bank.")
    asked = ChatMessage(role="system", content=instructions, extra={"kind": "reply_instructions"})
    assert expected in text_of(chunks(BANK, [system, asked]))


def test_instructions_after_an_unanswered_turn_do_not_hide_it() -> None:
    asked = ChatMessage(role="system", content="Be brief.", extra={"kind": "reply_instructions"})
    assert "debit" in text_of(chunks(BANK, [*users("block my card"), asked], BANK_TOOLS)).lower()


def test_an_instruction_between_turns_keeps_the_open_question() -> None:
    log = users("send fifty dollars to Bob")
    log.append(ChatMessage(role="assistant", content=text_of(chunks(BANK, log, BANK_TOOLS))))
    log.append(
        ChatMessage(role="system", content="The user is silent.", extra={"kind": "reply_instructions"})
    )
    assert "fifty dollars" in text_of(chunks(BANK, log, BANK_TOOLS))


def test_an_error_of_a_tool_is_told() -> None:
    call = ToolCall("call_1", "get_balance", '{"account": "savings"}')
    result = ChatMessage(
        role="tool",
        content="KeyError: 'x'",
        tool_call_id="call_1",
        extra={"name": "get_balance", "is_error": True},
    )
    log = [*users("savings balance"), ChatMessage(role="assistant", tool_calls=[call]), result]
    said = text_of(chunks(BANK, log))
    assert "sorry" in said.lower()
    assert "KeyError" not in said


def test_the_result_of_a_tool_that_the_script_does_not_know_is_spoken() -> None:
    call = ToolCall("call_1", "get_weather", "{}")
    result = ChatMessage(role="tool", content="It is sunny", tool_call_id="call_1")
    log = [*users("hello"), ChatMessage(role="assistant", tool_calls=[call]), result]
    assert text_of(chunks(BANK, log)) == "It is sunny."


def test_the_same_conversation_gets_the_same_answer() -> None:
    log = users("tell me a joke")
    assert text_of(chunks(BANK, log)) == text_of(chunks(BANK, log))


def test_misunderstandings_are_answered_in_different_words() -> None:
    answers, _ = converse(offline(), SAMPLES, "sing me a song", "how tall is the tower", "who wrote hamlet")
    assert len(set(answers)) == 3


OFFLINE = [
    # what the caller says, then the calls that follow
    (["what's the weather in Paris?"], [("get_weather", {"location": "Paris"})]),
    (["can you tell me the weather for New York please"], [("get_weather", {"location": "New York"})]),
    (["what's the weather like today", "London please"], [("get_weather", {"location": "London"})]),
    (["is it raining in San Francisco tomorrow"], [("get_weather", {"location": "San Francisco"})]),
    (
        ["what's the weather in Rome", "and in Oslo?", "what about Lima?"],
        [("get_weather", {"location": place}) for place in ("Rome", "Oslo", "Lima")],
    ),
    (
        ["what's the weather in Paris and in London"],
        [("get_weather", {"location": place}) for place in ("Paris", "London")],
    ),
    (
        ["what's the weather in Paris and schedule an appointment", "tomorrow", "at 3 pm", "dental checkup"],
        [
            ("get_weather", {"location": "Paris"}),
            (
                "schedule_appointment",
                {"date": "2026-01-07", "time": "15:00", "description": "dental checkup"},
            ),
        ],
    ),
    (["schedule an appointment", "tomorrow", "goodbye"], [("hang_up", {})]),
    (
        ["schedule an appointment", "tomorrow", "at 3 pm", "dental checkup"],
        [("schedule_appointment", {"date": "2026-01-07", "time": "15:00", "description": "dental checkup"})],
    ),
    (
        ["book a meeting for January 21st at half past ten about the new contract"],
        [("schedule_appointment", {"date": "2026-01-21", "time": "10:30", "description": "new contract"})],
    ),
    (["schedule an appointment", "never mind"], []),
    (["what's the weather", "never mind"], []),
    (["transfer me please", "sales"], [("transfer_call", {"department": "sales"})]),
    (["I have a question about billing"], [("transfer_call", {"department": "billing"})]),
    (["talk to support"], [("transfer_call", {"department": "support"})]),
    (["goodbye"], [("hang_up", {})]),
    (["thanks a lot", "please hang up"], [("hang_up", {})]),
    (["what is the meaning of life", "sing me a song"], []),
]


@pytest.mark.parametrize(("said", "calls"), OFFLINE, ids=lambda value: str(value)[:50])
def test_without_a_script_the_tools_are_enough(said: list[str], calls: list[tuple[str, Any]]) -> None:
    assert converse(offline(), SAMPLES, *said)[1] == calls


def test_a_goodbye_within_a_task_is_one() -> None:
    weather = [tool for tool in SAMPLES if tool.name != "hang_up"]
    assert converse(offline(), weather, "schedule an appointment", "goodbye")[0][-1].endswith("oodbye!")


def test_without_a_script_a_missing_argument_is_asked_for_by_name() -> None:
    answers, _ = converse(offline(), SAMPLES, "schedule an appointment", "tomorrow")
    assert answers == ["What date should I use?", "What time should I use?"]


@pytest.mark.parametrize(
    ("said", "expected"), [("Rome please", ["Rome"]), ("why do you ask", []), ("no", [])]
)
def test_a_question_of_the_application_is_answered(said: str, expected: list[str]) -> None:
    log = ChatContext()
    log.add_message(role="assistant", content="Hello! Which city's weather would you like?")
    log.add_message(role="user", content=said)
    calls = [call for part in chunks(offline(), log, SAMPLES) for call in part.tool_calls or []]
    assert [json.loads(call.arguments) for call in calls] == [{"location": place} for place in expected]


def test_without_a_script_it_is_honest_about_itself() -> None:
    greeting = text_of(chunks(offline(), [ChatMessage(role="system", content="You are a pirate.")], SAMPLES))
    assert greeting.startswith("Hello")
    [first, second, third] = converse(
        offline(), [], "explain quantum physics", "who are you", "what can you do"
    )[0]
    assert "offline" in second
    assert first
    assert "small talk" in third


def test_argument_schemas() -> None:
    schema = {
        "type": "object",
        "properties": {
            "room": {"type": "string", "enum": ["kitchen", "living_room"]},
            "level": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "warm": {"type": "boolean", "description": "Warm light"},
        },
        "required": ["room", "warm"],
    }
    dim = FunctionTool.from_schema("dim_lights", "Dim the lights in a room.", schema, lambda a, c: "Dimmed")
    answers, calls = converse(offline(), [dim], "dim the lights to 40 in the living room", "yes please")
    assert calls == [("dim_lights", {"room": "living_room", "level": 40, "warm": True})]
    assert answers == ["Warm light: yes or no?", "Dimmed."]


def test_a_tool_that_needs_a_list_is_left_out() -> None:
    schema = {"type": "object", "properties": {"files": {"type": "array"}}, "required": ["files"]}
    tool = FunctionTool.from_schema("delete_files", "Delete files.", schema, lambda a, c: "")
    assert converse(offline(), [tool], "delete files")[1] == []


SAYINGS = [
    "yes",
    "no",
    "fifty dollars",
    "to Alice",
    "send money",
    "block my card",
    "debit",
    "savings",
    "cancel",
    "what's my balance",
    "and savings?",
    "repeat that",
    "hang on",
    "bye",
    "make it sixty",
    "help",
    "",
]
TURNS = st.lists(st.sampled_from(SAYINGS) | st.text(max_size=20), min_size=1, max_size=6)


@settings(max_examples=150, deadline=None)
@given(TURNS)
def test_it_answers_whatever_is_said_and_moves_no_money_without_a_yes(said: list[str]) -> None:
    log = ChatContext()
    for text in said:
        log.add_message(role="user", content=text)
        parts = chunks(BANK, log, BANK_TOOLS)
        calls = [call for part in parts for call in part.tool_calls or []]
        assert text_of(parts) or calls
        risky = {"transfer_money", "block_card"} & {call.name for call in calls}
        assert not risky or text == "yes"
        if text_of(parts):
            log.add_message(role="assistant", content=text_of(parts))
        for call in calls:
            log.append(ChatMessage(role="assistant", tool_calls=[call]))
            log.append(ChatMessage(role="tool", content='{"outcome": "ok"}', tool_call_id=call.id))
            log.add_message(role="assistant", content=text_of(chunks(BANK, log, BANK_TOOLS)))
