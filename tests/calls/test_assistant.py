"""The assistant document: defaults, what is refused and where, partial updates, secrets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from antiphon.calls.assistant import Assistant
from antiphon.calls.assistant_check import create_assistant, find_problems, update_assistant
from antiphon.calls.document import MASK, DocumentRefused, masked, merge, parse, secret_paths
from antiphon.models.errors import ConfigurationError
from antiphon.models.llm import LLM, LLMCapabilities
from antiphon.models.registry import register_plugin
from antiphon.models.stt import STT
from antiphon.models.tts import TTS


class Recogniser(STT):
    async def recognize(self, audio: Any) -> str:
        return ""


class Voice(TTS):
    def synthesize(self, text: str) -> Any:
        raise NotImplementedError


class Model(LLM):
    @property
    def capabilities(self) -> LLMCapabilities:
        return LLMCapabilities(streaming=True, function_calling=True, vision=False)

    def chat(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class Acme:
    """A vendor that has every kind, one model of each, and wants a key for its language model."""

    def create_stt(self, model: str, voice: str | None = None) -> STT:
        return Recogniser()

    def create_tts(self, model: str, voice: str | None = None, *, speed: float = 1.0) -> TTS:
        return Voice()

    def create_llm(self, model: str, voice: str | None = None, *, api_key: str = "") -> LLM:
        if model not in ("", "one"):
            raise ConfigurationError(f"There is no language model acme/{model}.")
        if not api_key:
            raise ConfigurationError("ACME_API_KEY is not set.")
        return Model()


@pytest.fixture(autouse=True)
def acme(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("ANTIPHON_MODELS", raising=False)
    register_plugin("acme", Acme())
    yield
    register_plugin("acme", None)


ACME = {"provider": "acme"}
LLM_CHOICE = {"provider": "acme", "model": "one", "api_key": "acme-key-0123456789"}
BANK: dict[str, Any] = {"name": "Bank", "prompt": "Be kind.", "stt": ACME, "llm": LLM_CHOICE, "tts": ACME}


def problems(data: object, **options: Any) -> dict[str, str]:
    with pytest.raises(DocumentRefused) as caught:
        create_assistant(data, **options)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_defaults() -> None:
    assistant = create_assistant(BANK)
    shown = assistant.model_dump(mode="json", exclude={"stt", "llm", "tts", "interaction"})
    assert shown == {
        "name": "Bank",
        "description": "",
        "prompt": "Be kind.",
        "mode": "cascade",
        "realtime": None,
        "speaks_first": True,
        "assistant_start_instruction": "",
        "tools": [],
        "transfer_destinations": {},
        "language": "en",
        "end_call": {"enabled": True, "phrase": "", "message": "Goodbye."},
        "end_call_webhook": None,
        "recording": True,
        "active": True,
        "public": False,
        "examples": [],
    }
    interaction = assistant.interaction
    assert (interaction.silence.enabled, interaction.silence.interval_seconds, interaction.silence.count) == (
        True,
        10.0,
        2,
    )
    assert (interaction.fillers.enabled, interaction.fillers.after_seconds) == (False, 1.2)
    assert interaction.input_guard_seconds == 0.0
    assert interaction.max_duration.seconds == 1800.0
    assert interaction.interruptions.allowed is True
    assert not interaction.background_sound.enabled
    assert not interaction.thinking_sound.enabled


def test_a_document_survives_being_stored() -> None:
    assistant = create_assistant(BANK)
    assert parse(Assistant, assistant.model_dump(mode="json")) == assistant


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"name": None}, "name", "null"),
        ({"name": " "}, "name", ""),
        ({"name": "x" * 101}, "name", "100"),
        ({"prompt": ""}, "prompt", ""),
        ({"speaks_first": None}, "speaks_first", "null"),
        ({"interaction": None}, "interaction", "null"),
        ({"interaction": {"silence": None}}, "interaction.silence", "null"),
        ({"tools": None}, "tools", "null"),
        ({"tools": "a"}, "tools", "must be a valid array"),
        ({"colour": "red"}, "colour", "no such field"),
        ({"interaction": {"silence": {"colour": 1}}}, "interaction.silence.colour", "no such field"),
        ({"mode": "telepathy"}, "mode", "cascade"),
        ({"language": "english!"}, "language", "en-GB"),
        ({"tools": ["a", "a"]}, "", "a more than once"),
        ({"transfer_destinations": {"desk": "0123"}}, "transfer_destinations.desk", ""),
        ({"transfer_destinations": {"desk": "tel:+14155550123"}}, "transfer_destinations.desk", ""),
        ({"interaction": {"silence": {"count": 6}}}, "interaction.silence.count", "5"),
        ({"interaction": {"silence": {"texts": []}}}, "interaction.silence", "texts is empty"),
        ({"interaction": {"silence": {"texts": [" "]}}}, "interaction.silence.texts", "empty"),
        (
            {"interaction": {"fillers": {"enabled": True, "texts": []}}},
            "interaction.fillers",
            "texts is empty",
        ),
        ({"interaction": {"input_guard_seconds": 11}}, "interaction.input_guard_seconds", "10"),
        ({"interaction": {"max_duration": {"seconds": 0}}}, "interaction.max_duration.seconds", "10"),
        (
            {"interaction": {"interruptions": {"min_endpointing_seconds": 4}}},
            "interaction.interruptions",
            "max_endpointing",
        ),
        (
            {"interaction": {"background_sound": {"level_dbfs": 0}}},
            "interaction.background_sound.level_dbfs",
            "-6",
        ),
        (
            {"interaction": {"thinking_sound": {"source": "/etc/x.wav"}}},
            "interaction.thinking_sound.source",
            "",
        ),
        ({"interaction": {"thinking_sound": {"source": "..wav"}}}, "interaction.thinking_sound.source", ""),
        ({"end_call_webhook": {"url": "ftp://x.example"}}, "end_call_webhook.url", "http"),
        ({"end_call_webhook": {"url": "https://a:b@x.example"}}, "end_call_webhook.url", "user name"),
        ({"end_call_webhook": {"url": "https://"}}, "end_call_webhook.url", "host"),
        ({"end_call_webhook": {"url": "https://x:99999"}}, "end_call_webhook.url", "http"),
        (
            {"end_call_webhook": {"url": "https://x.example", "headers": {"A": "b\r\nC: d"}}},
            "end_call_webhook.headers",
            "HTTP",
        ),
        ({"stt": {"provider": "acme", "options": {"api_key": "x"}}}, "stt.options", "api_key"),
        ({"stt": {"provider": "../etc"}}, "stt.provider", ""),
        ({"stt": {}}, "stt.provider", "required"),
        # what would make a call silent
        ({"stt": None}, "stt", "mode cascade needs stt"),
        ({"llm": {"provider": "acme", "model": "two", "api_key": "k"}}, "llm", "no language model acme/two"),
        ({"llm": {"provider": "acme", "model": "one"}}, "llm", "ACME_API_KEY is not set"),
        ({"tts": {"provider": "nobody"}}, "tts", "No plugin is installed for 'nobody'"),
        ({"tts": {"provider": "acme", "options": {"sped": 2}}}, "tts", "no setting sped; it takes: speed"),
        ({"stt": {"provider": "acme", "api_key": "k"}}, "stt", "no setting api_key"),
        ({"realtime": ACME}, "realtime", "does not use realtime"),
    ],
    ids=str,
)
def test_what_is_refused_and_where(change: dict[str, Any], field: str, words: str) -> None:
    found = problems({**BANK, **change})
    assert list(found) == [field]
    assert words in found[field]


def test_every_problem_is_told_at_once() -> None:
    assert sorted(problems({"name": "", "mode": "x", "extra": 1})) == ["extra", "mode", "name", "prompt"]
    assert sorted(problems({"name": "x", "prompt": "y"})) == ["llm", "stt", "tts"]


@pytest.mark.parametrize("name", ["base_url", "api_endpoint", "proxy"])
def test_a_key_of_the_installation_goes_to_no_other_server(name: str) -> None:
    choice = {"provider": "acme", "options": {name: "https://elsewhere.example.com"}}
    assert "must not get this installation's key" in problems({**BANK, "tts": choice})["tts.options"]
    # With a key of its own it is the plugin's business whether it takes the option.
    assert "this installation's key" not in str(problems({**BANK, "tts": {**choice, "api_key": "own"}}))


def test_options_that_a_plugin_takes() -> None:
    create_assistant({**BANK, "tts": {"provider": "acme", "options": {"speed": 1.2}}})


@pytest.mark.parametrize(("mode", "needs"), [("pipeline", ["realtime", "tts"]), ("realtime", ["realtime"])])
def test_modes_and_their_models(mode: str, needs: list[str]) -> None:
    found = problems({"name": "x", "prompt": "y", "mode": mode})
    assert sorted(found) == needs
    found = problems({**BANK, "mode": mode, "realtime": {"provider": "acme"}})
    assert "acme has no realtime model" in found["realtime"]
    assert "does not use llm" in found["llm"]
    found = problems(
        {**BANK, "mode": mode, "realtime": {"provider": "openai", "options": {"modalities": []}}}
    )
    assert "the mode decides" in found["realtime.options"]


@pytest.mark.parametrize("mode", ["pipeline", "realtime"])
def test_a_realtime_model_without_its_key(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    realtime = {"provider": "openai", "model": "gpt-realtime", "voice": "marin"}
    document = {**BANK, "mode": mode, "stt": None, "llm": None, "realtime": realtime}
    if mode == "realtime":
        document["tts"] = None
    found = problems(document)
    assert list(found) == ["realtime"]
    assert "OPENAI_API_KEY is not set" in found["realtime"]
    create_assistant({**document, "realtime": {**realtime, "api_key": "sk-own"}})


def test_tools_that_do_not_exist() -> None:
    found = problems({**BANK, "tools": ["tool_1", "tool_2"]}, known_tools={"tool_1"})
    assert found == {"tools.1": "there is no tool 'tool_2'"}


def test_no_value_is_repeated_in_an_error() -> None:
    with pytest.raises(DocumentRefused) as caught:
        create_assistant({**BANK, "llm": {"provider": "acme", "api_key": ["sk-very-secret"]}})
    assert "very-secret" not in str(caught.value)


def test_a_key_is_not_in_the_representation() -> None:
    assert "acme-key" not in repr(create_assistant(BANK))


# -- partial updates


@pytest.mark.parametrize(
    ("patch", "path", "value"),
    [
        ({"name": "Other"}, "name", "Other"),
        ({"interaction": {"silence": {"count": 1}}}, "interaction.silence.count", 1),
        ({"interaction": {"silence": {"count": 1}}}, "interaction.silence.interval_seconds", 20.0),
        ({"llm": {"model": ""}}, "llm.api_key", "acme-key-0123456789"),
        ({"tts": {"options": {"speed": 2}}}, "tts.options", {"speed": 2}),
        ({"tools": ["b"]}, "tools", ["b"]),
        ({"end_call_webhook": None}, "end_call_webhook", None),
        ({"end_call_webhook": {"headers": {"B": "2"}}}, "end_call_webhook.headers", {"A": "1", "B": "2"}),
        ({"end_call_webhook": {"headers": {"A": None}}}, "end_call_webhook.headers", {}),
        ({"end_call_webhook": {"secret": None}}, "end_call_webhook.secret", None),
        ({}, "name", "Bank"),
    ],
    ids=str,
)
def test_update(patch: dict[str, Any], path: str, value: Any) -> None:
    current = create_assistant(
        {
            **BANK,
            "tools": ["a"],
            "interaction": {"silence": {"interval_seconds": 20}},
            "end_call_webhook": {"url": "https://x.example/h", "headers": {"A": "1"}, "secret": "s" * 20},
        }
    )
    before = current.model_dump()
    found: Any = update_assistant(current, patch).model_dump(mode="json")
    for name in path.split("."):
        found = found[name]
    assert found == value
    assert current.model_dump() == before


@pytest.mark.parametrize(
    "patch",
    [
        {"name": None},
        {"speaks_first": None},
        {"interaction": None},
        {"interaction": {"silence": None}},
        {"colour": 1},
        {"stt": None},
        {"llm": {"api_key": None}},
    ],
    ids=str,
)
def test_an_update_that_would_break_the_document(patch: dict[str, Any]) -> None:
    with pytest.raises(DocumentRefused):
        update_assistant(create_assistant(BANK), patch)


def test_another_provider_does_not_get_the_key_of_the_first() -> None:
    merged = merge(Assistant, create_assistant(BANK).model_dump(), {"llm": {"provider": "other"}})
    assert merged["llm"] == {"provider": "other"}
    merged = merge(Assistant, create_assistant(BANK).model_dump(), {"llm": {"provider": "acme", "model": ""}})
    assert merged["llm"]["api_key"] == "acme-key-0123456789"


# -- secrets


def test_secrets_are_masked_on_read_and_the_mask_is_refused_on_write() -> None:
    hook = {"url": "https://x.example", "headers": {"Authorization": "Bearer abc"}, "secret": "s" * 20}
    shown = masked(create_assistant({**BANK, "end_call_webhook": hook}))
    assert shown["llm"]["api_key"] == MASK
    assert shown["stt"]["api_key"] is None
    assert shown["end_call_webhook"]["headers"] == {"Authorization": MASK}
    assert shown["end_call_webhook"]["secret"] == MASK
    assert sorted(problems(shown)) == ["end_call_webhook.headers", "end_call_webhook.secret", "llm.api_key"]
    found = problems({**BANK, "llm": {**LLM_CHOICE, "api_key": f"{MASK}6789"}})
    assert "leave the field out" in found["llm.api_key"]


def test_where_the_secrets_are() -> None:
    assert list(secret_paths(Assistant)) == [
        "stt.api_key",
        "llm.api_key",
        "tts.api_key",
        "realtime.api_key",
        "end_call_webhook.headers",
        "end_call_webhook.secret",
    ]


@pytest.mark.needs("onnxruntime", "moonshine_voice", "espeakng_loader")
def test_the_models_of_this_machine() -> None:
    local = {
        "stt": {"provider": "local", "model": "moonshine-tiny"},
        "llm": {"provider": "local", "model": "scripted:bank"},
        "tts": {"provider": "local", "model": "espeak", "voice": "en-gb"},
    }
    assistant = parse(Assistant, {"name": "Bank", "prompt": "Be kind.", **local})
    assert find_problems(assistant) == []
    local["tts"]["voice"] = "nowhere"
    assert [problem.field for problem in find_problems(parse(Assistant, {**BANK, **local}))] == ["tts"]


@pytest.mark.needs("onnxruntime", "moonshine_voice", "espeakng_loader")
def test_local_models_instead_take_no_settings_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_MODELS", "local")
    choice = {"provider": "elsewhere", "model": "x", "options": {"pitch": 7}, "api_key": "k"}
    assistant = parse(Assistant, {**BANK, "stt": choice, "llm": choice, "tts": choice})
    assert find_problems(assistant) == []
