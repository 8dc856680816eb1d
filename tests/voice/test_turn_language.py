"""A detector of finished turns is asked only in languages that it knows."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.models.stt import SpeechEvent, SpeechEventType
from support.scripted import ScriptedSTT, Speech, converse
from support.virtual_time import run

TURN = Speech(0.5, 2.5, "I would like to", 2.7)


class English:
    """Says of everything that it is not finished."""

    def __init__(self) -> None:
        self.asked = 0

    def supports_language(self, language: str | None) -> bool:
        return language in (None, "en-GB")

    async def score(self, context: Any, text: str) -> float:
        self.asked += 1
        return 0.1


@pytest.mark.parametrize(
    ("language", "asked", "committed"),
    [("en-GB", True, 5.5), (None, True, 5.5), ("de", False, 3.0)],
    ids=["its language", "no language is known", "another language"],
)
def test_silence_alone_ends_a_turn_in_a_language_that_the_detector_does_not_know(
    language: str | None, asked: bool, committed: float
) -> None:
    detector = English()
    heard = ScriptedSTT([(2.7, SpeechEvent(SpeechEventType.FINAL, TURN.text, language=language))])
    record = run(converse([TURN], until=8, stt=heard, turn_detection=detector))
    assert record.commits == [pytest.approx(committed, abs=0.021)]
    assert bool(detector.asked) is asked
