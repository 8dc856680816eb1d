"""What people say while they listen, on real sessions and virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.models.stt import SpeechEvent, SpeechEventType
from antiphon.turns import Asked
from antiphon.voice.interjections import question_of
from support.scripted import Answer, Recording, ScriptedLLM, ScriptedSTT, Speech, converse
from support.virtual_time import run

TURN = Speech(0.5, 2.5, "What is my balance?", 2.7)
STATEMENT = "Your savings account has two hundred dollars in it."
QUESTION = "Shall I send fifty dollars to Alice today?"


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=0.021)


def talk(*speeches: Speech, answer: str = STATEMENT, until: float = 12.0, **options: Any) -> Recording:
    return run(
        converse(
            [TURN, *speeches], until=until, llm=ScriptedLLM(Answer(answer)), preemptive_tts=False, **options
        )
    )


@pytest.mark.parametrize("text", ["Right.", "Okay.", "Yeah.", "Mm-hmm."])
@pytest.mark.parametrize("length", [0.3, 0.7])
def test_the_reply_goes_on_after_an_acknowledgement(text: str, length: float) -> None:
    end = 4.0 + length
    record = talk(Speech(4.0, end, text, end + 0.3, interims=[(end - 0.05, text)]))
    assert record.log() == [("user", TURN.text), ("assistant", STATEMENT)]
    assert record.speaker is not None
    assert record.speaker.audio.size == 3 * 24000, "not a sample lost"
    assert [event.text for _, event in record.all("backchannel")] == [text]
    paused = [[near(3.2), near(4.5)], [near(end + 0.3), near(end + 0.3 + 1.7)]]
    assert record.playouts == ([[near(3.2), near(6.2)]] if length < 0.5 else paused)


@pytest.mark.parametrize("text", ["Stop.", "Wait.", "No.", "Hold on."])
@pytest.mark.parametrize("length", [0.35, 0.7])
def test_the_reply_ends_at_a_command(text: str, length: float) -> None:
    end = 4.0 + length
    record = talk(Speech(4.0, end, text, end + 0.3))
    assert record.playouts[0] == [near(3.2), near(min(4.5, end + 0.3) if length >= 0.5 else end + 0.3)]
    assert record.history[1].interrupted
    assert record.commits == [near(3.0), near(end + 0.5)]


def test_an_acknowledgement_that_goes_on_is_an_interruption() -> None:
    record = talk(Speech(4.0, 5.0, "Okay, stop.", 5.2, interims=[(4.6, "okay"), (4.9, "okay stop")]))
    assert record.playouts[0] == [near(3.2), near(4.5)]
    assert (near(4.9), "listening") in record.agent_states
    assert record.log()[2] == ("user", "Okay, stop.")


@pytest.mark.parametrize("length", [0.3, 0.7])
def test_yes_answers_the_question_that_is_being_finished(length: float) -> None:
    end = 5.2 + length  # the question is heard from 3.2 to 6.2
    record = talk(Speech(5.2, end, "Yes.", end + 0.2), answer=QUESTION)
    assert record.history[1].interrupted
    assert record.log()[2] == ("user", "Yes.")
    assert record.commits[1] == near(end + 0.5)


def test_before_the_question_it_does_not() -> None:
    record = talk(Speech(3.6, 4.3, "Okay.", 4.5), answer=f"{STATEMENT} {QUESTION}")
    assert [role for role, _ in record.log()] == ["user", "assistant"]
    assert not record.history[1].interrupted


@pytest.mark.parametrize("start", [3.02, 3.6], ids=["before it is heard", "over its beginning"])
def test_a_late_please_leaves_the_answer_alone(start: float) -> None:
    record = talk(Speech(start, start + 0.6, "Please.", start + 0.8))
    assert record.log() == [("user", TURN.text), ("assistant", STATEMENT)]
    assert not record.history[1].interrupted
    assert [event.text for _, event in record.all("backchannel")] == ["Please."]


def test_a_please_alone_is_not_waited_on() -> None:
    class Unsure:
        def supports_language(self, language: str | None) -> bool:
            return True

        async def score(self, context: Any, text: str) -> float:
            return 0.1

    please = Speech(0.5, 1.0, "Please.", 1.2)
    record = run(converse([please], until=5, turn_detection=Unsure(), preemptive_tts=False))
    assert record.commits == [near(1.5)]


def test_other_languages_interrupt_as_before() -> None:
    heard = ScriptedSTT(
        [
            (2.7, SpeechEvent(SpeechEventType.FINAL, TURN.text, language="de")),
            (5.0, SpeechEvent(SpeechEventType.FINAL, "okay", language="de")),
        ]
    )
    record = talk(Speech(4.0, 4.7), stt=heard)
    assert record.history[1].interrupted


def test_a_yes_may_come_before_the_question() -> None:
    reply = f"{STATEMENT} {QUESTION}"  # the question is heard from 6.2 to 9.2
    record = talk(Speech(6.4, 6.7, "Yes, please.", 6.9), answer=reply, until=16)
    assert record.history[1].interrupted
    assert record.log()[2] == ("user", "Yes, please.")
    record = talk(Speech(6.4, 6.7, "Okay.", 6.9), answer=reply, until=16)
    assert [role for role, _ in record.log()] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("written", "heard", "asked"),
    [
        ("It is done. Anything else today?", "It is done. Anything else", Asked.NOW),
        ("It is done. Anything else today?", "It is done.", Asked.SOON),
        ("It is done. Anything else today?", "It is", Asked.NOT),
        ("It is done. Anything else today?", "It is done. Anything else today?", Asked.NOW),
        ("How are you? It is done.", "How are you? It is", Asked.NOT),
        ('Say "yes" to go on.', 'Say "yes" to', Asked.NOW),
        ("Shall I send $50.00 to Dr. Who", "Shall I send $50.00 to Dr.", Asked.NOT),
        ("", "", Asked.NOT),
    ],
)
def test_a_question_is_being_put_from_its_half_on(written: str, heard: str, asked: Asked) -> None:
    assert question_of(written, heard) is asked
