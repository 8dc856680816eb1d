"""A word in the pause before a late reply."""

from __future__ import annotations

import pytest

from antiphon.voice.controllers import FillerController, FillerOptions
from support.controllers import QUESTION, TURN, near, play
from support.scripted import Answer, ScriptedLLM, ScriptedTTS, Speech

FILLERS = ("Hm.", "Let me see.")
SLOW = Answer("Three o'clock.", first=5.0, whole=5.0)


def filler(**options: object) -> FillerController:
    return FillerController(FillerOptions(enabled=True, texts=FILLERS, **options))  # type: ignore[arg-type]


def texts(tts: ScriptedTTS) -> list[str]:
    return [text for _, text in tts.texts]


def test_a_late_reply_is_preceded_by_a_filler() -> None:
    tts = ScriptedTTS(length=1.0)
    record = play([TURN], filler(), until=12, llm=ScriptedLLM(SLOW), tts=tts)
    # The turn ends at 3.0; the model was asked at 2.7.
    assert record.playouts == [[near(4.4), near(5.4)], [near(7.9), near(8.9)]]
    assert texts(tts) == [FILLERS[0], SLOW.text]
    assert [text for _, text in record.log()] == [QUESTION, SLOW.text]


def test_a_reply_that_comes_meanwhile_follows_the_filler_without_a_pause() -> None:
    llm = ScriptedLLM(Answer("Three o'clock.", first=2.2, whole=2.2))
    record = play([TURN], filler(), until=12, llm=llm, tts=ScriptedTTS(length=1.0))
    assert record.playouts == [[near(4.4), near(6.4)]]


def test_a_reply_in_time_has_no_filler() -> None:
    record = play([TURN], filler(), until=12)
    assert record.playouts == [[near(3.2), near(6.2)]]


def test_it_is_off_by_default_and_in_realtime_mode() -> None:
    for controller in (FillerController(), FillerController(filler().options, realtime=True)):
        record = play([TURN], controller, until=12, llm=ScriptedLLM(SLOW))
        assert record.playouts == [[near(7.9), near(10.9)]]


def test_one_filler_a_turn_and_another_for_the_next() -> None:
    tts = ScriptedTTS(length=1.0)
    again = Speech(10.0, 11.0, "And now?", 11.2)
    play([TURN, again], filler(), until=20, llm=ScriptedLLM(SLOW), tts=tts)
    assert texts(tts) == [FILLERS[0], SLOW.text, FILLERS[1], SLOW.text]


def test_the_user_is_not_talked_over() -> None:
    tts = ScriptedTTS()
    more = Speech(3.8, 6.5, "no, the date", 6.7)
    record = play([TURN, more], filler(), until=7.5, llm=ScriptedLLM(SLOW), tts=tts)
    assert FILLERS[0] not in texts(tts)
    assert record.playouts == []


def test_a_filler_that_was_not_heard_yet_is_withdrawn_when_the_user_speaks() -> None:
    tts = ScriptedTTS(first=1.0)
    more = Speech(4.5, 6.5, "no, the date", 6.7)
    record = play([TURN, more], filler(), until=7.5, llm=ScriptedLLM(SLOW), tts=tts)
    assert texts(tts)[0] == FILLERS[0]
    assert record.playouts == []


def test_a_filler_does_not_follow_a_cough_that_came_before_it() -> None:
    record = play(
        [TURN, Speech(4.5, 5.0)], filler(), until=8, llm=ScriptedLLM(SLOW), tts=ScriptedTTS(first=1.0)
    )
    assert record.playouts == []


def test_a_filler_can_be_interrupted() -> None:
    more = Speech(4.6, 6.0, "no, the date", 6.2)
    record = play([TURN, more], filler(), until=7.0, llm=ScriptedLLM(SLOW), can_pause=False)
    assert record.playouts == [[near(4.4), near(5.1)]]


def test_nothing_to_say_is_refused() -> None:
    with pytest.raises(ValueError, match="filler"):
        FillerOptions(enabled=True, texts=())
