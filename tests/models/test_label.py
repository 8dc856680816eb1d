"""What models are called in errors and metrics."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.models.llm import LLM
from antiphon.models.stt import STT
from antiphon.models.tts import TTS
from antiphon.models.vad import VAD


@pytest.mark.parametrize("base", [STT, TTS, LLM, VAD])
@pytest.mark.parametrize(
    ("module", "label"),
    [("__main__", "Mine"), ("agent", "Mine"), ("acme.stt", "acme/Mine"), ("a.b.c", "b/Mine")],
)
def test_a_model_has_a_name_wherever_its_class_stands(base: Any, module: str, label: str) -> None:
    mine = type("Mine", (base,), {"__module__": module, "__abstractmethods__": frozenset()})
    mine.__abstractmethods__ = frozenset()
    assert object.__new__(mine).label == label
