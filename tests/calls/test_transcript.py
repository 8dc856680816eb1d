"""What was said is written down while it is said, whatever the store does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.calls import transcript
from antiphon.calls.call_metrics import CallMetrics, usage_of
from antiphon.calls.metered_agent import MeteredAgent
from antiphon.calls.transcript import TranscriptWriter
from antiphon.models.chat_context import ToolCall
from antiphon.models.llm import ChatChunk, Usage
from antiphon.models.tools import FunctionTool
from antiphon.store import AlreadyExists, StoreUnavailable, check_value
from support.scripted import Answer, Recording, ScriptedLLM, Speech, converse
from support.virtual_time import run


class Shelf:
    """A store that keeps what it is given, slowly or not at all."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.ids: set[str] = set()
        self.delay = 0.0
        self.failures = 0
        self.after = False

    async def create(self, collection: str, fields: dict[str, Any], *, id: str) -> None:
        assert collection == "transcripts"
        await asyncio.sleep(self.delay)
        if id in self.ids:
            raise AlreadyExists(collection, "id")
        if self.failures and not self.after:
            self.failures -= 1
            raise StoreUnavailable("the database does not answer")
        self.ids.add(id)
        self.entries.append(fields)
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the database does not answer")


QUESTION = Speech(0.5, 1.5, "What is my balance?", 1.7)
BALANCE = FunctionTool.from_schema(
    "get_balance", "Tells the balance.", {"type": "object", "properties": {}}, lambda *_: "12 euros"
)
LATE = Speech(4.0, 6.0, "Thank you, that is all.", 6.2)


def play(
    shelf: Any, speeches: list[Speech], until: float, script: Any = (), **options: Any
) -> tuple[Recording, CallMetrics, MeteredAgent]:
    """A conversation that is written down; flushed at the end."""
    metrics, on_hold = CallMetrics(), False
    agent = MeteredAgent(instructions="Be brief.", tools=options.pop("tools", ()))
    writers: list[TranscriptWriter] = []

    async def main() -> Recording:
        loop = asyncio.get_running_loop()

        def begin(session: Any) -> None:
            writer = TranscriptWriter(shelf, "call_1", lambda: 1000.0 + loop.time(), on_hold=lambda: on_hold)
            writer.attach(session)
            metrics.attach(session)
            writers.append(writer)

        def hold(on: bool) -> Any:
            def switch(session: Any) -> None:
                nonlocal on_hold
                session.interrupt(force=True)
                on_hold = on

            return switch

        steps = [(when, hold(step) if isinstance(step, bool) else step) for when, step in script]
        record = await converse(speeches, until=until, agent=agent, script=[(0.0, begin), *steps], **options)
        await writers[0].flush(5.0)
        await writers[0].aclose()
        return record

    return run(main()), metrics, agent


def told(shelf: Shelf) -> list[tuple[int, str, str]]:
    return [(entry["seq"], entry["role"], entry["text"]) for entry in shelf.entries]


def test_turns_tools_and_replies_in_order_with_their_times() -> None:
    shelf = Shelf()
    llm = ScriptedLLM(
        {
            QUESTION.text: Answer("Let me see.", calls=[ToolCall("1", "get_balance", '{"currency": "EUR"}')]),
            "tool:get_balance": Answer("It is 12 euros."),
        }
    )
    _, metrics, agent = play(shelf, [QUESTION], 12.0, llm=llm, tools=[BALANCE])
    assert shelf.entries[0]["role"] == "user"
    assert sorted(entry["role"] for entry in shelf.entries) == ["assistant", "assistant", "tool", "user"]
    assert [entry["seq"] for entry in shelf.entries] == [1, 2, 3, 4]
    tool = next(entry["tool"] for entry in shelf.entries if entry["role"] == "tool")
    assert tool == {
        "name": "get_balance",
        "arguments": {"currency": "EUR"},
        "output": "12 euros",
        "is_error": False,
        "duration": 0.0,
    }
    answer = next(entry for entry in shelf.entries if entry["text"] == "Let me see.")
    assert 1000.0 < answer["started_at"] < answer["ended_at"] <= answer["at"]
    assert answer["latency"]["seconds"] == answer["latency"]["first_audio_out"]
    assert not answer["interrupted"]
    summary = metrics.summary()
    assert (summary["turns"], summary["replies"], summary["interruptions"]) == (1, 2, 0)
    assert summary["response_latency"]["p50"] == answer["latency"]["seconds"]
    assert agent.usage.llm_requests == 2
    assert agent.usage.tts_characters == len("Let me see.") + len("It is 12 euros.")


