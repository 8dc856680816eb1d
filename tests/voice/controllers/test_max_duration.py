"""Calls that last too long are ended, with an announcement."""

from __future__ import annotations

import pytest

from antiphon.voice.controllers import MaxDurationController, MaxDurationOptions
from support.controllers import TURN, closed, near, play, said
from support.scripted import ScriptedTTS, Speech

WORDS = "Time is up."


def limit(seconds: float, words: str = WORDS, deadline: float = 15.0) -> MaxDurationController:
    return MaxDurationController(MaxDurationOptions(seconds, words, deadline))


def test_the_call_ends_when_the_announcement_was_heard() -> None:
    record = play([], limit(5.0), until=20)
    assert record.playouts == [[near(5.2), near(8.2)]]
    assert closed(record) == [(near(8.2), "max_duration")]


def test_half_an_hour_is_the_default() -> None:
    assert MaxDurationOptions().limit == 1800.0
    assert MaxDurationOptions().announcement


def test_a_reply_that_is_heard_then_is_cut_off() -> None:
    record = play([TURN], limit(4.0), until=20)
    assert record.playouts == [[near(3.2), near(4.0)], [near(4.2), near(7.2)]]
    assert said(record)[-1][1] == WORDS


def test_nothing_interrupts_or_follows_the_announcement() -> None:
    speech = Speech(5.5, 6.5, "wait a moment please", 6.6)
    record = play([speech], limit(5.0), until=20)
    assert said(record) == [(near(8.2), WORDS)]
    assert record.llm is not None
    assert record.llm.requests == []
    assert closed(record) == [(near(8.2), "max_duration")]
    assert record.playouts == [[near(5.2), near(8.2)]]


def test_an_announcement_that_does_not_end_does_not_keep_the_call() -> None:
    record = play([], limit(5.0, deadline=4.0), until=20, tts=ScriptedTTS(length=60.0))
    assert closed(record) == [(near(9.0), "max_duration")]
    assert record.playouts == [[near(5.2), near(9.0)]]


def test_without_words_it_ends_at_once() -> None:
    record = play([TURN], limit(4.0, ""), until=20)
    assert closed(record) == [(near(4.0), "max_duration")]


def test_on_hold_it_ends_without_words() -> None:
    record = play([], limit(5.0), until=20, script=[(2.0, lambda session: session.hold(True))])
    assert closed(record) == [(near(5.0), "max_duration")]
    assert record.playouts == []


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        MaxDurationOptions(0)
