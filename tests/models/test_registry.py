"""Models by name."""

from __future__ import annotations

import importlib
import logging
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from antiphon.models import registry
from antiphon.models.errors import ConfigurationError
from antiphon.models.registry import ModelName, register_plugin
from antiphon.models.stt import STT
from antiphon.models.tts import TTS


@pytest.mark.parametrize(
    ("text", "vendor", "model", "voice"),
    [
        ("deepgram/nova-3", "deepgram", "nova-3", None),
        ("cartesia/sonic-2:voice-id", "cartesia", "sonic-2", "voice-id"),
        ("assemblyai/universal-streaming:en", "assemblyai", "universal-streaming", "en"),
        ("silero", "silero", "", None),
        ("Silero/", "silero", "", None),
        ("groq/meta/llama-3:70b", "groq", "meta/llama-3", "70b"),
        ("azure/a:b:c", "azure", "a:b", "c"),
        ("elevenlabs/:Rachel", "elevenlabs", "", "Rachel"),
        (" local/espeak ", "local", "espeak", None),
    ],
)
def test_names(text: str, vendor: str, model: str, voice: str | None) -> None:
    name = ModelName.parse(text)
    assert (name.vendor, name.model, name.voice) == (vendor, model, voice)
    assert ModelName.parse(str(name)) == name


@pytest.mark.parametrize("text", ["", "/x", "a b/c", "x/y z", "x/y:", "https://x.com", "../etc", "os.path/x"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the name of a model"):
        ModelName.parse(text)


class Recogniser(STT):
    async def recognize(self, audio: Any) -> str:
        return ""


class Voice(TTS):
    def synthesize(self, text: str) -> Any:
        raise NotImplementedError


class Acme:
    def __init__(self) -> None:
        self.asked: list[Any] = []

    def create_stt(self, model: str, voice: str | None = None) -> Recogniser:
        self.asked.append((model, voice))
        return Recogniser()

    def create_tts(self, model: str, voice: str | None = None) -> Voice:
        if not voice:
            raise ConfigurationError("ACME_KEY is not set.")
        return Voice()

    def create_llm(self, model: str, voice: str | None = None) -> Any:
        self.asked.append((model, voice))
        return "no model at all"

    def create_vad(self, model: str, voice: str | None = None) -> Any:
        raise ModuleNotFoundError("No module named 'acme_sdk'", name="acme_sdk")


@pytest.fixture
def acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[Acme]:
    monkeypatch.delenv("ANTIPHON_MODELS", raising=False)
    plugin = Acme()
    register_plugin("acme", plugin)
    yield plugin
    register_plugin("acme", None)
    register_plugin("local", None)


def test_a_name_is_made_by_its_plugin(acme: Acme) -> None:
    assert isinstance(registry.resolve_stt("acme/one:de"), Recogniser)
    assert isinstance(registry.resolve_tts("acme/one:eve"), Voice)
    with pytest.raises(ConfigurationError, match="not a LLM"):
        registry.resolve_llm("acme/llama3:8b")
    assert acme.asked == [("one", "de"), ("llama3:8b", None)]


def test_a_plugin_can_be_a_module_by_name(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("acme_module")
    module.create_stt = acme.create_stt  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "acme_module", module)
    register_plugin("acme", "acme_module")
    assert isinstance(registry.resolve_stt("acme"), Recogniser)


def test_a_plugin_can_be_an_entry_point(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name = "thirdparty"

        def load(self) -> Any:
            return acme

    def entry_points(*, group: str) -> list[Entry]:
        return [Entry()] if group == "antiphon.plugins" else []

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    assert isinstance(registry.resolve_stt("thirdparty/x"), Recogniser)
    assert "thirdparty" in registry.plugin_names()


def test_errors_say_what_to_do(acme: Acme) -> None:
    with pytest.raises(
        ConfigurationError, match=r"No plugin is installed for 'nobody'.*ANTIPHON_MODELS=local.*acme"
    ):
        registry.resolve_stt("nobody/x")
    with pytest.raises(ConfigurationError, match="ACME_KEY is not set"):
        registry.resolve_tts("acme/one")
    with pytest.raises(ConfigurationError, match=r"'acme_sdk'.*pip install \"antiphon\[acme\]\""):
        registry.resolve_vad("acme/x")
    register_plugin("deaf", types.SimpleNamespace(create_tts=acme.create_tts))
    with pytest.raises(ConfigurationError, match=r"deaf has no speech recogniser .*Ready for stt:.*acme"):
        registry.resolve_stt("deaf/x")
    register_plugin("deaf", None)
    register_plugin("acme", "no_such_module_of_acme")
    with pytest.raises(ConfigurationError, match="'no_such_module_of_acme'"):
        registry.resolve_stt("acme/x")


def test_the_environment_can_put_local_models_in_place_of_all(
    acme: Acme, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    local = Acme()
    register_plugin("local", local)
    monkeypatch.setenv("ANTIPHON_MODELS", "local")
    with caplog.at_level(logging.INFO, "antiphon.models.registry"):
        for _ in range(2):
            registry.resolve_stt("acme/only-once-announced:en")
    registry.resolve_stt("local/other:de")
    assert acme.asked == []
    assert local.asked == [("moonshine-tiny", None)] * 2 + [("other", "de")]
    assert [record.message for record in caplog.records] == [
        "ANTIPHON_MODELS=local: using local/moonshine-tiny instead of stt acme/only-once-announced:en"
    ]
    monkeypatch.setenv("ANTIPHON_MODELS", "cloud")
    with pytest.raises(ConfigurationError, match="the only value is local"):
        registry.resolve_stt("acme/x")


def test_available_lists_what_can_be_used(acme: Acme) -> None:
    assert "acme" in registry.available()["stt"]
    assert set(registry.available()) == {"stt", "llm", "tts", "vad", "realtime"}

    def check() -> None:
        raise ConfigurationError("no key")

    acme.check = check  # type: ignore[attr-defined]
    assert "acme" not in registry.available()["stt"]


def test_a_vendor_may_be_imported_from_the_plugins(acme: Acme) -> None:
    from antiphon import plugins
    from antiphon.plugins import acme as found
    from antiphon.plugins import silero

    assert found is acme
    assert silero.VAD is not None
    assert not hasattr(plugins, "__wrapped__")


@pytest.mark.parametrize("name", ["deepgram", "elevenlabs", "nobody"])
def test_a_vendor_that_is_missing_says_what_to_do(name: str) -> None:
    with pytest.raises(
        ImportError, match=rf"No plugin is installed for '{name}'.*ANTIPHON_MODELS=local.*Installed: .*silero"
    ):
        exec(f"from antiphon.plugins import {name}")


@pytest.mark.parametrize("vendor", ["openai", "google"])
def test_a_class_that_a_vendor_lacks_says_what_there_is(vendor: str) -> None:
    module = importlib.import_module(f"antiphon.plugins.{vendor}")
    with pytest.raises(
        ConfigurationError, match=r"has no LLM in this version; it has RealtimeModel.*Ready for llm: .*local"
    ):
        module.LLM(model="gpt-4o")
    assert not hasattr(module, "Nothing")
