"""A detector of finished turns moves the end of the turn, and whatever it does costs nobody their turn (virtual time)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.models.audio_turn_detector import AudioTurnDetector
from antiphon.models.errors import ConfigurationError
from antiphon.models.stt import SpeechEvent, SpeechEventType
from antiphon.plugins.turn_detector import detector as shipped
from antiphon.plugins.turn_detector import network
from antiphon.voice import AgentSession, end_of_turn
from support.scripted import Answer, Recording, ScriptedLLM, ScriptedSTT, ScriptedTTS, Speech, converse
from support.virtual_time import run

FIRST, MORE = "I would like to", "fly to Boston"
TURN = Speech(0.5, 2.5, FIRST, 2.7)
FRAME = 0.02


def near(seconds: float) -> Any:
    return pytest.approx(seconds, abs=FRAME + 1e-6)


@pytest.fixture(autouse=True)
def _untold() -> None:
    end_of_turn._told.clear()
    shipped._announced.clear()


@dataclass
class Detector:
    """Scores by text, after some time; knows English."""

    scores: dict[str, float | Exception] = field(default_factory=dict)
    default: float | None = 0.6
    after: float = 0.005
    asked: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    def supports_language(self, language: str | None) -> bool:
        return language is None or language.startswith("en")

    async def score(self, context: Sequence[tuple[str, str]], text: str) -> float | None:
        self.asked.append(text)
        self.contexts.append(list(context))
        await asyncio.sleep(self.after)
        found = self.scores.get(text, self.default)
        if isinstance(found, Exception):
            raise found
        return found


def scored(probability: float, speech: Speech = TURN, **options: Any) -> Recording:
    return run(converse([speech], until=12, turn_detection=Detector(default=probability), **options))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# -- the three bands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probability", "committed"),
    [(1.0, 2.7), (0.9, 2.7), (0.89, 3.0), (0.25, 3.0), (0.24, 5.5), (0.0, 5.5)],
)
def test_the_probability_decides_how_long_silence_must_last(probability: float, committed: float) -> None:
    record = scored(probability)
    assert record.commits == [near(committed)]
    assert record.log()[0] == ("user", FIRST)


def test_thresholds_and_delays_are_options() -> None:
    options = {"end_of_turn_threshold": 0.2, "immediate_threshold": 0.3, "min_endpointing_delay": 0.8}
    assert scored(0.35, **options).commits == [near(2.7)]
    assert scored(0.25, **options).commits == [near(3.3)]
    assert scored(0.1, max_endpointing_delay=1.5, **options).commits == [near(4.0)]


@pytest.mark.parametrize(("probability", "begun"), [(0.7, True), (0.69, False)])
def test_a_likely_end_is_synthesised_before_the_turn_ends(probability: float, begun: bool) -> None:
    record = scored(probability, Speech(0.5, 2.5, FIRST, 2.5))
    assert record.tts is not None
    assert (record.tts.texts[0][0] < 3.0 - FRAME) is begun
    assert record.commits == [near(3.0)]


def test_the_answer_to_a_sure_end_is_heard_sooner() -> None:
    quick = {"llm": ScriptedLLM(Answer(first=0.02, whole=0.04)), "tts": ScriptedTTS(first=0.1)}
    assert [scored(p, **quick).playouts[0][0] for p in (0.95, 0.6)] == [near(2.84), near(3.1)]


def test_new_words_are_scored_anew() -> None:
    detector = Detector({FIRST: 0.1, f"{FIRST} {MORE}": 0.95})
    speeches = [TURN, Speech(4.0, 5.0, MORE, 5.2)]
    record = run(converse(speeches, until=9, turn_detection=detector))
    assert detector.asked == [FIRST, f"{FIRST} {MORE}"]
    assert record.commits == [near(5.205)]
    assert record.log()[0] == ("user", f"{FIRST} {MORE}")


def test_words_that_make_a_finished_turn_unfinished_count_too() -> None:
    detector = Detector({FIRST: 0.6, f"{FIRST} and": 0.1})
    record = run(converse([TURN, Speech(2.85, 3.2, "and", 3.4)], until=9, turn_detection=detector))
    assert record.commits == [near(6.2)]


def test_the_words_of_new_speech_are_waited_for_however_finished_the_old_ones_sound() -> None:
    detector = Detector({FIRST: 0.95, f"{FIRST} {MORE}": 0.95}, after=0.1)
    record = run(converse([TURN, Speech(2.72, 3.5, MORE, 3.8)], until=9, turn_detection=detector))
    assert record.log()[0] == ("user", f"{FIRST} {MORE}")
    assert record.commits == [near(3.9)]


@pytest.mark.parametrize(("asked", "committed"), [("To whom?", 10.5), ("I am listening.", 13.0)])
def test_a_name_after_a_question_is_an_answer_however_unfinished_it_reads(
    asked: str, committed: float
) -> None:
    detector = Detector({FIRST: 0.95, "Alice": 0.1})
    speeches = [TURN, Speech(9, 10, "Alice", 10.2)]
    record = run(converse(speeches, until=15, turn_detection=detector, llm=ScriptedLLM(Answer(asked))))
    assert record.commits[1] == near(committed)


def test_the_detector_sees_the_conversation() -> None:
    detector = Detector(default=0.95)
    speeches = [TURN, Speech(9, 10, MORE, 10.2)]
    run(converse(speeches, until=14, turn_detection=detector))
    assert detector.contexts[0] == []
    assert detector.contexts[1] == [
        ("user", FIRST),
        ("assistant", "This is the whole answer to what you said."),
    ]


def test_the_wait_for_the_detector_is_a_stage_of_the_answer() -> None:
    record = scored(0.95)
    (_, event), *_ = record.all("metrics_collected")
    stages = event.latency.as_dict()
    assert list(stages)[:4] == ["vad", "transcript", "turn_detector", "end_of_turn"]
    assert stages["turn_detector"] == pytest.approx(stages["transcript"] + 0.005, abs=1e-3)


# -- detectors that are no help ------------------------------------------------------------------------------------------


class Broken(Detector):
    async def score(self, context: Sequence[tuple[str, str]], text: str) -> float | None:
        self.asked.append(text)
        raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    "detector",
    [
        Detector(after=3600),
        Broken(),
        Detector(default=None),
        Detector(default=float("nan")),
        Detector(default=7),
    ],
    ids=["hangs", "raises", "has no opinion", "says NaN", "says 7"],
)
def test_silence_alone_ends_the_turn_when_the_detector_is_no_help(detector: Detector) -> None:
    assert run(converse([TURN], until=9, turn_detection=detector)).commits == [near(3.0)]


@pytest.mark.parametrize("detector", [Detector(after=3600), Broken()], ids=["hangs", "raises"])
def test_a_late_transcript_waits_no_longer_than_a_moment_for_it(detector: Detector) -> None:
    record = run(converse([Speech(0.5, 2.5, FIRST, 3.7)], until=9, turn_detection=detector))
    assert 3.7 <= record.commits[0] <= 3.8 + FRAME


@pytest.mark.parametrize("make", [lambda: Detector(after=3600), Broken], ids=["hangs", "raises"])
def test_a_detector_that_fails_again_and_again_is_left_alone_and_named_once(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    detector = make()
    speeches = [Speech(6.0 * k + 0.5, 6.0 * k + 2.5, f"number {k}", 6.0 * k + 2.7) for k in range(5)]
    record = run(converse(speeches, until=34, turn_detection=detector))
    assert record.commits == [near(6.0 * k + 3.0) for k in range(5)]
    assert len(detector.asked) == 3
    assert [type(detector).__name__ in message for message in warnings(caplog)] == [True]
    assert FIRST not in caplog.text
    assert not record.all("error")


@pytest.mark.parametrize(
    ("after", "probability", "committed"),
    [(0.2, 0.1, 5.5), (0.2, 0.95, 2.9), (0.5, 0.1, 3.0), (0.5, 0.95, 3.0)],
    ids=["in time to wait", "in time to end it", "too late to wait", "too late to end it"],
)
def test_a_late_answer_counts_while_the_turn_is_open(
    after: float, probability: float, committed: float
) -> None:
    detector = Detector(default=probability, after=after)
    assert run(converse([TURN], until=9, turn_detection=detector)).commits == [near(committed)]


@pytest.mark.parametrize("language", ["de", "fr-CA"])
def test_other_languages_are_said_once_and_end_by_silence(
    language: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for options in ({"language": language}, {"stt": german_hears(language)}):
        detector = Detector(default=0.1)
        record = run(converse([TURN], until=9, turn_detection=detector, **options))
        assert record.commits == [near(3.0)]
        assert not detector.asked
    assert [message for message in caplog.messages if "turn detector" in message] == [
        f"The turn detector does not know {language}: there, silence alone ends a turn."
    ]


def german_hears(language: str) -> ScriptedSTT:
    return ScriptedSTT([(2.7, SpeechEvent(SpeechEventType.FINAL, FIRST, language=language))])


def test_what_the_recogniser_hears_counts_more_than_what_was_expected() -> None:
    heard = ScriptedSTT([(2.7, SpeechEvent(SpeechEventType.FINAL, FIRST, language="en"))])
    detector = Detector(default=0.1)
    record = run(converse([TURN], until=9, stt=heard, turn_detection=detector, language="de"))
    assert record.commits == [near(5.5)]


# -- the default ---------------------------------------------------------------------------------------------------------

UNTRAINED = Path(__file__).parents[1] / "plugins" / "turn_detector_untrained.onnx"


def test_a_session_asks_the_model_of_the_installation_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    asked: list[str] = []

    def judged(_self: network.Network, questions: Any) -> Any:
        asked.extend(question.text for question in questions)
        return np.full(len(questions), 0.1, dtype=np.float32)

    monkeypatch.setenv(network.MODEL_VARIABLE, str(UNTRAINED))
    monkeypatch.setattr(network.Network, "__call__", judged)

    async def in_real_time() -> Recording:
        speech = Speech(0.1, 0.4, FIRST, 0.6)
        options = {"min_endpointing_delay": 0.6, "max_endpointing_delay": 1.2}
        return await converse([speech], until=1.4, turn_detection=None, **options)

    record = asyncio.run(in_real_time())
    assert asked[-1] == FIRST
    assert not record.commits  # silence alone would have ended the turn at 1.0


def test_without_a_model_file_silence_ends_turns_and_that_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(network.MODEL_VARIABLE, raising=False)
    monkeypatch.setattr(network, "SHIPPED", Path("nowhere.onnx"))
    for _ in range(2):
        assert run(converse([TURN], until=9, turn_detection=None)).commits == [near(3.0)]
    assert [network.MODEL_VARIABLE in message for message in warnings(caplog)] == [True]


@pytest.mark.parametrize("mode", ["vad", "stt", "manual"])
def test_a_mode_that_is_named_asks_nobody(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session: AgentSession[None] = AgentSession(turn_detection=mode, stt=ScriptedSTT([]))
    assert session.options.turns.turn_detection == mode
    assert session._detector is None


def test_what_is_no_way_to_end_a_turn_is_refused() -> None:
    with pytest.raises(ConfigurationError, match='"auto", "audio", "vad"'):
        AgentSession(turn_detection="guess")


# -- detectors that listen -----------------------------------------------------------------------------------------------


@dataclass
class Listener(AudioTurnDetector):
    """Scores what it hears by the length of it."""

    heard: list[AudioFrame] = field(default_factory=list)
    probability: float = 0.1

    async def score(self, audio: AudioFrame) -> float | None:
        self.heard.append(audio)
        return self.probability


def test_an_audio_detector_hears_the_turn_from_half_a_second_before_it() -> None:
    listener = Listener()
    record = run(converse([Speech(1.0, 2.5, FIRST, 2.7)], until=9, turn_detection=listener))
    assert record.commits == [near(5.5)]
    assert [audio.duration for audio in listener.heard] == [near(2.0)]
    assert listener.heard[0].sample_rate == 16000


def test_it_hears_a_turn_with_its_pauses_and_not_the_turn_before() -> None:
    listener = Listener()
    speeches = [Speech(1.0, 2.0, "one", 2.2), Speech(3.0, 4.0, "two", 4.2), Speech(12.0, 13.0, "three", 13.2)]
    run(converse(speeches, until=18, turn_detection=listener))
    assert [audio.duration for audio in listener.heard] == [near(1.5), near(3.5), near(1.5)]


def test_words_that_come_before_the_end_of_speech_are_judged_at_it() -> None:
    listener = Listener(probability=0.95)
    record = run(converse([Speech(1.0, 3.0, FIRST, 2.5)], until=9, turn_detection=listener))
    assert [audio.duration for audio in listener.heard] == [near(2.5)]
    assert record.commits == [near(3.2)]


def test_it_is_not_asked_about_sound_without_words() -> None:
    listener = Listener()
    run(converse([Speech(1.0, 2.5)], until=9, turn_detection=listener))
    assert not listener.heard
