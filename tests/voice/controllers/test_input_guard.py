"""Barge-in is ignored at the start of a reply, and its words are kept."""

from __future__ import annotations

import pytest

from antiphon.voice.controllers import InputGuard, InputGuardOptions
from support.controllers import QUESTION, REPLY, TURN, near, play
from support.scripted import Speech

EARLY = Speech(3.4, 4.2, "one more thing", 4.4)


def guard(window: float) -> InputGuard:
    return InputGuard(InputGuardOptions(window))


def test_without_a_guard_the_user_interrupts() -> None:
    record = play([TURN, EARLY], guard(0.0), until=4.5, can_pause=False)
    assert record.playouts == [[near(3.2), near(3.9)]]


def test_barge_in_within_the_window_is_ignored_and_answered_afterwards() -> None:
    record = play([TURN, EARLY], guard(1.5), until=12, can_pause=False)
    assert record.playouts == [[near(3.2), near(9.2)]]  # the second answer follows at once
    assert [text for _, text in record.log()] == [QUESTION, REPLY, "one more thing", REPLY]


def test_speech_that_outlasts_the_window_interrupts() -> None:
    long = Speech(3.4, 6.0, "wait wait wait", 6.2)
    record = play([TURN, long], guard(1.0), until=6.0, can_pause=False)
    assert record.playouts == [[near(3.2), near(4.23)]]


def test_speech_after_the_window_interrupts() -> None:
    record = play([TURN, Speech(4.5, 6.0, "wait", 6.2)], guard(1.0), until=6.0, can_pause=False)
    assert record.playouts == [[near(3.2), near(5.0)]]


def test_a_reply_that_goes_on_after_a_pause_has_no_second_window() -> None:
    cough, speech = Speech(4.3, 5.0), Speech(7.1, 8.5, "wait", 8.7)
    record = play([TURN, cough, speech], guard(1.0), until=8.6)
    assert record.playouts == [[near(3.2), near(4.8)], [near(7.0), near(7.6)]]


def test_what_must_not_be_interrupted_stays_so_after_the_window() -> None:
    speech = Speech(2.0, 4.0, "wait", 4.2)
    record = play(
        [speech],
        guard(0.5),
        until=6,
        can_pause=False,
        script=[(0.1, lambda s: s.say("This is important.", allow_interruptions=False))],
    )
    assert record.playouts[0] == [near(0.3), near(3.3)]


def test_the_guard_is_lifted_when_it_lets_go() -> None:
    controller = guard(5.0)
    record = play(
        [TURN, EARLY],
        controller,
        until=4.5,
        can_pause=False,
        script=[(3.3, lambda _: controller.aclose())],
    )
    assert record.playouts == [[near(3.2), near(3.9)]]


def test_a_negative_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window"):
        InputGuardOptions(-1)
