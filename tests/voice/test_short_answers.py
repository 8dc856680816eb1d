"""What an answer to a question is, though a detector takes its words for the beginning of a sentence."""

from __future__ import annotations

import pytest

from antiphon.voice.short_answers import is_short_answer

ASKED = [("user", "I want to make a transfer"), ("assistant", "All right. To whom?")]


@pytest.mark.parametrize(
    "text",
    ["Alice", "to alice", "No, to Alice.", "my sister Alice", "two hundred", "fifty dollars", "the savings one",
     "a hundred and twenty", "on Sunday", "Diego's savings account", "two fifty", "yes"],
)  # fmt: skip
def test_a_few_words_after_a_question_are_an_answer(text: str) -> None:
    assert is_short_answer(ASKED, text)


@pytest.mark.parametrize(
    "text",
    ["", "um", "my", "to my", "I want", "I lost", "can you", "alice and", "four one five", "415", "j o h n", "john dot",
     "four", "send it to", "my sister alice and", "the money that my sister sent me"],
)  # fmt: skip
def test_what_sounds_as_if_it_went_on_is_none(text: str) -> None:
    assert not is_short_answer(ASKED, text)


@pytest.mark.parametrize(
    "turns",
    [
        [],
        [("user", "To whom?")],
        [("assistant", "To whom? I need a name.")],
        [("assistant", "How can I help you?")],
        [("assistant", "Is there anything else?")],
    ],
)
def test_only_a_question_for_something_has_short_answers(turns: list[tuple[str, str]]) -> None:
    assert not is_short_answer(turns, "Alice")
