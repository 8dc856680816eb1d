"""Silence is asked about twice, then the call ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.models.chat_context import ToolCall
from antiphon.models.tools import function_tool
from antiphon.voice.controllers import SilenceWatchdog, SilenceWatchdogOptions
from support.controllers import QUESTION, REPLY, TURN, closed, near, play, said
from support.scripted import Answer, ScriptedLLM, ScriptedTTS, Speech

TEXTS = ("Hello?", "Still there?")
BYE = "Goodbye."


def watchdog(**options: Any) -> SilenceWatchdog:
    return SilenceWatchdog(SilenceWatchdogOptions(**{"texts": TEXTS, "goodbye": BYE, **options}))


def test_two_reprompts_a_goodbye_and_the_end() -> None:
    record = play([], watchdog(), until=60)
    assert record.playouts == [
        [near(10.2), near(13.2)],
        [near(23.4), near(26.4)],
        [near(36.6), near(39.6)],
    ]
    assert [text for _, text in said(record)] == [*TEXTS, BYE]
    assert closed(record) == [(near(39.6), "silence_timeout")]


def test_silence_counts_from_the_end_of_the_reply() -> None:
    record = play([TURN], watchdog(), until=20)
    assert record.playouts == [[near(3.2), near(6.2)], [near(16.4), near(19.4)]]


def test_a_user_who_counts_as_away_is_asked_all_the_same() -> None:
    record = play([], watchdog(), until=15, user_away_timeout=4.0)
    assert record.playouts[0] == [near(10.2), near(13.2)]


def test_typed_words_begin_the_count_anew_too() -> None:
    dog = watchdog()
    record = play([], dog, until=30, script=[(15.0, lambda session: session.input_text("hello"))])
    # The answer to what was typed ends at 18.5, the first reprompt comes ten seconds later.
    assert [text for _, text in said(record)][:2] == [TEXTS[0], REPLY]
    assert record.playouts[-1][0] == near(18.5 + 10.2)
    assert dog.prompts == 1


def test_words_begin_the_count_anew() -> None:
    again = Speech(24.0, 25.0, QUESTION, 25.2)
    record = play([again], watchdog(), until=70)
    texts = [text for _, text in said(record)]
    assert texts[0] == TEXTS[0]
    assert texts[-3:] == [*TEXTS, BYE]
    assert REPLY in texts


def test_a_cough_delays_but_does_not_begin_anew() -> None:
    cough = Speech(9.5, 10.5)
    record = play([cough], watchdog(), until=18)
    # Due at 10; the cough may yet become words for two seconds.
    assert record.playouts[0][0] == near(12.7)
    assert [text for _, text in said(record)] == [TEXTS[0]]


def test_a_cough_between_reprompts_does_not_reset_their_count() -> None:
    record = play([Speech(15.0, 15.4)], watchdog(), until=60)
    assert [text for _, text in said(record)] == [*TEXTS, BYE]
    assert closed(record)[0][1] == "silence_timeout"


def test_thinking_is_no_silence() -> None:
    llm = ScriptedLLM(Answer("Here it is.", first=7.0, whole=7.0))
    record = play([TURN], watchdog(interval=5.0), until=13.5, llm=llm)
    assert [text for _, text in said(record)] == ["Here it is."]


def test_a_running_tool_is_no_silence_even_when_its_reply_was_interrupted() -> None:
    @function_tool
    async def look() -> str:
        """Look."""
        await asyncio.sleep(8.0)
        return "ok"

    llm = ScriptedLLM({QUESTION: Answer("", calls=[ToolCall("call_1", "look")])})
    record = play(
        [TURN],
        watchdog(interval=5.0),
        until=17,
        llm=llm,
        tools=[look],
        script=[(4.0, lambda s: s.interrupt())],
    )
    # The tool runs from 3 to 11.
    assert record.playouts == [[near(16.2), near(17.0)]]


def test_words_over_the_goodbye_call_it_off() -> None:
    answer = Speech(37.0, 38.5, "I am here", 38.7)
    record = play([answer], watchdog(), until=45)
    assert closed(record) == [(near(45.0), "user_initiated")]
    assert said(record)[-1][1] == REPLY


def test_a_word_too_short_to_interrupt_the_goodbye_calls_it_off_too() -> None:
    record = play([Speech(37.0, 37.3, "yes", 37.5)], watchdog(), until=45)
    assert closed(record) == [(near(45.0), "user_initiated")]


def test_a_user_who_begins_to_speak_at_the_end_of_the_goodbye_is_heard() -> None:
    record = play([Speech(39.4, 41.0, "I am here", 41.2)], watchdog(), until=45)
    assert closed(record) == [(near(45.0), "user_initiated")]
    assert record.playouts[-1][0] == near(41.7)


def test_a_goodbye_that_does_not_end_does_not_keep_the_call() -> None:
    record = play([], watchdog(reprompts=0, deadline=4.0), until=30, tts=ScriptedTTS(length=60.0))
    assert closed(record) == [(near(14.0), "silence_timeout")]


def test_without_a_goodbye_it_just_ends() -> None:
    record = play([], watchdog(reprompts=0, goodbye=""), until=30)
    assert closed(record) == [(near(10.0), "silence_timeout")]


def test_the_model_may_write_the_reprompts() -> None:
    llm = ScriptedLLM(Answer("Are you well?"))
    record = play([], watchdog(instruction="Ask whether they are there."), until=15, llm=llm)
    assert [text for _, text in said(record)] == ["Are you well?"]
    (_, messages, tool_choice), *_ = llm.requests
    assert messages[-1].content == "Ask whether they are there."
    assert tool_choice == "none"


def test_suspended_it_waits_and_counts_anew() -> None:
    dog = watchdog()
    record = play([], dog, until=27, script=[(9.0, lambda _: dog.suspend()), (15.0, lambda _: dog.resume())])
    assert record.playouts[0][0] == near(25.2)


@pytest.mark.parametrize("options", [{"interval": 0.0}, {"reprompts": -1}, {"texts": (" ",)}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="silence watchdog"):
        SilenceWatchdogOptions(**options)
