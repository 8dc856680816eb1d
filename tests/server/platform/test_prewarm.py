"""What a process of the platform loads before its first call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.plugins import smart_turn
from antiphon.plugins.turn_detector import network
from antiphon.server.platform import prewarm
from antiphon.server.platform.prewarm import Prewarmer

MODEL = Path(__file__).parents[2] / "plugins" / "turn_detector_untrained.onnx"
ASSISTANT = {
    "id": "assistant_1",
    "name": "Desk",
    "prompt": "Be kind.",
    "stt": {"provider": "local", "model": "moonshine-tiny"},
    "llm": {"provider": "local", "model": "scripted"},
    "tts": {"provider": "local", "model": "espeak"},
}


class OneAssistant:
    def __init__(self, **change: Any) -> None:
        self.document = ASSISTANT | change

    async def each(self, collection: str) -> AsyncIterator[dict[str, Any]]:
        yield self.document

    async def get(self, collection: str, id: str, *, reveal: bool) -> dict[str, Any]:
        return self.document


@pytest.fixture(autouse=True)
def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None: ...

    monkeypatch.setattr(prewarm, "_load", nothing)
    monkeypatch.setattr(prewarm, "_load_voice_activity", nothing)


def load_all(store: Any, model: Path | None = MODEL) -> None:
    asyncio.run(Prewarmer(model).load_all(store))


def test_the_turn_detector_of_the_settings_is_loaded_for_all_calls() -> None:
    pytest.importorskip("onnxruntime")
    network._shared.clear()
    load_all(OneAssistant())
    assert MODEL.resolve() in network._shared


@pytest.mark.parametrize(("turn_detection", "loaded"), [("auto", 0), ("audio", 1)])
def test_the_audio_detector_is_loaded_where_an_assistant_wants_it(
    turn_detection: str, loaded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    prewarmed: list[object] = []

    class Ears:
        async def prewarm(self) -> None:
            prewarmed.append(self)

    monkeypatch.setattr(prewarm, "SmartTurn", Ears)
    monkeypatch.setattr(smart_turn, "SmartTurn", Ears)
    load_all(OneAssistant(interaction={"turn_detection": turn_detection}))
    assert len(prewarmed) == loaded


def test_a_detector_that_cannot_be_loaded_keeps_no_process_from_its_calls(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("onnxruntime")
    load_all(OneAssistant(), tmp_path / "absent.onnx")
    assert "absent.onnx" in caplog.text
