"""OpenAI's realtime models, through their SDK, against a local server that speaks their protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openai")

from antiphon.audio import AudioFrame
from antiphon.models import registry
from antiphon.models.chat_context import ChatMessage, ToolCall
from antiphon.models.errors import (
    ConfigurationError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
)
from antiphon.models.realtime import (
    InputSpeechStarted,
    InputSpeechStopped,
    InputTranscription,
    RealtimeError,
    RealtimeGeneration,
    RealtimeSession,
)
from antiphon.models.tools import function_tool
from antiphon.plugins.openai import RealtimeModel
from antiphon.voice import Agent
from support.openai_realtime import RATE, OpenAIRealtimeServer, Reply, openai_realtime_server
from support.scripted import ScriptedTTS, ScriptedVAD, Speech, converse

LIMIT = 20.0


@function_tool
async def opening_hours(day: str) -> str:
    """When the shop is open."""
    return f"{day}: nine to five"


class Connected:
    """A session with what it told."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.events: list[Any] = []
        self.end: BaseException | None = None
        self.over = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self.session:
                self.events.append(event)
        except ProviderError as error:
            self.end = error
        finally:
            self.over.set()

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await self.session.aclose()


@asynccontextmanager
async def connected(
    server: OpenAIRealtimeServer, *, turn_detection: bool = False, **settings: Any
) -> AsyncIterator[Connected]:
    model = RealtimeModel(api_key=server.key, base_url=server.base_url, **settings)
    session = model.session(turn_detection=turn_detection)
    try:
        await session.connect()
        one = Connected(session)
        try:
            yield one
        finally:
            await one.aclose()
    finally:
        await session.aclose()
        await model.aclose()


async def collect(generation: RealtimeGeneration) -> tuple[str, float, list[ToolCall]]:
    text, seconds, calls = "", 0.0, []
    async for chunk in generation:
        text += chunk.delta
        seconds += chunk.audio.duration if chunk.audio is not None else 0.0
        calls += chunk.tool_calls or []
    return text, seconds, calls


async def until(true: Any) -> None:
    async with asyncio.timeout(5.0):
        while not true():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


def play(test: Any) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await test()

    asyncio.run(limited())


def test_an_utterance_is_written_down_and_answered() -> None:
    async def test() -> None:
        replies = [Reply("We open at nine.", seconds=0.5)]
        async with (
            openai_realtime_server(replies=replies, transcripts=["When do you open?"]) as server,
            connected(server, voice="cedar", language="en") as one,
        ):
            one.session.update("Be kind.", [opening_hours])
            one.session.push_audio(AudioFrame.silence(0.6, RATE))
            utterance = one.session.commit_audio()
            assert await collect(one.session.generate_reply()) == (
                "We open at nine.",
                pytest.approx(0.5),
                [],
            )
            assert one.events[-1] == InputTranscription(utterance, "When do you open?")
            assert one.events[0] == InputTranscription(utterance, "Whe", is_final=False)
            assert server.paths == ["/v1/realtime?model=gpt-realtime"]
            session = server.connections[0].session
            assert session["audio"]["input"]["turn_detection"] is None
            assert session["audio"]["input"]["transcription"]["language"] == "en"
            assert session["audio"]["output"]["voice"] == "cedar"
            assert session["instructions"] == "Be kind."
            assert [tool["name"] for tool in session["tools"]] == ["opening_hours"]
            assert server.connections[0].items[0]["seconds"] == pytest.approx(0.6)

    play(test)


def test_the_shortest_word_is_long_enough() -> None:
    async def test() -> None:
        async with openai_realtime_server(transcripts=["No."]) as server, connected(server) as one:
            one.session.push_audio(AudioFrame.silence(0.02, RATE))
            utterance = one.session.commit_audio()
            await until(lambda: InputTranscription(utterance, "No.") in one.events)

    play(test)


def test_its_own_detection_reports_and_never_answers() -> None:
    async def test() -> None:
        async with (
            openai_realtime_server(transcripts=["Hello."]) as server,
            connected(server, turn_detection=True) as one,
        ):
            detection = server.connections[0].session["audio"]["input"]["turn_detection"]
            assert not detection["create_response"]
            assert not detection["interrupt_response"]
            await server.connections[0].hear(1000, 2700)
            await until(lambda: len(one.events) == 4)
            started, stopped, _, heard = one.events
            assert started == InputSpeechStarted(1.0)
            assert isinstance(stopped, InputSpeechStopped)
            assert stopped.at == pytest.approx(2.2), "without the silence that it waited for"
            assert heard == InputTranscription(stopped.utterance, "Hello.")

    play(test)