def test_an_interrupted_reply_stands_as_far_as_it_was_heard() -> None:
    shelf = Shelf()
    _, metrics, _ = play(shelf, [QUESTION, Speech(3.6, 5.0, "Wait, please stop.", 5.2)], 9.0)
    replies = [entry for entry in shelf.entries if entry["role"] == "assistant"]
    assert replies[0]["interrupted"]
    assert "This is the whole answer to what you said.".startswith(replies[0]["text"].rstrip("."))
    assert len(replies[0]["text"]) < len("This is the whole answer to what you said.")
    assert metrics.summary()["interruptions"] == 1


def test_what_is_heard_when_the_call_ends_is_kept() -> None:
    shelf = Shelf()
    play(shelf, [QUESTION], 4.0)
    assert [entry["role"] for entry in shelf.entries] == ["user", "assistant"]
    assert shelf.entries[1]["interrupted"]
    assert shelf.entries[1]["text"].startswith("This")


def test_nothing_is_written_down_on_hold() -> None:
    shelf = Shelf()
    play(shelf, [QUESTION, LATE], 12.0, script=[(3.5, True)])
    assert [entry["role"] for entry in shelf.entries] == ["user", "assistant"]
    assert shelf.entries[1]["interrupted"]


@pytest.mark.parametrize("after", [False, True])
def test_a_store_that_fails_for_a_while_loses_and_doubles_nothing(after: bool) -> None:
    shelf, calm = Shelf(), Shelf()
    shelf.failures, shelf.after = 4, after
    play(shelf, [QUESTION, LATE], 14.0)
    play(calm, [QUESTION, LATE], 14.0)
    assert told(shelf) == told(calm)
    assert len(told(shelf)) == 4


def test_a_slow_store_delays_no_reply() -> None:
    shelf = Shelf()
    shelf.delay = 3.0
    slow, _, _ = play(shelf, [QUESTION, LATE], 14.0)
    fast, _, _ = play(Shelf(), [QUESTION, LATE], 14.0)
    assert slow.playouts == fast.playouts
    assert len(shelf.entries) == 4


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(transcript, "MOST_WAITING", 2)
    shelf = Shelf()
    shelf.failures = 10**6
    play(shelf, [QUESTION, LATE], 14.0)
    assert shelf.entries == []
    assert "parts of it are lost" in caplog.text


def test_text_that_no_database_can_hold_is_replaced() -> None:
    shelf = Shelf()
    llm = ScriptedLLM(Answer("A \ud800 sign."))
    play(shelf, [QUESTION], 8.0, llm=llm)
    shelf.entries[1]["text"].encode()


def test_tokens_count_when_the_model_reports_them() -> None:
    class Reporting(ScriptedLLM):
        def chat(self, *args: Any, **options: Any) -> Any:
            stream = super().chat(*args, **options)

            class Stream:
                async def __aiter__(self) -> Any:
                    async for chunk in stream:
                        yield chunk
                    yield ChatChunk(usage=Usage(prompt_tokens=20, completion_tokens=7))

                async def aclose(self) -> None: ...

            return Stream()

    _, metrics, agent = play(Shelf(), [QUESTION], 8.0, llm=Reporting())
    usage = usage_of(agent.usage, heard_seconds=8.0, call_seconds=7.5)
    assert (usage["llm_prompt_tokens"], usage["llm_completion_tokens"]) == (20, 7)
    assert usage["call_seconds"] == 7.5
    assert metrics.summary()["response_latency"]["max"] is not None


def test_nobody_was_there() -> None:
    assert usage_of(None, heard_seconds=0, call_seconds=0)["llm_requests"] == 0
    assert CallMetrics().summary()["response_latency"] == {"p50": None, "p95": None, "max": None}


@pytest.mark.parametrize(
    "arguments",
    [
        '{"amount": 1' + "0" * 30 + "}",
        '{"amount": NaN}',
        '{"amount": 1e999}',
        '{"a":' * 100 + "1" + "}" * 100,
        '{"a":' * 100_000,
        "no JSON",
    ],
    ids=lambda text: text[:15],
)
def test_arguments_that_no_store_takes_are_kept_as_they_were_written(arguments: str) -> None:
    kept = transcript._arguments(arguments)
    assert kept == arguments
    check_value(kept, "arguments")
    assert transcript._arguments('{"amount": 12}') == {"amount": 12}
