"""What the turn detector learns from: where turns may be cut, and what is done to their words."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
from training.turn_detector import cuts
from training.turn_detector.batches import Examples
from training.turn_detector.cuts import FIGURES, SENTENCE_END, Step, Turn, balanced, steps, weighed
from training.turn_detector.services import dialogue
from training.turn_detector.speech import disturbed, spelled
from training.turn_detector.split import UNSEEN, split

from antiphon.plugins.turn_detector.text import SPECIAL, TURN, Pieces

NOBODY: frozenset[str] = frozenset()
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789'"
PIECES = Pieces([*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS)])


def test_cuts_are_likeliest_where_people_pause_and_never_after_a_sentence() -> None:
    assert steps("Yes. I want a table, thanks a lot.", NOBODY) == [
        Step(("yes",), end=SENTENCE_END),
        Step(("i",), cut=4.0),
        Step(("want",), cut=1.0),
        Step(("a",), cut=4.0),
        Step(("table",), cut=3.0),
        Step(("thanks",), cut=1.0),
        Step(("a",), cut=4.0),
        Step(("lot",), end=1.0),
    ]


def test_an_abbreviation_ends_no_sentence() -> None:
    assert steps("Dr. Lee", NOBODY)[0].cut == 1.0


def test_what_is_a_whole_turn_elsewhere_is_no_example_of_a_cut() -> None:
    whole = cuts.whole_turns([Turn("travel", (), "Yes, please!")])
    assert [step.cut for step in steps("yes please book it", whole)] == [1.0, 0.0, 1.0, 0.0]


def test_words_that_are_written_together_are_never_parted() -> None:
    assert steps("at 5:30 today", NOBODY)[1] == Step(("5", "30"), cut=1.0)


@pytest.mark.parametrize(("text", "total"), [("i want a table", 1.0), ("two words", 0.0), ("one", 0.0)])
def test_all_cuts_of_a_turn_weigh_as_much_as_its_end(text: str, total: float) -> None:
    found = balanced(steps(text, NOBODY))
    assert sum(step.cut for step in found) == pytest.approx(total)
    assert found[-1].end == 1.0


def test_a_disturbed_turn_keeps_its_words_in_order_and_its_one_end() -> None:
    original = steps("i want a table for two on monday", NOBODY)
    rng = random.Random(1)
    seen = set()
    for _ in range(500):
        found = disturbed(original, rng)
        said = iter(word for step in found for word in step.words)
        assert all(word in said for step in original for word in step.words)
        assert [step.end for step in found if step.end] == [1.0]
        seen.add(tuple(found))
    assert len(seen) > 20


def test_what_follows_the_end_of_a_turn_shows_that_it_goes_on() -> None:
    rng = random.Random(2)
    longer = [found for _ in range(500) if (found := disturbed([Step(("yes",), end=1.0)], rng))[-1].end == 0]
    assert longer
    assert all(found[-1].cut > 0 for found in longer)


def test_spelled_turns_are_words_of_a_recogniser_and_end_once() -> None:
    rng = random.Random(3)
    for _ in range(500):
        turn, found = spelled(rng)
        said = [word for step in found for word in step.words]
        assert cuts.words(" ".join(said)) == said
        assert [step.end for step in found] == [0.0] * (len(found) - 1) + [1.0]
        assert turn.context[0][0] == "assistant"


def test_weights_fall_on_the_last_piece_of_each_word() -> None:
    turns = [Turn("travel", (("assistant", "Where to?"),), "to ny now")]
    for batch in Examples(turns, NOBODY, PIECES).epoch(seed=1, size=4):
        assert batch.turns.shape == batch.cut.shape == batch.end.shape
        assert batch.context.shape == batch.kinds.shape
        assert batch.turns[0, 0] == TURN
        if batch.turns.shape[1] == 8:
            assert batch.cut[0].tolist() == pytest.approx([0, 0, 0.8, 0, 0.2, 0, 0, 0])
            assert batch.end[0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]


def test_an_epoch_is_the_same_each_time_and_unlike_the_next() -> None:
    turns = [Turn("travel", (), f"i want a table for {n} on monday") for n in range(80)]
    examples = Examples(turns, NOBODY, PIECES)
    one, again, other = (b"".join(b.turns.tobytes() for b in examples.epoch(seed, 16)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_services_are_set_aside_whole_and_nothing_is_lost(tmp_path: Path) -> None:
    domains = ["travel", "banks", "music", "calendar"]
    rows = [{"domain": domains[n % 4], "context": [], "user": f"turn {n}"} for n in range(2000)]
    source = tmp_path / "train.jsonl.gz"
    with gzip.open(source, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    parts = {name: cuts.read(path) for name, path in split(source, tmp_path).items()}
    assert {turn.domain for turn in parts["unseen"]} == UNSEEN
    assert not UNSEEN & {turn.domain for turn in (*parts["learn"], *parts["seen"])}
    assert sorted(turn.text for part in parts.values() for turn in part) == sorted(
        row["user"] for row in rows
    )
    assert parts["seen"]


def test_places_with_figures_among_the_last_six_words_weigh_more() -> None:
    found = [Step(("at",), cut=1.0), Step(("5",), cut=1.0), *[Step((word,), cut=1.0) for word in "abcdef"]]
    assert [step.cut for step in weighed(found)] == [1.0, *[FIGURES] * 6, 1.0]


def test_turns_about_other_services_have_all_their_blanks_filled_in_and_differ() -> None:
    rng = random.Random(4)
    turns = [dialogue(rng) for _ in range(2000)]
    assert not any("{" in turn.text or "}" in turn.text for turn in turns)
    assert all(steps(turn.text, NOBODY) for turn in turns)
    assert len({turn.text for turn in turns}) > 1000


def test_what_comes_next_is_known_but_after_words_said_behind_the_end() -> None:
    turns = [Turn("travel", (), "to ny")] * 400
    batches = list(Examples(turns, NOBODY, PIECES).epoch(seed=2, size=8))
    for batch in batches:
        for row, end, following in zip(batch.turns, batch.end, batch.following, strict=True):
            last = int(np.flatnonzero(row)[-1])
            assert following[:last].tolist() == row[1 : last + 1].tolist()
            assert following[last] == (TURN if end[last] >= 1 else -1)
    assert any((batch.following[:, 0] >= 0).any() for batch in batches)
