"""The turn detector's model that comes with the package: that it is there, and that it knows English."""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.plugins.turn_detector import network
from antiphon.plugins.turn_detector.network import Network, Question

pytest.importorskip("onnxruntime")

FINISHED = [
    ("What date would you like to travel?", "march 3rd please"),
    ("Anything else?", "no thank you that's all"),
    ("What is your phone number?", "it's 4 1 5 5 5 5 2 6 7 1"),
    ("Which city are you going to?", "i want to go to chicago"),
    ("", "can you find me a table for two at an italian restaurant tonight"),
    ("Shall I book it?", "yes please"),
    ("How can I help you?", "my internet has been down since this morning"),
]
UNFINISHED = [
    ("What date would you like to travel?", "i'd like to leave on the"),
    ("Anything else?", "yes i also need a"),
    ("What is your phone number?", "it's 4 1 5"),
    ("Which city are you going to?", "i want to go to"),
    ("", "can you find me a table for two at an"),
    ("Shall I book it?", "yes but could you"),
    ("How can I help you?", "my internet has been down since"),
]


@pytest.fixture(scope="module")
def judge() -> Network:
    return network.load(network.SHIPPED)


def asked(question: str, answer: str) -> Question:
    return Question([("assistant", question)] if question else [], answer)


@pytest.mark.parametrize(("question", "answer"), FINISHED)
def test_a_finished_turn_is_likely_finished(judge: Network, question: str, answer: str) -> None:
    assert judge([asked(question, answer)])[0] > 0.5


@pytest.mark.parametrize(("question", "answer"), UNFINISHED)
def test_an_unfinished_turn_is_not(judge: Network, question: str, answer: str) -> None:
    assert judge([asked(question, answer)])[0] < 0.35


def test_what_was_asked_decides_over_the_same_words(judge: Network) -> None:
    """A bare number answers "how many", but only begins a telephone number."""
    enough, too_little = judge([asked("How many tickets?", "4 1 5"), asked("How many tickets?", "4")])
    started = judge([asked("What is your phone number?", "4")])[0]
    assert enough != too_little
    assert started < too_little


def test_a_score_does_not_depend_on_its_batch(judge: Network) -> None:
    questions = [asked(*pair) for pair in (*FINISHED, *UNFINISHED)]
    alone = np.array([judge([question])[0] for question in questions])
    assert judge(questions) == pytest.approx(alone, abs=0.02)


def test_it_is_small_enough_for_a_wheel() -> None:
    assert network.SHIPPED.stat().st_size <= 15_000_000
