"""The measurement of turn detectors on spoken turns: what it speaks, what it decides again, what it compares."""

from __future__ import annotations

import numpy as np
import pytest

from antiphon.turns import Event, Final, SpeechEnded, SpeechStarted, TurnOptions
from bench.signals import RATE
from bench.turn_detector.cases import Case
from bench.turn_detector.listening import Heard
from bench.turn_detector.replay import Outcome, Question, outcome, replay
from bench.turn_detector.speech import Sample, at_equal_rate, compared, measure, table
from bench.turn_detector.spoken import LEAD, Spoken, speak_turns

FIRST, WHOLE = "I would like to", "I would like to fly to Boston"


def heard(pause: float = 1.0) -> Heard:
    """A turn of two parts, each of a second, whose words come 0.3 s after it."""
    second = 1.5 + pause
    sound = np.ones(round((second + 1.0) * RATE), dtype=np.int16)
    spoken = Spoken((("assistant", "Where to?"),), (FIRST, "fly to Boston"), "flite slt", pause, sound)
    events: list[tuple[float, Event]] = [
        (0.6, SpeechStarted(0.5)),
        (1.7, SpeechEnded(1.5)),
        (1.8, Final(FIRST)),
        (second + 0.1, SpeechStarted(second)),
        (second + 1.2, SpeechEnded(second + 1.0)),
        (second + 1.3, Final("fly to Boston")),
    ]
    return Heard(spoken, events, second + 1.0, [])


class Knows:
    """A detector that is right; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def __call__(self, question: Question) -> float:
        self.asked.append(question)
        return 0.95 if question.text == WHOLE else 0.1


@pytest.mark.parametrize(("pause", "cut_off"), [(0.4, False), (1.0, True)])
def test_silence_alone_cuts_off_in_a_long_pause(pause: float, cut_off: bool) -> None:
    assert replay(heard(pause), TurnOptions(), None) == Outcome(cut_off, pytest.approx(0.5))


def test_a_detector_that_knows_better_cuts_nothing_off_and_answers_sooner() -> None:
    knows = Knows()
    assert replay(heard(), TurnOptions(), knows, takes=0.01) == Outcome(False, pytest.approx(0.31))
    texts = [question.text for question in knows.asked]
    assert list(dict.fromkeys(texts)) == [FIRST, WHOLE]
    assert knows.asked[0].context == (("assistant", "Where to?"),)


def test_an_audio_detector_is_given_the_turn_so_far() -> None:
    knows = Knows()
    replay(heard(), TurnOptions(), knows)
    first, last = knows.asked[0], knows.asked[-1]
    assert (first.text, last.text) == (FIRST, WHOLE)
    assert first.sound is not None
    assert last.sound is not None
    assert first.sound.size == pytest.approx(1.5 * RATE, abs=2)
    assert last.sound.size == pytest.approx(3.5 * RATE, abs=2)


def test_what_was_cut_off_is_part_of_the_conversation_afterwards() -> None:
    knows = Knows()
    replay(heard(3.5), TurnOptions(), knows)
    assert knows.asked[-1].context == (("assistant", "Where to?"), ("user", FIRST))
    assert knows.asked[-1].text == "fly to Boston"


@pytest.mark.parametrize(
    ("commits", "expected"),
    [([4.0], Outcome(False, 0.5)), ([2.0, 4.0], Outcome(True, 0.5)), ([2.0], Outcome(True, None)), ([], Outcome(False, None))],
)  # fmt: skip
def test_an_outcome_is_read_from_the_times_of_decisions(commits: list[float], expected: Outcome) -> None:
    assert outcome(heard(), commits) == expected


@pytest.mark.parametrize(
    ("rate", "expected"), [(0.6, None), (0.5, 0.2), (0.4, 0.45), (0.2, 1.3), (0.1, 2.0), (0.05, None)]
)
def test_silence_alone_is_compared_at_an_equal_rate(rate: float, expected: float | None) -> None:
    rates, delays = np.array([0.5, 0.5, 0.3, 0.1]), np.array([0.2, 0.3, 0.6, 2.0])
    assert at_equal_rate(rates, delays, rate) == (None if expected is None else pytest.approx(expected))


def test_a_row_says_how_much_shorter_the_wait_is() -> None:
    pauses = np.linspace(0.3, 2.0, 40)
    turns = [heard(pause) for pause in pauses]
    alone = [
        [replay(one, TurnOptions(min_endpointing_delay=delay), None) for one in turns]
        for delay in (0.5, 1.0, 1.5, 2.5)
    ]
    row = compared(
        "knows", [replay(one, TurnOptions(), Knows(), takes=0.01) for one in turns], Sample.of(alone)
    )
    assert row.cut_offs == 0
    assert row.alone == pytest.approx(2.5)
    assert row.gain is not None
    assert row.gain[0] == pytest.approx(2.19)
    assert row.gain[1] <= row.gain[0] <= row.gain[2] + 1e-9
    assert "| knows | 0.0% | 0.31 s |" in table([row, measure("silence", alone[0])])


@pytest.mark.needs("flite", "espeakng_loader")
def test_turns_are_spoken_with_a_pause_where_they_were_cut() -> None:
    cases = []
    for text in ("i want to fly to boston", "could you book a table please", "what is the weather like"):
        cases += [
            Case((), text, 1, "travel", False),
            Case((), " ".join(text.split()[:3]), 0, "travel", False),
        ]
    turns = speak_turns(cases, 3)
    assert [one.parts for one in turns] == [one.parts for one in speak_turns(cases, 3)]
    for one in turns:
        assert len(one.parts[0].split()) == 3
        assert 0.3 <= one.pause <= 4.0
        level = np.abs(one.sound.astype(int))
        assert level[: round(LEAD * RATE)].max() < 200
        quiet = np.convolve(level < 300, np.ones(round((one.pause - 0.02) * RATE)), "valid")
        assert quiet.max() >= round((one.pause - 0.02) * RATE) - 1
