"""The agent's own words end the call."""

from __future__ import annotations

import pytest

from antiphon.voice.controllers import EndPhraseController, EndPhraseOptions
from support.controllers import TURN, closed, near, play, said
from support.scripted import Answer, ScriptedLLM, Speech


def ends(
    text: str, *phrases: str, message: str = "", speeches: tuple[Speech, ...] = ()
) -> list[tuple[float, str]]:
    controller = EndPhraseController(EndPhraseOptions(phrases, message))
    record = play([TURN, *speeches], controller, until=12, llm=ScriptedLLM(Answer(text)), can_pause=False)
    return closed(record)


HANG_UP = [(near(6.2), "agent_hangup")]
NOT = [(near(12.0), "user_initiated")]


@pytest.mark.parametrize(
    ("text", "phrases", "expected"),
    [
        ("All done, good-bye!", ("Good bye.",), HANG_UP),
        ("Auf Wiederhören.", ("goodbye", "auf wiederhören"), HANG_UP),
        ("Good buys everywhere.", ("good buy",), NOT),
        ("Goodbye.", (), NOT),
    ],
)
def test_the_phrase_ends_the_call_when_it_was_heard(
    text: str, phrases: tuple[str, ...], expected: object
) -> None:
    assert ends(text, *phrases) == expected


def test_an_interrupted_reply_ends_nothing() -> None:
    wait = Speech(4.0, 5.0, "wait", 5.2)
    controller = EndPhraseController(EndPhraseOptions(("goodbye",)))
    llm = ScriptedLLM({"What time is it?": Answer("Goodbye and so on and so on."), "wait": Answer("Yes?")})
    assert closed(play([TURN, wait], controller, until=12, llm=llm, can_pause=False)) == NOT


def test_the_message_is_said_once_before_the_end() -> None:
    controller = EndPhraseController(EndPhraseOptions(("goodbye",), "Thank you, goodbye."))
    record = play([TURN], controller, until=15, llm=ScriptedLLM(Answer("Goodbye.")))
    assert [text for _, text in said(record)] == ["Goodbye.", "Thank you, goodbye."]
    assert closed(record) == [(near(9.4), "agent_hangup")]


def test_a_phrase_without_a_word_is_refused() -> None:
    with pytest.raises(ValueError, match="end phrase"):
        EndPhraseOptions(("...",))
