"""A stored assistant in a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.audio import AudioFrame
from antiphon.calls.assistant import Assistant
from antiphon.calls.assistant_check import find_problems
from antiphon.calls.document import parse
from antiphon.calls.lifecycle import begin, step
from antiphon.calls.lifecycle_events import AgentReady, MediaReceived
from antiphon.calls.runtime import CallRuntime, make_plan, make_tool, missing_sounds
from antiphon.calls.session_end import event_of_close
from antiphon.calls.status import CallDirection
from antiphon.calls.tool_definition import ToolDefinition
from antiphon.models.audio_turn_detector import AudioTurnDetector
from antiphon.models.errors import ConfigurationError
from antiphon.models.llm import LLM
from antiphon.models.registry import register_plugin
from antiphon.plugins import smart_turn
from antiphon.plugins.turn_detector.english import EnglishModel
from antiphon.rooms import ParticipantKind
from antiphon.rooms.local import LocalRooms
from antiphon.voice import CloseReason
from antiphon.voice.controllers import Controller, SilenceWatchdog
from support.scripted import ScriptedLLM
from support.virtual_time import run

LOCAL: dict[str, Any] = {
    "name": "Desk",
    "prompt": "You talk with {{context.name}}.",
    "stt": {"provider": "local", "model": "moonshine-tiny"},
    "llm": {"provider": "local", "model": "scripted"},
    "tts": {"provider": "local", "model": "espeak"},
    "assistant_start_instruction": "Greet {{context.name}}.",
}
ANN = {"context": {"name": "Ann & Co"}}


class Scripted:
    """A vendor whose language model remembers what it was asked."""

    def __init__(self) -> None:
        self.llm = ScriptedLLM()

    def create_llm(self, model: str, voice: str | None = None) -> LLM:
        return self.llm


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedLLM]:
    monkeypatch.delenv("ANTIPHON_MODELS", raising=False)
    plugin = Scripted()
    register_plugin("scripted", plugin)
    yield plugin.llm
    register_plugin("scripted", None)


def assistant(**change: Any) -> Assistant:
    return parse(Assistant, {**LOCAL, "llm": {"provider": "scripted"}, **change})


def watching(runtime: CallRuntime, kind: type[Controller]) -> list[bool]:
    return [one.attached for one in runtime._controllers if isinstance(one, kind)]


async def conversation(runtime: CallRuntime) -> None:
    """From ringing to the opening, and to the end."""
    await runtime.start()
    await asyncio.sleep(3)
    await runtime.open()
    await runtime.open()
    if handle := runtime.deliver_start_instruction():
        await handle
    await runtime.aclose()
    await runtime.aclose()


def test_the_opening_is_rendered_and_not_a_word_comes_before(scripted: ScriptedLLM) -> None:
    runtime = CallRuntime(assistant(), ANN, text_only=True)
    assert runtime.missing == ()

    async def ring() -> None:
        await runtime.start()
        await asyncio.sleep(60)
        assert scripted.requests == []
        assert watching(runtime, SilenceWatchdog) == [False]
        await runtime.open()
        assert watching(runtime, SilenceWatchdog) == [True]
        handle = runtime.deliver_start_instruction()
        assert handle is not None
        await handle
        await runtime.aclose()
        assert watching(runtime, SilenceWatchdog) == [False]

    run(ring())
    _, messages, _ = scripted.requests[0]
    assert messages[0].content == "You talk with Ann & Co."
    assert messages[-1].content.endswith("Greet Ann & Co.")


def test_an_assistant_that_waits_for_the_caller_says_nothing(scripted: ScriptedLLM) -> None:
    run(conversation(CallRuntime(assistant(speaks_first=False), ANN, text_only=True)))
    assert scripted.requests == []


def test_without_an_instruction_it_greets(scripted: ScriptedLLM) -> None:
    runtime = CallRuntime(assistant(assistant_start_instruction=""), {}, text_only=True)
    assert runtime.missing == ("context.name",)
    run(conversation(runtime))
    assert "greet the caller" in scripted.requests[0][1][-1].content


def test_the_agent_may_hang_up_only_when_it_is_allowed_to(scripted: ScriptedLLM) -> None:
    def tools(**change: Any) -> list[str]:
        runtime = CallRuntime(assistant(**change), ANN, text_only=True, tools=[make_tool(HOURS, {})])
        return [tool.name for tool in runtime._agent.tools]

    assert tools() == ["opening_hours", "end_call"]
    assert tools(end_call={"enabled": False}) == ["opening_hours"]


HOURS = parse(
    ToolDefinition,
    {"name": "opening_hours", "description": "Tells the opening hours.", "static": {"value": "nine to five"}},
)


def test_interruptions_and_silence_as_the_document_says(scripted: ScriptedLLM) -> None:
    interaction = {
        "silence": {"enabled": False},
        "interruptions": {"allowed": False, "min_words": 3, "max_endpointing_seconds": 4},
    }
    runtime = CallRuntime(assistant(interaction=interaction), ANN, text_only=True)
    turns = runtime.session.options.turns
    assert (turns.allow_interruptions, turns.min_interruption_words, turns.max_endpointing_delay) == (
        False,
        3,
        4,
    )
    assert watching(runtime, SilenceWatchdog) == []


@pytest.mark.needs("onnxruntime", "moonshine_voice", "espeakng_loader")
def test_models_by_their_names_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTIPHON_MODELS", raising=False)
    runtime = CallRuntime(parse(Assistant, LOCAL), ANN)
    session = runtime.session
    assert session.stt is not None
    assert session.llm is not None
    assert session.tts is not None
    assert session.vad is not None
    assert session.llm.label == "local/scripted"
    asyncio.run(runtime.aclose())


@pytest.mark.needs("onnxruntime")
def test_a_typed_conversation_on_the_model_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTIPHON_MODELS", raising=False)
    runtime = CallRuntime(parse(Assistant, LOCAL), ANN, text_only=True, tools=[make_tool(HOURS, {})])

    async def talk() -> list[tuple[str, str]]:
        await runtime.start()
        await runtime.open()
        opening = runtime.deliver_start_instruction()
        assert opening is not None
        await opening
        runtime.session.input_text("What are your opening hours?")
        await asyncio.sleep(20)
        said = [(item.role, item.content) for item in runtime.session.history]
        await runtime.aclose()
        return said

    said = run(talk())
    assert said[0][0] == "assistant"
    assert ("user", "What are your opening hours?") in said
    assert any(role == "assistant" and "nine to five" in text for role, text in said)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mode": "realtime"}, "has no realtime; mode realtime needs one"),
        ({"llm": None}, "has no llm"),
        ({"llm": {"provider": "nobody"}}, "No plugin"),
    ],
    ids=str,
)
def test_what_cannot_run_says_why(scripted: ScriptedLLM, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        CallRuntime(assistant(**change), text_only=True)


@pytest.mark.parametrize("content", [None, b"no sound"], ids=["missing", "broken"])
def test_a_call_goes_on_without_a_sound(
    scripted: ScriptedLLM, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "office.wav").write_bytes(content)

    async def open_it() -> bool:
        rooms = LocalRooms()
        room = await rooms.join("room", "agent", ParticipantKind.AGENT)
        sound = {"background_sound": {"enabled": True, "source": "office.wav"}}
        runtime = CallRuntime(assistant(interaction=sound), room=room, sounds=tmp_path)
        await runtime.start()
        await runtime.open()
        went_on = not runtime.session.closed
        await runtime.aclose()
        await rooms.aclose()
        return went_on

    assert run(open_it())
    assert "office.wav" in caplog.text


def test_sounds_that_are_missing_are_named(scripted: ScriptedLLM, tmp_path: Path) -> None:
    sounds = {
        "background_sound": {"enabled": True, "source": "office.wav"},
        "thinking_sound": {"enabled": True},
    }
    spoken_of = missing_sounds(assistant(interaction=sounds), tmp_path)
    assert [problem.field for problem in spoken_of] == ["interaction.background_sound.source"]
    off = {"background_sound": {"enabled": False, "source": "office.wav"}}
    assert missing_sounds(assistant(interaction=off), None) == []


def test_the_call_is_cut_only_after_the_agent_had_time_to_say_goodbye() -> None:
    plan = make_plan(assistant(interaction={"max_duration": {"seconds": 600}}), CallDirection.WEB)
    assert plan.limits.max_duration == 660
    assert plan.limits.no_rtp is not None
    assert plan.record
    assert not make_plan(assistant(recording=False), CallDirection.WEB).record
    typed = make_plan(assistant(), CallDirection.WEB, text_only=True)
    assert (typed.limits.no_rtp, typed.record) == (None, False)


@pytest.mark.parametrize(
    ("reason", "status", "end_reason"),
    [
        ("user_initiated", "completed", "agent_hangup"),
        ("agent_hangup", "completed", "agent_hangup"),
        ("participant_left", "completed", "caller_hangup"),
        ("room_closed", "completed", "room_closed"),
        ("shutdown", "completed", "shutdown"),
        ("error", "failed", "error"),
        ("transferred", "completed", "transferred"),
        ("silence_timeout", "completed", "silence_timeout"),
        ("max_duration", "completed", "max_duration"),
    ],
)
def test_how_a_conversation_ends_a_call(reason: str, status: str, end_reason: str) -> None:
    state, _ = begin(make_plan(assistant(), CallDirection.WEB), 0.0)
    for event in (AgentReady(), MediaReceived(), event_of_close(CloseReason(reason))):
        state, _ = step(state, event, 1.0)
    assert state.outcome is not None
    assert (state.outcome.status, state.outcome.end_reason) == (status, end_reason)


def test_every_end_of_a_conversation_ends_its_call() -> None:
    assert all(event_of_close(reason) for reason in CloseReason)


# -- what ends a turn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interaction", "expected"),
    [({}, "EnglishModel"), ({"turn_detection": "vad"}, "NoneType"), ({"turn_detection": "audio"}, "Ears")],
)
def test_the_document_says_what_ends_a_turn(
    interaction: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ears(AudioTurnDetector):
        async def score(self, audio: AudioFrame) -> float | None:
            return None

    monkeypatch.setattr(smart_turn, "SmartTurn", Ears)
    document = parse(Assistant, LOCAL | {"interaction": interaction, "language": "en-GB"})
    session = CallRuntime(document, ANN).session
    assert type(session._detector).__name__ == expected
    assert session.options.language == "en-GB"


def test_nobody_is_asked_about_typed_turns() -> None:
    assert CallRuntime(parse(Assistant, LOCAL), ANN, text_only=True).session._detector is None


def test_calls_use_the_model_file_they_are_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    detector = CallRuntime(
        parse(Assistant, LOCAL), ANN, turn_detector=tmp_path / "own.onnx"
    ).session._detector
    assert isinstance(detector, EnglishModel)
    asyncio.run(detector.prewarm())
    assert "own.onnx" in caplog.text


def test_an_assistant_that_needs_the_audio_detector_is_not_saved_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("antiphon.plugins.smart_turn.network.find_spec", lambda _name: None)
    document = parse(Assistant, LOCAL | {"interaction": {"turn_detection": "audio"}})
    (problem,) = find_problems(document)
    assert problem.field == "interaction.turn_detection"
    assert "pip install --no-deps pipecat-ai" in problem.message
