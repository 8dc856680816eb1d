"""Agents' programs in the terminal: typed, and with a sound card."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import time
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.cli import sound_card
from antiphon.cli.sound_card import BLOCK, LOUDSPEAKER_RATE, MICROPHONE_RATE, SoundCard, list_devices
from antiphon.cli.text_console import text_console
from antiphon.cli.voice_console import voice_console
from antiphon.models.chat_context import ToolCall
from antiphon.models.errors import AntiphonError, ConfigurationError
from antiphon.models.tools import function_tool
from antiphon.voice import Agent, AgentSession, RoomOptions
from antiphon.worker import JobContext, WorkerOptions, get_job_context
from support.scripted import Answer, ScriptedLLM, ScriptedSTT, ScriptedTTS, ScriptedVAD, Speech, transcripts

ANSWERS = {"Bye": Answer("See you.", calls=[ToolCall("1", "leave")]), "Two": Answer("Second answer.")}


class Porter(Agent):
    def __init__(self, greeting: str = "") -> None:
        super().__init__()
        self.greeting = greeting

    async def on_enter(self) -> None:
        if self.greeting:
            self.session.say(self.greeting)

    @function_tool
    async def leave(self) -> None:
        """End the call."""
        get_job_context().shutdown("the agent left")


def porter(greeting: str = "", **session: Any) -> WorkerOptions:
    async def entrypoint(ctx: JobContext) -> None:
        session.setdefault("tts", ScriptedTTS(length=30.0))  # so long that a test would show it being spoken
        session.setdefault("turn_detection", "vad")  # one scripted word is a turn
        agent: AgentSession[None] = AgentSession(llm=ScriptedLLM(ANSWERS), **session)
        await agent.start(Porter(greeting), room=ctx.room)

    return WorkerOptions(entrypoint, agent_name="porter")


def type_lines(options: WorkerOptions, *lines: str) -> int:
    return asyncio.run(text_console(options, io.StringIO("".join(f"{line}\n" for line in lines))))


def test_each_line_is_answered_before_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert type_lines(porter("Good day."), "One", "", "Two") == 0
    assert capsys.readouterr().out.splitlines() == [
        "porter  Good day.",
        "   you  One",
        "porter  This is the whole answer to what you said.",
        "   you  Two",
        "porter  Second answer.",
    ]


def test_the_agent_may_end_the_call(capsys: pytest.CaptureFixture[str]) -> None:
    assert type_lines(porter(), "Bye", "Two") == 0
    out = capsys.readouterr().out
    assert "The call has ended: the agent left." in out
    assert "Two" not in out


def test_an_agent_that_takes_no_text_is_told_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.cli.text_console.DELIVERY_LIMIT", 0.1)

    async def entrypoint(ctx: JobContext) -> None:
        session: AgentSession[None] = AgentSession(llm=ScriptedLLM())
        await session.start(Agent(), room=ctx.room, room_options=RoomOptions(text_input=False))

    assert type_lines(WorkerOptions(entrypoint), "One") == 0
    assert "does not take what is typed" in capsys.readouterr().out


async def _misconfigured(ctx: JobContext) -> None:
    raise ConfigurationError("no key")


async def _fails(ctx: JobContext) -> None:
    raise ZeroDivisionError


async def _fails_later(ctx: JobContext) -> None:
    session: AgentSession[None] = AgentSession(llm=ScriptedLLM())
    await session.start(Agent(), room=ctx.room)
    raise ZeroDivisionError("later")


def test_an_agent_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="no key"):
        type_lines(WorkerOptions(_misconfigured), "One")
    with pytest.raises(AntiphonError, match="the log says why"):
        type_lines(WorkerOptions(_fails), "One")
    assert type_lines(WorkerOptions(_fails_later), "One") == 1
    assert "the agent failed: later" in capsys.readouterr().err


# -- the sound card --------------------------------------------------------------------------------------------------


class PortAudioError(Exception):
    pass


class FakeStream:
    """A device that calls back every 20 ms from a thread of its own, as PortAudio does."""

    def __init__(self, fill: Callable[[Any], None], **options: Any) -> None:
        self._fill, self.options = fill, options
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def close(self) -> None:
        assert self._stop.is_set()

    def _run(self) -> None:
        size = self.options["blocksize"]
        while not self._stop.wait(BLOCK):
            block = np.zeros((size, 1), dtype=np.int16)
            self._fill(block)
            self.options["callback"](block, size, None, None)
            self.after(block)

    def after(self, block: Any) -> None: ...


class FakeSoundDevice(types.ModuleType):
    """What the `sounddevice` module offers, with a microphone that hums and a loudspeaker that remembers."""

    PortAudioError = PortAudioError

    def __init__(self, *, missing: str = "") -> None:
        super().__init__("sounddevice")
        self.missing = missing
        self.played: list[np.ndarray[Any, Any]] = []
        self.opened: list[dict[str, Any]] = []

    def InputStream(self, **options: Any) -> FakeStream:  # noqa: N802 - the package's name
        return self._open("input", lambda block: block.fill(2000), lambda _block: None, options)

    def OutputStream(self, **options: Any) -> FakeStream:  # noqa: N802 - the package's name
        return self._open(
            "output", lambda _block: None, lambda b: self.played.append(b[:, 0].copy()), options
        )

    def _open(self, kind: str, fill: Any, after: Any, options: dict[str, Any]) -> FakeStream:
        if self.missing == kind:
            raise PortAudioError("Error querying device -1")
        self.opened.append(options)
        stream = FakeStream(fill, **options)
        stream.after = after  # type: ignore[method-assign]
        return stream

    def query_devices(self) -> list[dict[str, int]]:
        return [{"max_input_channels": 1, "max_output_channels": 0}]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeSoundDevice:
    fake = FakeSoundDevice()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_a_person_speaks_and_hears_through_the_sound_card(
    device: FakeSoundDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    speeches = [Speech(0.3, 0.8, "Two", 0.9), Speech(2.5, 2.9, "Bye", 3.0)]
    stt = ScriptedSTT(transcripts(speeches))
    tts = ScriptedTTS(first=0.05, length=0.5)
    options = porter(stt=stt, vad=ScriptedVAD(speeches), tts=tts)
    assert asyncio.run(voice_console(options, input_device="3", output_device="USB")) == 0
    out = capsys.readouterr().out
    assert "Second answer." in out
    assert "The call has ended: the agent left." in out
    assert "--headphones" in out
    assert stt.streams[0].seconds > 2
    heard = np.concatenate(device.played)
    # A card that a busy machine leaves without sound for a moment plays silence, and then goes on.
    assert np.array_equal(heard[heard != 0][: tts.audio.size], tts.audio)
    assert [stream["device"] for stream in device.opened] == [3, "USB"]


@pytest.mark.parametrize("headphones", [False, True])
def test_without_headphones_the_microphone_is_closed_while_the_agent_speaks(
    device: FakeSoundDevice, headphones: bool
) -> None:
    levels: list[tuple[float, bool]] = []

    class Listens(ScriptedSTT):
        def stream(self) -> Any:
            stream = super().stream()
            stream.push_frame = lambda f: levels.append((time.monotonic(), bool(f.samples.any())))  # type: ignore[method-assign]
            return stream

    tts = ScriptedTTS(first=0.05, length=1.0)

    async def entrypoint(ctx: JobContext) -> None:
        session: AgentSession[None] = AgentSession(
            llm=ScriptedLLM(), stt=Listens([]), vad=ScriptedVAD([]), tts=tts
        )
        await session.start(Agent(), room=ctx.room)
        await asyncio.sleep(0.5)
        await session.say("One second.")
        await asyncio.sleep(0.5)
        ctx.shutdown()

    asyncio.run(voice_console(WorkerOptions(entrypoint), headphones=headphones))
    silent = [not loud for _, loud in levels]
    if headphones:
        assert not any(silent)
    else:
        assert 0.9 < sum(silent) * BLOCK < 1.5
        assert not silent[0]
        assert not silent[-1]


@pytest.mark.parametrize(
    ("missing", "message"),
    [("input", "microphone cannot be opened.*--input-device"), ("output", "loudspeaker.*--output-device")],
)
def test_a_missing_device_is_said_so(monkeypatch: pytest.MonkeyPatch, missing: str, message: str) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", FakeSoundDevice(missing=missing))
    with pytest.raises(ConfigurationError, match=f"(?s){message}.*console --text"):
        asyncio.run(voice_console(porter()))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("no module"), r"pip install \"antiphon\[console\]\".*console --text"),
        (OSError("PortAudio library not found"), "apt-get install libportaudio2.*console --text"),
    ],
)
def test_a_missing_library_is_said_so(
    monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(_name: str) -> None:
        raise error

    monkeypatch.setattr(sound_card.importlib, "import_module", fail)
    with pytest.raises(ConfigurationError, match=message):
        list_devices()


def test_devices_are_found(device: FakeSoundDevice) -> None:
    assert list_devices() == (True, False)


def test_late_frames_leave_no_gap_and_short_words_are_not_kept_back(device: FakeSoundDevice) -> None:
    async def scene() -> None:
        card = SoundCard(lambda _frame: None, input_device=None, output_device=None)
        frame = AudioFrame(np.arange(1, 481, dtype=np.int16), LOUDSPEAKER_RATE)
        blocks: list[Any] = []

        def tick() -> None:
            block = np.zeros((480, 1), dtype=np.int16)
            card._fill(block, 480, None, None)
            blocks.append(bool(block.any()))

        card.play(frame)
        tick()  # waits for more
        card.play(frame)
        tick()
        card.play(frame)
        tick()  # 60 ms have gathered
        tick()  # no frame came in time: there is one in hand
        card.play(frame)
        tick()
        tick()
        assert blocks == [False, False, True, True, True, True]
        blocks.clear()
        tick()
        card.play(frame)  # a word of 20 ms
        tick()
        tick()
        assert blocks == [False, False, True]
        assert not card.playing

    asyncio.run(scene())
    assert MICROPHONE_RATE == 16000
