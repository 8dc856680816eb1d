"""What a session does when providers and tools fail: it says so, goes on or closes, and is never silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.audio import AudioFrame
from antiphon.models.chat_context import ToolCall
from antiphon.models.errors import ProviderError, ProviderStatusError
from antiphon.models.llm import ChatChunk
from antiphon.models.stt import STT, RecognizeStream, SpeechEvent, SpeechEventType, STTCapabilities
from antiphon.models.tools import function_tool
from antiphon.models.tts import ChunkedStream, SynthesizedAudio
from antiphon.voice import Agent, CloseReason
from antiphon.voice.options import FAREWELL
from support.scripted import (
    RATE,
    Answer,
    Recording,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    Speech,
    converse,
    transcripts,
)
from support.virtual_time import run

QUESTION = "What time is it?"
TURN = Speech(0.5, 2.5, QUESTION, 2.7)
AGAIN = Speech(8.5, 9.5, "Hello?", 9.7)


def said(record: Recording) -> list[str]:
    assert record.tts is not None
    return [text for _, text in record.tts.texts]


def sources(record: Recording) -> list[str]:
    return [event.source for _, event in record.all("error")]


class HangsMidStream(ScriptedLLM):
    def chat(self, *args: Any, **kwargs: Any) -> Any:
        class Stream:
            async def __aiter__(self) -> AsyncIterator[ChatChunk]:
                await asyncio.sleep(0.1)
                yield ChatChunk(delta="It is exactly")
                await asyncio.Event().wait()

            async def aclose(self) -> None: ...

        return Stream()


def test_an_agents_own_recogniser_that_dies_hears_the_utterance_again() -> None:
    class Own(Agent):
        heard: list[float] = []  # noqa: RUF012

        async def stt_node(self, audio: Any, model_settings: Any) -> AsyncIterator[SpeechEvent]:
            self.heard.append(0.0)
            async for frame in audio:
                self.heard[-1] += frame.duration
                if len(self.heard) == 1 and self.heard[0] > 1.5:
                    raise ProviderError("connection lost")
                if len(self.heard) == 2 and abs(self.heard[1] - 2.7) < 0.01:
                    yield SpeechEvent(SpeechEventType.FINAL, QUESTION)

    record = run(converse([TURN], until=8, agent=Own(instructions="")))
    assert Own.heard[1] > 6.0  # all since before the speech, and what came after
    assert record.log()[0] == ("user", QUESTION)


def test_a_model_that_raises_is_apologised_for() -> None:
    refused = ScriptedLLM(Answer(error=ProviderStatusError("overloaded", status=529)))
    record = run(converse([TURN], until=9, llm=refused))
    assert "trouble" in said(record)[0]
    assert sources(record) == ["llm"]
    assert len(record.playouts) == 1
    assert len(record.times("close")) == 1


def test_a_model_that_hangs_mid_stream_is_apologised_for() -> None:
    record = run(converse([TURN], until=20, llm=HangsMidStream()))
    assert said(record)[0].startswith("It is exactly")
    assert "trouble" in " ".join(said(record))
    assert record.history[1].content.startswith("It is exactly")


def test_an_empty_answer_is_a_failure() -> None:
    record = run(converse([TURN], until=9, llm=ScriptedLLM(Answer(text=""))))
    assert "trouble" in said(record)[0]


def test_too_many_failures_end_in_a_farewell() -> None:
    refused = ScriptedLLM(Answer(error=ProviderError("down")))
    turns = [Speech(start, start + 1, f"Question {start}?", start + 1.2) for start in (1.0, 8.0, 15.0)]
    record = run(converse(turns, until=40, llm=refused, close=False))
    assert "Goodbye" in said(record)[-1]
    (closed,) = record.all("close")
    assert closed[1].reason is CloseReason.ERROR
    assert isinstance(closed[1].error, ProviderError)
    assert record.playouts[-1][1] <= closed[0] + 0.01  # the farewell was heard to its end


class Voice(ScriptedTTS):
    """Fails in the way of `behaviour`."""

    def __init__(self, behaviour: str) -> None:
        super().__init__()
        self.behaviour = behaviour

    def synthesize(self, text: str) -> ChunkedStream:
        self.texts.append((asyncio.get_running_loop().time(), text))
        return _FailingSpeech(self.behaviour)


class _FailingSpeech(ChunkedStream):
    def __init__(self, behaviour: str) -> None:
        self._behaviour = behaviour

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        if self._behaviour == "raises":
            raise ProviderError("no such voice")
        if self._behaviour == "hangs":
            await asyncio.Event().wait()
        if self._behaviour == "hangs mid-stream":
            yield SynthesizedAudio(AudioFrame.silence(0.5, RATE), "Half")
            await asyncio.Event().wait()


@pytest.mark.parametrize("behaviour", ["raises", "hangs", "empty", "hangs mid-stream"])
def test_a_failing_voice_is_replaced_by_the_built_in_one(behaviour: str, monkeypatch: Any) -> None:
    spare = ScriptedTTS()
    monkeypatch.setattr("antiphon.models.registry.resolve_tts", lambda name: spare)
    record = run(converse([TURN], until=30, tts=Voice(behaviour)))
    assert sources(record) == ["tts"]
    assert "trouble" in spare.texts[0][1]
    assert record.playouts, "the apology was heard"
    assert len(record.times("close")) == 1


def test_without_another_voice_the_text_still_arrives(monkeypatch: Any) -> None:
    from antiphon.models.errors import ConfigurationError

    def none_left(name: str) -> Any:
        raise ConfigurationError("not installed")

    monkeypatch.setattr("antiphon.models.registry.resolve_tts", none_left)
    record = run(converse([TURN, AGAIN], until=20, tts=Voice("raises")))
    assert sources(record) == ["tts", "tts"]
    assert record.commits[0] < record.commits[1]


class DeadSTT(STT):
    """Never hears anything; each stream fails after `life` seconds, or stays silent."""

    def __init__(self, life: float | None) -> None:
        super().__init__(capabilities=STTCapabilities(streaming=True))
        self.life, self.opened = life, 0

    async def recognize(self, audio: AudioFrame) -> str:
        raise NotImplementedError

    def stream(self) -> RecognizeStream:
        self.opened += 1
        return _DeadStream(self.life)


class _DeadStream(RecognizeStream):
    def __init__(self, life: float | None) -> None:
        self._life = life

    def push_frame(self, frame: AudioFrame) -> None: ...
    def end_input(self) -> None: ...

    async def __aiter__(self) -> AsyncIterator[SpeechEvent]:
        if self._life is None:
            await asyncio.Event().wait()
        await asyncio.sleep(self._life or 0)
        raise ProviderError("connection refused")
        yield  # a generator, though it never gives anything


def test_a_dead_recogniser_ends_in_a_farewell() -> None:
    stt = DeadSTT(0.0)
    record = run(converse([TURN], until=60, stt=stt, close=False))
    assert stt.opened == 6
    assert " ".join(said(record)) == FAREWELL
    assert record.all("close")[0][1].reason is CloseReason.ERROR


def test_a_silent_recogniser_is_reopened() -> None:
    stt = DeadSTT(None)
    record = run(converse([TURN, Speech(9.0, 11.0), Speech(18.0, 20.0)], until=40, stt=stt))
    assert stt.opened == 2
    assert sources(record) == ["stt"]


def test_an_interim_transcript_counts_when_the_final_one_does_not_come() -> None:
    speech = Speech(0.5, 2.5, interims=[(1.5, "what time"), (2.2, "what time is it")])
    record = run(converse([speech], until=12))
    assert record.log()[0] == ("user", "what time is it")


def tool_agent(behaviour: str) -> Agent:
    class WithTool(Agent):
        @function_tool
        async def lookup(self) -> str:
            """Look it up."""
            if behaviour == "raises":
                raise OSError("disk on fire")
            await asyncio.Event().wait()
            return ""

    return WithTool(instructions="")


@pytest.mark.parametrize(
    ("behaviour", "result"), [("raises", "internal reason"), ("never returns", "60 seconds")]
)
def test_a_tool_that_fails_is_told_to_the_model(behaviour: str, result: str) -> None:
    llm = ScriptedLLM({QUESTION: Answer("", calls=[ToolCall("call_1", "lookup")])})
    record = run(converse([TURN], until=75, llm=llm, agent=tool_agent(behaviour)))
    (tool,) = [item for item in record.history if item.role == "tool"]
    assert result in tool.content
    assert record.history[-1].role == "assistant"
    assert len(record.playouts) == 1


def test_an_agent_whose_hooks_raise_does_not_end_the_session() -> None:
    class Careless(Agent):
        async def on_enter(self) -> None:
            raise KeyError("no greeting")

        async def on_user_turn_completed(self, turn_ctx: Any, new_message: Any) -> None:
            raise ValueError("no hook")

        async def on_exit(self) -> None:
            await asyncio.Event().wait()

    record = run(converse([TURN], until=9, agent=Careless(instructions="")))
    assert len(record.playouts) == 1
    assert len(record.times("close")) == 1
    assert set(sources(record)) == {"session", "on_user_turn_completed", "on_exit"}


def test_muted_microphone_ends_the_speech() -> None:
    """The stream stops in the middle of a word: the user does not count as speaking for ever."""

    async def play() -> None:
        from antiphon.rooms.playback import PlaybackBuffer
        from antiphon.voice import AgentSession
        from support.scripted import ScriptedVAD

        session: AgentSession[None] = AgentSession(
            vad=ScriptedVAD([Speech(0.5, 60.0)]),
            stt=ScriptedSTT(transcripts([Speech(0.5, 1.0, QUESTION, 1.2)])),
            llm=ScriptedLLM(),
            tts=ScriptedTTS(),
        )
        await session.start(Agent(), audio_output=PlaybackBuffer(RATE))
        for _ in range(50):
            session.push_audio(AudioFrame.silence(0.02, 16000))
            await asyncio.sleep(0.02)
        await asyncio.sleep(3.0)
        assert session.user_state == "silent"
        assert session.history[0].content == QUESTION
        await session.aclose()

    run(play())
