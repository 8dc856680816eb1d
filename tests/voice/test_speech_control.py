"""What controllers build on: stopgaps, guarded speech, how many tools run, why a call ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.models.chat_context import ToolCall
from antiphon.models.tools import function_tool
from antiphon.voice import AgentSession, CloseReason
from support.scripted import Answer, ScriptedLLM, Speech, converse
from support.virtual_time import run

QUESTION = "What time is it?"
TURN = Speech(0.5, 2.5, QUESTION, 2.7)


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=0.02)


def test_a_stopgap_is_heard_before_a_slow_reply_and_stays_out_of_the_conversation() -> None:
    def fill(session: AgentSession[Any]) -> None:
        session.say("One moment.", add_to_chat_ctx=False, stopgap=True)

    llm = ScriptedLLM(Answer("Three o'clock.", first=4.0, whole=4.0))
    record = run(converse([TURN], until=12, llm=llm, script=[(3.5, fill)]))
    assert record.playouts == [[near(3.7), near(6.7)], [near(6.9), near(9.9)]]
    assert [text for _, text in record.log()] == [QUESTION, "Three o'clock."]


def test_a_stopgap_that_comes_too_late_is_not_heard() -> None:
    handles = []

    def fill(session: AgentSession[Any]) -> None:
        handles.append(session.say("One moment.", stopgap=True))

    llm = ScriptedLLM(Answer("Three o'clock.", first=1.0, whole=1.0))
    record = run(converse([TURN], until=12, llm=llm, script=[(3.75, fill)]))
    assert record.playouts == [[near(3.9), near(6.9)]]
    assert [handle.outcome for handle in handles] == ["superseded"]


def test_guarded_speech_is_not_interrupted_until_the_guard_is_lifted() -> None:
    def guard(on: bool) -> Any:
        def act(session: AgentSession[Any]) -> None:
            assert session.current_speech is not None
            session.current_speech.guarded = on
            assert session.current_speech.allow_interruptions is not on

        return act

    speeches = [TURN, Speech(3.5, 5.0, "no wait", 5.2)]
    record = run(
        converse(speeches, until=5.5, can_pause=False, script=[(3.4, guard(True)), (4.52, guard(False))])
    )
    assert record.playouts == [[near(3.2), near(4.53)]]


def test_running_tools_are_counted_and_told() -> None:
    @function_tool
    async def look() -> str:
        """Look."""
        await asyncio.sleep(2.0)
        return "ok"

    counts = []
    llm = ScriptedLLM({QUESTION: Answer("", calls=[ToolCall("call_1", "look")])})
    record = run(
        converse(
            [TURN], until=10, llm=llm, tools=[look], script=[(4.0, lambda s: counts.append(s.running_tools))]
        )
    )
    told = [(when, event.running) for when, event in record.all("running_tools_changed")]
    assert counts == [1]
    assert told == [(near(3.0), 1), (near(5.0), 0)]


def test_a_session_tells_why_its_call_ended() -> None:
    record = run(converse([], until=1, script=[(0.5, lambda s: s.shutdown(reason="silence_timeout"))]))
    assert [event.reason for _, event in record.all("close")] == [CloseReason.SILENCE_TIMEOUT]
