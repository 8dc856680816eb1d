"""The turn detector that reads transcripts: what it sees, how it shares its network, and what it does without one."""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from antiphon.models.errors import ConfigurationError
from antiphon.plugins.turn_detector import batching, detector, network
from antiphon.plugins.turn_detector.batching import MAX_BATCH, Batcher
from antiphon.plugins.turn_detector.english import EnglishModel
from antiphon.plugins.turn_detector.network import MODEL_VARIABLE, Question
from antiphon.plugins.turn_detector.text import (
    AGENT_EARLIER,
    AGENT_LAST,
    CONTEXT,
    MAX_CONTEXT,
    MAX_TURN,
    NOTHING,
    SPECIAL,
    TURN,
    UNKNOWN,
    USER_LAST,
    Pieces,
    number_near_end,
    words,
)

# A network of the right make, far too small and never trained: its answers mean nothing, but differ.
UNTRAINED = Path(__file__).with_name("turn_detector_untrained.onnx")


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    monkeypatch.setattr(network, "SHIPPED", Path("nowhere.onnx"))
    detector._announced.clear()
    yield
    network._shared.clear()


# -- text --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Yes, that's right.", ["yes", "that's", "right"]),
        ("415-555-0123", ["415", "555", "0123"]),
        ("at 5:30 or 6.15", ["at", "5", "30", "or", "6", "15"]),
        ("check-in/check-out", ["check", "in", "check", "out"]),
        ("$1,200 -- please!", ["1", "200", "please"]),
        ("...", []),
    ],
)
def test_words_are_those_of_a_recogniser_that_does_not_format(text: str, expected: list[str]) -> None:
    assert words(text) == expected


VOCABULARY = [
    *SPECIAL,
    *"0123456789",
    *(f"##{figure}" for figure in "0123456789"),
    "flight",
    "fl",
    "##ights",
    "##s",
    "i",
    "to",
]


def spelled(*pieces: str) -> list[int]:
    return [VOCABULARY.index(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I flights", ["i", "flight", "##s"]),
        ("415 7", ["4", "##1", "##5", "7"]),
        ("i zebra to", ["i", SPECIAL[UNKNOWN], "to"]),
        ("tó", ["to"]),
        ("", []),
    ],
)
def test_words_are_made_of_the_longest_pieces_and_single_figures(text: str, expected: list[str]) -> None:
    assert Pieces(VOCABULARY).turn(text) == [TURN, *spelled(*expected)]


@given(
    st.text(max_size=400),
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=200)), max_size=5),
)
def test_any_text_fits_the_network(text: str, context: list[tuple[str, str]]) -> None:
    pieces = Pieces(VOCABULARY)
    turn = pieces.turn(text)
    found, kinds = pieces.context(context)
    assert 1 <= len(turn) <= MAX_TURN
    assert turn[0] == TURN
    assert len(found) == len(kinds) <= MAX_CONTEXT
    assert (found[0], kinds[0]) == (CONTEXT, NOTHING)
    assert all(0 <= piece < len(VOCABULARY) for piece in turn + found)


def test_of_a_long_turn_the_end_counts() -> None:
    turn = Pieces(VOCABULARY).turn("i " * 200 + "to 7")
    assert len(turn) == MAX_TURN
    assert turn[-2:] == spelled("to", "7")


def test_the_context_is_the_last_three_turns_by_who_said_them() -> None:
    turns = [("assistant", "flight flight"), ("assistant", "i"), ("user", "to"), ("assistant", "flight 1")]
    found, kinds = Pieces(VOCABULARY).context(turns)
    assert found[1:] == spelled("i", "to", "flight", "1")
    assert kinds[1:] == [AGENT_EARLIER, USER_LAST, AGENT_LAST, AGENT_LAST]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it's 42", True),
        ("my number is five five five", True),
        ("a table for two", False),
        ("that one or no one", False),
        ("1830 fourth street please and then on to town", False),
        ("in 1830 fourth street please and then", True),
        ("", False),
    ],
)
def test_a_number_near_the_end_may_go_on(text: str, expected: bool) -> None:
    assert number_near_end(text) is expected


def test_a_vocabulary_without_the_special_pieces_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[pad\]"):
        Pieces(["a", "b", "c", "d"])


# -- caution -----------------------------------------------------------------------------------------------------------