def test_tools_and_what_the_model_did_not_hear() -> None:
    async def test() -> None:
        call = ("call_7", "opening_hours", '{"day": "today"}')
        async with (
            openai_realtime_server(replies=[Reply(calls=(call,)), Reply("Till five.")]) as server,
            connected(server, modalities=["text"]) as one,
        ):
            one.session.add_messages(
                [
                    ChatMessage(role="system", content="It is Monday."),
                    ChatMessage(role="user", content="Open?"),
                    ChatMessage(role="assistant", content="Let me see."),
                ]
            )
            _, _, calls = await collect(one.session.generate_reply(instructions="Be brief."))
            assert calls == [ToolCall(*call)]
            result = ChatMessage(role="tool", content="nine to five", tool_call_id="call_7")
            one.session.add_messages([result])
            text, seconds, _ = await collect(one.session.generate_reply(tool_choice="none"))
            assert (text, seconds) == ("Till five.", 0.0)
            kinds = [item.get("role") or item["type"] for item in server.connections[0].items]
            assert kinds == [
                "system",
                "user",
                "assistant",
                "function_call",
                "function_call_output",
                "assistant",
            ]
            asked = [event["response"] for event in server.of("response.create")]
            assert asked[0]["instructions"] == "Be brief."
            assert asked[1]["tool_choice"] == "none"
            assert not [event for event in one.events if isinstance(event, RealtimeError)]

    play(test)


def test_the_applications_words_leave_the_conversation_alone() -> None:
    async def test() -> None:
        async with (
            openai_realtime_server(replies=[Reply("Please hold the line.")]) as server,
            connected(server) as one,
        ):
            _, seconds, _ = await collect(one.session.speak("Please hold the line."))
            assert seconds == pytest.approx(0.5)
            assert server.of("response.create")[0]["response"]["instructions"].endswith(
                "Please hold the line."
            )
            assert server.connections[0].items == []

    play(test)


@pytest.mark.parametrize("modality", ["audio", "text"])
def test_the_server_keeps_what_was_heard_and_answers_one_at_a_time(modality: str) -> None:
    """The second reply is asked for at once; the first must be over and cut before."""

    async def test() -> None:
        long = Reply("One two three four five six seven eight.", seconds=4.0, pace=0.05)
        async with (
            openai_realtime_server(replies=[long, Reply("Yes?")]) as server,
            connected(server, modalities=[modality]) as one,
        ):
            first = one.session.generate_reply()
            heard = [await anext(first.__aiter__())]
            first.cut(0.3, "One")
            one.session.add_messages([ChatMessage(role="user", content="Stop!")])
            assert heard[0].delta == "One"
            assert (await collect(one.session.generate_reply()))[0] == "Yes?"
            items = server.connections[0].items
            assert [item["role"] for item in items] == ["assistant", "user", "assistant"]
            if modality == "audio":
                assert items[0]["seconds"] == pytest.approx(0.3)
            else:
                assert items[0]["content"] == [{"type": "output_text", "text": "One"}]
            assert not [event for event in one.events if isinstance(event, RealtimeError)]

    play(test)


def test_a_reply_that_nobody_heard_is_forgotten() -> None:
    async def test() -> None:
        async with (
            openai_realtime_server(replies=[Reply("Never heard.")]) as server,
            connected(server) as one,
        ):
            done = one.session.generate_reply()
            await collect(done)
            done.cut(0.0, "")
            given_up = one.session.generate_reply()
            given_up.cut(0.0, "")
            await until(lambda: server.of("response.cancel") and server.of("conversation.item.delete"))
            await until(lambda: server.connections[0].active is None)
            await until(lambda: not server.connections[0].items)

    play(test)


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [("rate_limit_exceeded", 429, True), ("insufficient_quota", 429, False), ("server_error", None, True)],
)
def test_a_response_that_fails_says_why(code: str, status: int | None, retryable: bool) -> None:
    async def test() -> None:
        async with (
            openai_realtime_server(replies=[Reply(error=code), Reply("Better.")]) as server,
            connected(server) as one,
        ):
            with pytest.raises(ProviderError, match=code) as caught:
                await collect(one.session.generate_reply())
            assert caught.value.retryable is retryable
            assert getattr(caught.value, "status", None) == status
            assert (await collect(one.session.generate_reply()))[0] == "Better."

    play(test)


