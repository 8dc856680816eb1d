"""What a few words over the agent mean."""

from __future__ import annotations

import pytest

from antiphon.turns import Asked, Weight, weigh


@pytest.mark.parametrize(
    "text",
    [
        "right",
        "Okay.",
        "Yeah, yeah.",
        "Mm-hmm.",
        "Mmm.",
        "M. M. H. M. M.",
        "Bright,",
        "mhm",
        "Uh-huh.",
        "Oh, I see.",
        "Alright",
        "Oh okay. Got it.",
    ],
)
def test_a_listener_who_follows_takes_no_turn(text: str) -> None:
    assert weigh(text) is Weight.ACKNOWLEDGEMENT


@pytest.mark.parametrize(
    "text", ["Stop.", "wait", "No, no!", "Hold on.", "okay stop", "Um, wait, please.", "Oh no.", "Stop it"]
)
def test_a_command_is_one_however_short(text: str) -> None:
    assert weigh(text) is Weight.INSISTENT


@pytest.mark.parametrize(
    "text",
    ["Right now.", "Okay, what's my balance?", "No way around it", "um", "Yes I would like that", "", "Bob"],
)
def test_anything_else_weighs_by_its_length(text: str) -> None:
    assert weigh(text) is Weight.PLAIN


@pytest.mark.parametrize("text", ["Yes.", "okay", "mm-hmm", "Sure", "Bob", "two hundred", "No."])
def test_over_a_question_it_is_the_answer(text: str) -> None:
    assert weigh(text, asked=Asked.NOW) is Weight.INSISTENT


@pytest.mark.parametrize(
    ("text", "weight"),
    [("I see.", Weight.ACKNOWLEDGEMENT), ("Hmm.", Weight.ACKNOWLEDGEMENT), ("Um", Weight.PLAIN)],
)
def test_but_for_what_answers_nothing(text: str, weight: Weight) -> None:
    assert weigh(text, asked=Asked.NOW) is weight


@pytest.mark.parametrize("text", ["Please.", "thank you", "Thanks a lot!", "please, thanks"])
def test_a_courtesy_adds_nothing(text: str) -> None:
    assert weigh(text) is Weight.COURTESY
    assert weigh(text, asked=Asked.NOW) is Weight.INSISTENT


@pytest.mark.parametrize("language", ["de", "es-MX", "fr_FR"])
def test_other_languages_weigh_by_length(language: str) -> None:
    assert {weigh(text, language=language, asked=Asked.NOW) for text in ("ok", "no", "stop")} == {
        Weight.PLAIN
    }


@pytest.mark.parametrize("language", [None, "en", "en-GB", "en_US"])
def test_english_is_assumed(language: str | None) -> None:
    assert weigh("okay", language=language) is Weight.ACKNOWLEDGEMENT


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("Yes.", Weight.INSISTENT),
        ("Okay, yes please.", Weight.INSISTENT),
        ("Okay.", Weight.ACKNOWLEDGEMENT),
        ("Please.", Weight.COURTESY),
    ],
)
def test_a_plain_yes_may_answer_a_question_before_it_is_put(text: str, weight: Weight) -> None:
    assert weigh(text, asked=Asked.SOON) is weight


@pytest.mark.parametrize("word", ["m", "mm", "hm", "okay", "uh huh"])
def test_what_a_recogniser_repeats_without_end_takes_no_time(word: str) -> None:
    assert weigh(f"{word} " * 200 + "x") is Weight.PLAIN
