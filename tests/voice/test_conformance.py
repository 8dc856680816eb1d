"""The 23 conformance rows of turn-taking, on a real session with scripted providers, on virtual time (±0.02 s).

Unless a row says otherwise: the user speaks 0.5-2.5 s, the final transcript comes at 2.7, the endpointing delay is 0.5,
the model's first token comes after 0.1 and its whole reply after 0.3, the voice's first audio after 0.2, and the reply is 3 s long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from antiphon.models.chat_context import ToolCall
from antiphon.models.errors import ProviderConnectionError
from antiphon.models.stt import SpeechEvent, SpeechEventType
from antiphon.models.tools import RunContext, function_tool
from antiphon.voice import Agent
from support.scripted import (
    Answer,
    Recording,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    Speech,
    converse,
    transcripts,
)
from support.virtual_time import run

FRAME = 0.02
QUESTION = "What time is it?"
REPLY = "This is the whole answer to what you said."
TURN = Speech(0.5, 2.5, QUESTION, 2.7)


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=FRAME + 1e-6)


class Detector:
    """Scores by text, at once."""

    def __init__(self, scores: dict[str, float], default: float = 0.8) -> None:
        self.scores, self.default = scores, default

    def supports_language(self, language: str | None) -> bool:
        return True

    async def score(self, context: Any, text: str) -> float:
        return self.scores.get(text, self.default)


def tool_agent(seconds: float = 0.0, result: str = "It is noon.", error: Exception | None = None) -> Agent:
    """An agent with one tool, `lookup`, that takes some time."""

    class WithTool(Agent):
        started: list[float]
        finished: list[float]

        @function_tool
        async def lookup(self, ctx: RunContext, city: str = "here") -> str:
            """Look up the time.

            Args:
                city: where.
            """
            loop = asyncio.get_running_loop()
            self.started.append(loop.time())
            await asyncio.sleep(seconds)
            self.finished.append(loop.time())
            if error is not None:
                raise error
            return result

    agent = WithTool(instructions="Use the tool.")
    agent.started, agent.finished = [], []
    return agent


def call(name: str = "lookup", arguments: str = "{}") -> ToolCall:
    return ToolCall(f"call_{name}", name, arguments)


def roles(record: Recording) -> list[str]:
    return [role for role, _ in record.log()]


def errors(record: Recording) -> list[str]:
    return [event.source for _, event in record.all("error")]


async def row_1() -> None:
    record = await converse([TURN], until=8, preemptive_generation=False)
    assert record.commits == [near(3.0)]
    assert record.playouts == [[near(3.5), near(6.5)]]


async def row_2() -> None:
    record = await converse([TURN], until=8, preemptive_tts=False)
    assert record.commits == [near(3.0)]
    assert record.playouts[0][0] == near(3.2)


async def row_3() -> None:
    speech = Speech(0.5, 2.5, QUESTION, 2.5)
    record = await converse([speech], until=8, turn_detection=Detector({}, 0.8))
    assert record.commits == [near(3.0)]
    assert 3.0 <= record.playouts[0][0] <= 3.0 + FRAME + 1e-6


async def row_4() -> None:
    record = await converse([Speech(0.5, 2.5, QUESTION, 3.7)], until=8)
    assert record.commits == [near(3.7)]


BARGE_IN = Speech(5.0, 6.0, "Stop, please.", 6.2)


async def row_5() -> None:
    record = await converse([TURN, BARGE_IN], until=12, can_pause=False, preemptive_tts=False)
    assert record.playouts[0] == [near(3.2), near(5.5)]
    heard = record.history[1]
    assert heard.interrupted
    assert REPLY.startswith(heard.content)
    assert heard.content != REPLY
    assert record.commits == [near(3.0), near(6.5)]


async def row_6() -> None:
    record = await converse([TURN, BARGE_IN], until=12, preemptive_tts=False)
    assert (near(5.5), "paused") in record.agent_states
    assert record.playouts[0] == [near(3.2), near(5.5)]
    assert (near(6.2), "listening") in record.agent_states
    assert record.playouts[1][0] == near(6.7)  # nothing was heard between the pause and the next reply
    assert record.history[1].interrupted
    assert record.commits == [near(3.0), near(6.5)]


async def row_7() -> None:
    record = await converse([TURN, Speech(5.0, 6.0)], until=12, preemptive_tts=False)
    assert record.playouts == [[near(3.2), near(5.5)], [near(8.0), near(8.7)]]
    assert record.tts is not None
    assert record.speaker is not None
    np.testing.assert_array_equal(record.speaker.audio, record.tts.audio)
    assert record.log() == [("user", QUESTION), ("assistant", REPLY)]


async def row_8() -> None:
    quiet = await converse([TURN], until=12)
    record = await converse([TURN, Speech(5.0, 5.3)], until=12)
    assert [span[0] for span in record.playouts] == [near(span[0]) for span in quiet.playouts]
    assert record.agent_states == [(near(when), state) for when, state in quiet.agent_states]
    assert record.log() == quiet.log()


async def row_9() -> None:
    more = Speech(3.0, 4.0, "And the date?", 4.2)
    record = await converse([TURN, more], until=4.6, preemptive_tts=False)
    assert record.playouts == []
    assert "speaking" not in [state for _, state in record.agent_states]
    assert record.log() == [("user", QUESTION), ("user", "And the date?")]


async def row_10() -> None:
    over = Speech(4.0, 5.0, "Wait.", 5.2)
    record = await converse([TURN, over], until=12, preemptive_tts=False, allow_interruptions=False)
    assert record.playouts == [[near(3.2), near(9.2)]]  # the second reply follows the first at once
    assert record.commits == [near(3.0), near(5.5)]
    assert roles(record) == ["user", "assistant", "user", "assistant"]
    assert not any(item.interrupted for item in record.history)


async def row_11() -> None:
    first = Speech(0.5, 2.0, "I would like to", 2.2)
    second = Speech(3.0, 4.0, "book a table.", 4.2)
    record = await converse([first, second], until=9, turn_detection=Detector({"I would like to": 0.1}))
    assert record.commits == [near(4.5)]
    assert record.log()[0] == ("user", "I would like to book a table.")


async def row_12() -> None:
    record = await converse(
        [TURN], until=12, turn_detection=Detector({QUESTION: 0.1}), max_endpointing_delay=6.0
    )
    assert record.commits == [near(8.5)]


async def row_13() -> None:
    llm = ScriptedLLM({QUESTION: Answer("Let me look.", calls=[call()])})
    agent = tool_agent(1.0)
    record = await converse([TURN], until=14, llm=llm, agent=agent, preemptive_tts=False)
    assert agent.started == [near(3.0)]
    assert record.playouts[0][0] == near(3.2)
    assert record.log() == [
        ("user", QUESTION),
        ("assistant", "Let me look."),
        ("assistant", "call:lookup"),
        ("tool", "result:It is noon."),
        ("assistant", REPLY),
    ]


async def row_14() -> None:
    llm = ScriptedLLM({QUESTION: Answer("Let me look.", calls=[call()])})
    agent = tool_agent(4.0)
    record = await converse([TURN, BARGE_IN], until=14, llm=llm, agent=agent, preemptive_tts=False)
    assert agent.finished == [near(7.0)]
    assert ("tool", "result:It is noon.") in record.log()
    ((_, told),) = record.all("function_tools_executed")
    assert [tool.output for tool in told.tools] == ["It is noon."]
    assert len(record.all("speech_created")) == 2
    answers = [item for item in record.history if item.role == "assistant" and item.content == REPLY]
    assert len(answers) == 1  # to the new turn; none to the tool's result
    assert record.commits == [near(3.0), near(6.5)]


async def row_15() -> None:
    llm = ScriptedLLM({QUESTION: Answer("Let me look.", calls=[call()])})
    later = Speech(7.0, 7.5, "Are you still there?", 7.7)
    record = await converse([TURN, later], until=30, llm=llm, agent=tool_agent(20.0), preemptive_tts=False)
    assert record.commits == [near(3.0), near(8.0)]
    assert record.playouts[1][0] == near(8.5)
    assert ("tool", "result:It is noon.") in record.log()


async def row_16() -> None:
    for asked, arguments, agent, expected in (
        ("look_up", "{}", tool_agent(), "lookup"),
        ("lookup", '{"town": "Rome"}', tool_agent(), "town"),
        ("lookup", "{}", tool_agent(error=KeyError("/secret/path")), "internal reason"),
    ):
        llm = ScriptedLLM({QUESTION: Answer("", calls=[call(asked, arguments)])})
        record = await converse([TURN], until=9, llm=llm, agent=agent)
        results = [item for item in record.history if item.role == "tool"]
        assert len(results) == 1
        assert expected in results[0].content
        assert "secret" not in results[0].content
        assert record.log()[-1] == ("assistant", REPLY)


async def row_17() -> None:
    again = Answer("", calls=[call()])
    llm = ScriptedLLM({QUESTION: again, "tool:lookup": again, "no tools": Answer("I could not find out.")})
    record = await converse([TURN], until=12, llm=llm, agent=tool_agent())
    assert [choice for _, _, choice in llm.requests] == ["auto", "auto", "auto", "none"]
    assert record.log()[-1] == ("assistant", "I could not find out.")
    assert len(record.playouts) == 1


async def row_18() -> None:
    events = transcripts([TURN])
    for when, text in ((2.8, QUESTION), (3.1, "what time is it")):
        events.append((when, SpeechEvent(SpeechEventType.FINAL, text)))
    llm = ScriptedLLM()
    record = await converse([TURN], until=8, llm=llm, stt=ScriptedSTT(events))
    assert len(llm.requests) == 1
    assert roles(record) == ["user", "assistant"]


async def row_19() -> None:
    llm = ScriptedLLM({QUESTION: Answer("Let me look.", calls=[call()])})
    later = Speech(7.0, 7.5, "Are you still there?", 7.7)
    await converse([TURN, later], until=12, llm=llm, agent=tool_agent(20.0))
    asked = [when for when, messages, _ in llm.requests if messages[-1].content == "Are you still there?"]
    assert asked == [near(8.0)]


async def row_20() -> None:
    record = await converse(
        [TURN], until=10, script=[(5.0, lambda session: session.input_text("Never mind, what day is it?"))]
    )
    assert [(item.role, item.interrupted) for item in record.history[:3]] == [
        ("user", False),
        ("assistant", True),
        ("user", False),
    ]
    assert record.history[2].content == "Never mind, what day is it?"
    assert record.playouts[0][1] == near(5.0)
    assert record.commits[1] == near(5.0)


async def row_21() -> None:
    from antiphon.models.fallback import LLMFallbackAdapter

    stalled = ScriptedLLM(Answer(first=10.0))
    record = await converse([TURN], until=20, llm=stalled, llm_first_token_timeout=5.0)
    assert record.playouts[0][0] == near(2.7 + 5.0 + 0.2)
    assert "trouble" in record.history[1].content
    assert errors(record) == ["llm"]

    fallback = LLMFallbackAdapter([ScriptedLLM(Answer(first=10.0)), ScriptedLLM()], attempt_timeout=2.0)
    record = await converse([TURN], until=20, llm=fallback)
    assert record.log()[1] == ("assistant", REPLY)
    assert record.playouts[0][0] == near(2.7 + 2.0 + 0.3 + 0.2)
    assert errors(record) == []


async def row_22() -> None:
    stt = ScriptedSTT([(1.5, ProviderConnectionError("connection lost")), *transcripts([TURN])])
    record = await converse([TURN], until=8, stt=stt)
    assert len(stt.streams) == 2
    assert stt.streams[1].seconds >= 6.0  # all since before the speech, and what came after
    assert record.commits == [near(3.0)]
    assert record.log() == [("user", QUESTION), ("assistant", REPLY)]


async def row_23() -> None:
    during_speech = await converse([TURN], until=4.0)
    llm = ScriptedLLM({QUESTION: Answer("", calls=[call()])})
    during_tool = await converse([TURN], until=4.0, llm=llm, agent=tool_agent(60.0))
    for record in (during_speech, during_tool):
        assert len(record.times("close")) == 1
        assert record.times("close")[0] <= 4.0 + 2.0

    class Unreachable(ScriptedTTS):
        async def prewarm(self) -> None:
            await asyncio.sleep(3600)

    from antiphon.voice import AgentSession

    session: AgentSession[None] = AgentSession(llm=ScriptedLLM(), tts=Unreachable())
    closed: list[Any] = []
    session.on("close", closed.append)
    starting = asyncio.get_running_loop().create_task(session.start(Agent()))
    await asyncio.sleep(1.0)
    await session.aclose()
    await session.aclose()
    await starting
    assert len(closed) == 1


@dataclass(frozen=True)
class Row:
    number: int
    scenario: str
    play: Callable[[], Awaitable[None]]


ROWS = [
    Row(1, "plain turn, preemption off", row_1),
    Row(2, "plain turn, pre-TTS off", row_2),
    Row(3, "plain turn, everything on, early final transcript", row_3),
    Row(4, "final late", row_4),
    Row(5, "barge-in, output that cannot pause", row_5),
    Row(6, "barge-in, output that can pause", row_6),
    Row(7, "noise without words pauses and resumes, not one frame lost", row_7),
    Row(8, "short noise has no effect", row_8),
    Row(9, "barge-in while thinking", row_9),
    Row(10, "interruptions disabled", row_10),
    Row(11, "unlikely at the first pause, the user goes on", row_11),
    Row(12, "unlikely, then silence", row_12),
    Row(13, "tool with spoken preamble", row_13),
    Row(14, "user interrupts during a 4 s tool", row_14),
    Row(15, "user speaks during a 20 s tool", row_15),
    Row(16, "unknown tool, bad arguments, tool raises", row_16),
    Row(17, "max_tool_steps reached", row_17),
    Row(18, "same transcript finalised twice", row_18),
    Row(19, "no speculative reply while a tool is running", row_19),
    Row(20, "typed input while the agent speaks", row_20),
    Row(21, "model stalls before its first token", row_21),
    Row(22, "STT stream dies mid-utterance", row_22),
    Row(23, "close during speech, during a tool, during connect", row_23),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.number}: {row.scenario}")
def test_row(row: Row) -> None:
    run(row.play())
