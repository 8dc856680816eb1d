"""The bank's script understands sentences that it does not list, and recogniser mistakes; and nothing else."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from antiphon.plugins.local.scripted import find_script, load_script
from antiphon.plugins.local.scripted.dialogue import ACCEPT, Dialogue

FIXTURE = tomllib.loads(Path(__file__).with_name("bank_paraphrases.toml").read_text(encoding="utf-8"))
SCRIPT = load_script(find_script("bank"))
DIALOGUE = Dialogue(SCRIPT)


def understood(text: str) -> str | None:
    intent = DIALOGUE.best_intent(text, ACCEPT)
    return intent.name if intent else None


def share_right(part: str) -> tuple[float, list[str]]:
    rows = [(intent, text) for intent, texts in FIXTURE[part].items() for text in texts]
    wrong = [
        f"{text!r}: {understood(text)}, not {intent}" for intent, text in rows if understood(text) != intent
    ]
    return 1 - len(wrong) / len(rows), wrong


def test_no_sentence_of_the_fixture_is_in_the_script() -> None:
    listed = {example.lower() for intent in SCRIPT.intents.values() for example in intent.examples}
    tested = [
        text for part in ("paraphrases", "mishears") for texts in FIXTURE[part].values() for text in texts
    ]
    assert len(tested) >= 250
    # "bye" has no paraphrase.
    assert [text for text in tested if " " in text and text.lower().rstrip(".?!") in listed] == []


def test_paraphrases_are_understood() -> None:
    share, wrong = share_right("paraphrases")
    assert share >= 0.95, wrong


def test_recogniser_mistakes_are_understood() -> None:
    share, wrong = share_right("mishears")
    assert share >= 0.9, wrong


@pytest.mark.parametrize("text", FIXTURE["nothing"]["sentences"])
def test_out_of_scope_is_no_task(text: str) -> None:
    assert understood(text) is None


@pytest.mark.parametrize("text", FIXTURE["garbled"]["sentences"])
def test_what_nobody_can_make_out_is_no_task(text: str) -> None:
    intent = understood(text)
    assert intent is None or not SCRIPT.intents[intent].is_task