def test_caution_divides_the_odds() -> None:
    found = network.cautious(np.array([0.5, 0.5, 0.8, 0.0, 1.0], dtype=np.float32), [1, 4, 4, 4, 4])
    assert found == pytest.approx([0.5, 0.2, 0.5, 0.0, 1.0])


def test_a_model_file_says_how_careful_to_be_with_numbers(tmp_path: Path) -> None:
    # An ONNX file is a protocol buffer: one more entry of `metadata_props` (field 14) may follow at its end.
    entry = b"\x72\x0c\x0a\x07caution\x12\x018"
    (tmp_path / "careful.onnx").write_bytes(UNTRAINED.read_bytes() + entry)
    questions = [Question((), "i to 7"), Question((), "i to")]
    plain, careful = network.load(UNTRAINED)(questions), network.load(tmp_path / "careful.onnx")(questions)
    assert careful == pytest.approx([plain[0] / (plain[0] + (1 - plain[0]) * 8), plain[1]])


# -- batches -----------------------------------------------------------------------------------------------------------


class Judge:
    """Answers a question by the length of its text, when it is let; notes what was asked together."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_answer = threading.Event()

    def __call__(self, questions: Sequence[Question]) -> NDArray[np.float32]:
        self.batches.append([question.text for question in questions])
        assert self.may_answer.wait(10)
        if any(question.text == "fail" for question in questions):
            raise RuntimeError("out of memory")
        return np.array([len(question.text) / 100 for question in questions], dtype=np.float32)


def test_questions_that_arrive_during_a_batch_become_the_next_while_the_loop_runs_on() -> None:
    async def scenario() -> list[float]:
        batcher = batching.batcher_of_running_loop(judge)
        asking = [asyncio.create_task(batcher.ask(Question((), "x" * k))) for k in range(1, 6)]
        await asyncio.sleep(0.02)  # the loop is free though the judge has not answered
        assert not any(task.done() for task in asking)
        judge.may_answer.set()
        return await asyncio.wait_for(asyncio.gather(*asking), 10)

    judge = Judge()
    assert asyncio.run(scenario()) == pytest.approx([0.01, 0.02, 0.03, 0.04, 0.05])
    assert judge.batches == [["x"], ["xx", "xxx", "xxxx", "xxxxx"]]


def test_a_crowd_is_answered_in_batches_of_bounded_size() -> None:
    async def scenario() -> list[float]:
        judge.may_answer.set()
        batcher = Batcher(judge)
        return await asyncio.wait_for(
            asyncio.gather(*(batcher.ask(Question((), "x")) for _ in range(50))), 10
        )

    judge = Judge()
    assert len(asyncio.run(scenario())) == 50
    assert max(map(len, judge.batches)) == MAX_BATCH


def test_who_gives_up_is_not_judged_and_keeps_nobody_waiting() -> None:
    async def scenario() -> float:
        batcher = Batcher(judge)
        asking = [asyncio.create_task(batcher.ask(Question((), text))) for text in ("a", "bb", "ccc")]
        await asyncio.sleep(0.02)
        asking[0].cancel()
        asking[1].cancel()
        await asyncio.sleep(0)
        judge.may_answer.set()
        return await asyncio.wait_for(asking[2], 10)

    judge = Judge()
    assert asyncio.run(scenario()) == pytest.approx(0.03)
    assert judge.batches == [["a"], ["ccc"]]


def test_a_failure_reaches_those_who_asked_and_not_those_who_ask_later() -> None:
    async def scenario() -> float:
        judge.may_answer.set()
        batcher = Batcher(judge)
        with pytest.raises(RuntimeError, match="memory"):
            await batcher.ask(Question((), "fail"))
        return await asyncio.wait_for(batcher.ask(Question((), "xx")), 10)

    judge = Judge()
    assert asyncio.run(scenario()) == pytest.approx(0.02)


# -- the detector ------------------------------------------------------------------------------------------------------

CONTEXT_TURNS = [("assistant", "Where to?")]


def score(model: EnglishModel, text: str = "I need a flight to Boston") -> float | None:
    return asyncio.run(model.score(CONTEXT_TURNS, text))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_score_is_a_probability_and_depends_on_text_and_context() -> None:
    pytest.importorskip("onnxruntime")
    model = EnglishModel(UNTRAINED)
    found = [
        score(model),
        score(model, "i need a"),
        asyncio.run(model.score([("user", "Boston 12")], "I need a flight to Boston")),
    ]
    assert all(probability is not None and 0 < probability < 1 for probability in found)
    assert len(set(found)) == 3


def test_a_score_does_not_depend_on_what_else_is_asked() -> None:
    pytest.importorskip("onnxruntime")
    judge = network.load(UNTRAINED)
    asked = [
        Question(CONTEXT_TURNS, "i need a flight to boston"),
        Question((), "to"),
        Question([("user", "a " * 40), ("assistant", "b")], "4 1 5 " * 20),
    ]
    alone = [float(judge([question])[0]) for question in asked]
    assert judge(asked).tolist() == pytest.approx(alone, abs=1e-5)


def test_text_without_words_is_not_scored() -> None:
    assert score(EnglishModel(UNTRAINED), " ... ") is None


def test_all_detectors_of_a_process_share_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    opened: list[Path] = []
    real = network._open

    def counted(path: Path) -> network.Network:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(network, "_open", counted)

    async def scenario() -> list[float | None]:
        models = [EnglishModel(UNTRAINED) for _ in range(4)]
        return await asyncio.gather(*(model.score(CONTEXT_TURNS, "to boston") for model in models))

    assert len(set(asyncio.run(scenario()))) == 1
    assert len(opened) == 1


def test_the_environment_names_the_model_file(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv(MODEL_VARIABLE, str(UNTRAINED))
    assert score(EnglishModel()) is not None


@pytest.mark.parametrize(
    ("language", "expected"),
    [("en", True), ("en-GB", True), ("EN_us", True), (None, True), ("de", False), ("fr-FR", False)],
)
def test_only_english_is_supported(language: str | None, expected: bool) -> None:
    assert EnglishModel(UNTRAINED).supports_language(language) is expected


def test_without_a_model_file_it_has_no_opinion_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        model = EnglishModel()
        assert score(model) is None
        assert score(model) is None
    assert [MODEL_VARIABLE in message for message in warnings(caplog)] == [True]


def test_a_file_that_is_no_model_leaves_the_decision_to_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("onnxruntime")
    file = tmp_path / "broken.onnx"
    file.write_bytes(UNTRAINED.read_bytes()[:500])
    with pytest.raises(ConfigurationError, match=r"broken\.onnx"):
        network.load(file)
    assert score(EnglishModel(file)) is None
    assert "broken.onnx" in warnings(caplog)[0]


def test_a_missing_file_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("onnxruntime")
    model = EnglishModel(tmp_path / "absent.onnx")
    assert score(model) is None
    assert "absent.onnx" in warnings(caplog)[0]


def test_a_model_is_run_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    asked: list[str] = []
    real = network.Network.__call__

    def noted(judge: network.Network, questions: Sequence[Question]) -> NDArray[np.float32]:
        asked.extend(question.text for question in questions)
        return real(judge, questions)

    async def scenario() -> None:
        for _ in range(2):
            await EnglishModel(UNTRAINED).prewarm()

    monkeypatch.setattr(network.Network, "__call__", noted)
    asyncio.run(scenario())
    assert len(asked) == 1


def test_a_model_that_fails_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("onnxruntime")
    asked: list[int] = []

    def fail(_self: network.Network, questions: Sequence[Question]) -> NDArray[np.float32]:
        asked.append(len(questions))
        raise RuntimeError("out of memory")

    monkeypatch.setattr(network.Network, "__call__", fail)
    file = shutil.copy(UNTRAINED, tmp_path / "failing.onnx")
    model = EnglishModel(file)
    assert score(model) is None
    assert score(model) is None
    assert asked == [1]
    assert len(warnings(caplog)) == 1


def test_an_answer_that_comes_too_late_is_none(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(detector, "DEADLINE", 0.05)
    released = threading.Event()

    def stall(_self: network.Network, questions: Sequence[Question]) -> NDArray[np.float32]:
        released.wait(10)
        return np.full(len(questions), 0.5, dtype=np.float32)

    async def scenario() -> list[float | None]:
        model = EnglishModel(UNTRAINED)
        await model.prewarm()
        monkeypatch.setattr(network.Network, "__call__", stall)
        try:
            found = [await model.score([], "to"), await model.score([], "to boston")]
        finally:
            released.set()
        monkeypatch.setattr(detector, "DEADLINE", 10.0)
        return [*found, await model.score([], "to")]

    assert asyncio.run(scenario()) == [None, None, 0.5]
    assert len(warnings(caplog)) == 1
