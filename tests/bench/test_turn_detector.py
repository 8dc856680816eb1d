"""The figures by which turn detectors are compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.turn_detector.baselines import LastWords, keyword_rule, majority
from bench.turn_detector.cases import Case
from bench.turn_detector.metrics import area_under_curve, calibration_error, held_at
from bench.turn_detector.report import figures, largest_misses, table


def case(text: str, label: int, domain: str = "travel", structured: bool = False) -> Case:
    return Case((), text, label, domain, structured)


CASES = [
    case("a room for two", 1),
    case("a room for", 0),
    case("that is all", 1, "banks"),
    case("that is", 0, "banks"),
    case("call 4 1 5", 0, "banks", structured=True),
]


def test_the_threshold_accepts_the_share_of_finished_turns_that_was_asked_for() -> None:
    finished = np.arange(1000) / 1000
    cut = np.array([0.0, 0.005, 0.00699, 0.007, 0.5])
    scores = np.concatenate((finished, cut))
    labels = np.concatenate((np.ones(1000, dtype=np.int64), np.zeros(5, dtype=np.int64)))
    point = held_at(scores, labels)
    assert (finished >= point.threshold).mean() == pytest.approx(0.993)
    assert point.threshold == pytest.approx(0.007)
    assert point.held == pytest.approx(3 / 5)


scored = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1)), min_size=2, max_size=40).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


@given(scored)
def test_the_area_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[int, int]]) -> None:
    finished = [score for score, label in rows if label]
    cut = [score for score, label in rows if not label]
    right = sum((a > b) + 0.5 * (a == b) for a in finished for b in cut)
    scores = np.array([score for score, _ in rows], dtype=np.float64)
    labels = np.array([label for _, label in rows])
    assert area_under_curve(scores, labels) == pytest.approx(right / len(finished) / len(cut))


@given(scored)
def test_no_higher_threshold_accepts_as_many(rows: list[tuple[int, int]]) -> None:
    scores = np.array([score for score, _ in rows], dtype=np.float64)
    labels = np.array([label for _, label in rows])
    finished = scores[labels == 1]
    threshold = held_at(scores, labels, accepted=0.8).threshold
    assert (finished >= threshold).mean() >= 0.8
    assert (finished > threshold).mean() < 0.8 or threshold == finished.max()


def test_what_is_said_with_the_frequency_with_which_it_is_so_is_calibrated() -> None:
    labels = np.array([1, 1, 1, 0] * 25)
    assert calibration_error(np.full(100, 0.75), labels) == pytest.approx(0.0)
    assert calibration_error(np.full(100, 0.95), labels) == pytest.approx(0.2)


def test_figures_are_told_apart_by_domain_and_by_figures_in_the_text() -> None:
    found = figures(CASES, np.array([0.9, 0.1, 0.8, 0.2, 0.95]))
    assert found.held == pytest.approx(2 / 3)
    assert found.held_by_domain == pytest.approx({"banks": 1 / 2, "travel": 1.0})
    assert found.held_structured == 0.0
    assert "| mine | 66.7% | 0.0% |" in table({"mine": found})


def test_misses_are_grouped_by_their_last_words() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.7, 0.95])
    again = [*CASES, case("for a room for", 0)]
    assert largest_misses(again, np.append(scores, 0.99), 0.75) == [
        (2, "room for", "a room for"),
        (1, "1 5", "call 4 1 5"),
    ]


def test_the_rule_and_no_opinion() -> None:
    assert keyword_rule(CASES).tolist() == [1.0, 0.0, 1.0, 0.0, 1.0]
    assert held_at(majority(CASES), np.array([c.label for c in CASES])).held == 0.0


def test_the_regression_learns_from_last_words() -> None:
    fitted = LastWords(CASES * 20)
    scores = fitted(CASES)
    assert [score > 0.5 for score in scores] == [bool(c.label) for c in CASES]