@pytest.mark.parametrize(
    ("server_settings", "model_settings", "error", "words", "retryable"),
    [
        ({}, {"api_key": "wrong"}, ProviderStatusError, "401; check OPENAI_API_KEY", False),
        ({"refuse": HTTPStatus.TOO_MANY_REQUESTS}, {}, ProviderStatusError, "429", True),
        ({"refuse": HTTPStatus.SERVICE_UNAVAILABLE}, {}, ProviderStatusError, "503", True),
        ({}, {"voice": "nobody"}, ProviderStatusError, "nobody", False),
        ({}, {"base_url": "http://127.0.0.1:9/v1"}, ProviderConnectionError, "no connection", True),
    ],
)
def test_a_connection_that_cannot_be_made_says_why(
    server_settings: dict[str, Any],
    model_settings: dict[str, Any],
    error: type[ProviderError],
    words: str,
    retryable: bool,
) -> None:
    async def test() -> None:
        async with openai_realtime_server(**server_settings) as server:
            model = RealtimeModel(**{"api_key": server.key, "base_url": server.base_url, **model_settings})
            session = model.session(turn_detection=False)
            with pytest.raises(error, match=words) as caught:
                await session.connect()
            assert caught.value.retryable is retryable
            await session.aclose()
            await model.aclose()

    play(test)


@pytest.mark.parametrize("how", ["dropped", "closed", "expired"])
def test_a_session_that_is_over_says_so_and_fails_its_replies(how: str) -> None:
    async def test() -> None:
        long = Reply("One two three four five.", pace=0.5)
        async with openai_realtime_server(replies=[long]) as server, connected(server) as one:
            generation = one.session.generate_reply()
            await anext(generation.__aiter__())
            connection = server.connections[0]
            if how == "dropped":
                connection.websocket.transport.abort()
            elif how == "closed":
                await connection.websocket.close(1001, "going away")
            else:
                await connection.refuse("session_expired", {}, "Your session hit the maximum duration.")
            await one.over.wait()
            if how == "expired":
                assert "maximum duration" in str(one.end)
            with pytest.raises(ProviderConnectionError) as caught:
                await collect(generation)
            assert caught.value.retryable

    play(test)


@pytest.mark.parametrize("voice", [None, ScriptedTTS(length=0.4)], ids=["realtime", "pipeline"])
def test_a_whole_conversation_outlives_its_connection(voice: ScriptedTTS | None) -> None:
    """Two turns in real time, with the connection lost between them."""

    async def test() -> None:
        speeches = [Speech(0.2, 0.5), Speech(1.6, 1.9)]
        async with openai_realtime_server(
            replies=[Reply("Hello to you.", seconds=0.4), Reply("It is nine.", seconds=0.4)],
            transcripts=["Hello.", "What time is it?"],
        ) as server:
            model = RealtimeModel(
                api_key=server.key,
                base_url=server.base_url,
                modalities=["audio" if voice is None else "text"],
            )
            record = await converse(
                realtime=model,
                vad=ScriptedVAD(speeches),
                tts=voice,
                agent=Agent(instructions="Be kind.", tools=[opening_hours]),
                min_endpointing_delay=0.25,
                script=[(1.4, lambda _: server.connections[0].websocket.transport.abort())],
                until=3.1,
            )
            await model.aclose()
        assert record.log() == [
            ("user", "Hello."),
            ("assistant", "Hello to you."),
            ("user", "What time is it?"),
            ("assistant", "It is nine."),
        ]
        first, second = server.connections
        assert [item["role"] for item in first.items] == ["user", "assistant"]
        assert [item["role"] for item in second.items] == ["user", "assistant", "user", "assistant"]
        assert second.session["instructions"] == "Be kind."
        if voice is None:
            assert record.speaker is not None
            assert np.array_equal(record.speaker.audio[:9600], np.arange(1, 9601, dtype=np.int16))

    play(test)


def test_the_name_finds_it_and_a_missing_key_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTIPHON_MODELS", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY is not set"):
        registry.resolve_realtime("openai/gpt-realtime")
    assert "openai" not in registry.available()["realtime"]
    model = registry.resolve_realtime("openai/gpt-realtime:cedar", api_key="sk", modalities=["text"])
    assert model.label == "openai/gpt-realtime"
    assert not model.capabilities.audio_output
    for settings in ({"modalities": ["video"]}, {"noise_reduction": "some"}, {"colour": "red"}):
        with pytest.raises(ConfigurationError):
            registry.resolve_realtime("openai/gpt-realtime", api_key="sk", **settings)
    monkeypatch.setenv("OPENAI_API_KEY", "sk")
    assert "openai" in registry.available()["realtime"]
    monkeypatch.setenv("ANTIPHON_MODELS", "local")
    with pytest.raises(ConfigurationError, match="no realtime model on this machine"):
        registry.resolve_realtime("openai/gpt-realtime")
