"""Google's realtime models, through their SDK, against a local server that speaks the protocol of the Gemini Live API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("google.genai")

from antiphon.audio import AudioFrame
from antiphon.models import registry
from antiphon.models.chat_context import ChatMessage, ToolCall
from antiphon.models.errors import (
    ConfigurationError,
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
)
from antiphon.models.realtime import InputTranscription, RealtimeGeneration, RealtimeSession
from antiphon.models.tools import function_tool
from antiphon.plugins.google import RealtimeModel
from antiphon.voice import Agent
from support.certificates import Certificate, make_certificate
from support.gemini_live import GeminiLiveServer, Reply, gemini_live_server
from support.scripted import ScriptedTTS, ScriptedVAD, Speech, converse

LIMIT = 20.0
WRITES = "gemini-live-2.5-flash-preview"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    folder: Path = tmp_path_factory.mktemp("tls")
    return make_certificate(folder, "127.0.0.1")


@function_tool
async def opening_hours(day: str) -> str:
    """When the shop is open."""
    return f"{day}: nine to five"


def model_of(server: GeminiLiveServer, certificate: Certificate, **settings: Any) -> RealtimeModel:
    given = {"api_key": server.key, "base_url": server.base_url, **settings}
    return RealtimeModel(ssl_context=certificate.client_context(), **given)


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


@asynccontextmanager
async def connected(model: RealtimeModel, instructions: str = "Be kind.") -> AsyncIterator[Connected]:
    session = model.session(turn_detection=False, instructions=instructions, tools=[opening_hours])
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


def speech(seconds: float) -> AudioFrame:
    return AudioFrame.silence(seconds, 16000)


def play(test: Any) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await test()

    asyncio.run(limited())


def test_an_utterance_is_answered_and_written_down(certificate: Certificate) -> None:
    async def test() -> None:
        replies = [Reply("We open at nine.")]
        async with (
            gemini_live_server(
                certificate.server_context(), replies=replies, transcripts=["When do you open?"]
            ) as server,
            connected(model_of(server, certificate, voice="Kore")) as one,
        ):
            one.session.push_audio(speech(0.4))
            one.session.push_audio(speech(0.2))
            utterance = one.session.commit_audio()
            text, seconds, calls = await collect(one.session.generate_reply())
            assert (text, calls) == ("We open at nine.", [])
            assert seconds == pytest.approx(0.5)
            assert one.events[-1] == InputTranscription(utterance, "When do you open?")
            (connection,) = server.connections
            assert connection.context == [("audio", "0.60"), ("model", "We open at nine.")]
            setup = connection.setup
            assert setup["realtimeInputConfig"]["automaticActivityDetection"]["disabled"] is True
            assert setup["systemInstruction"]["parts"][0]["text"] == "Be kind."
            assert setup["tools"][0]["functionDeclarations"][0]["name"] == "opening_hours"
            assert "Kore" in str(setup["generationConfig"]["speechConfig"])

    play(test)


def test_tools_go_on_where_they_were_asked_for(certificate: Certificate) -> None:
    async def test() -> None:
        replies = [Reply(calls=(("call_7", "opening_hours", {"day": "today"}),)), Reply("Till five.")]
        async with (
            gemini_live_server(certificate.server_context(), replies=replies) as server,
            connected(model_of(server, certificate, model=WRITES, modalities=["text"])) as one,
        ):
            one.session.add_messages([ChatMessage(role="user", content="Open?")])
            _, _, calls = await collect(one.session.generate_reply())
            assert calls == [ToolCall("call_7", "opening_hours", '{"day": "today"}')]
            one.session.add_messages(
                [ChatMessage(role="tool", content="nine to five", tool_call_id="call_7")]
            )
            assert await collect(one.session.generate_reply()) == ("Till five.", 0.0, [])
            assert server.connections[0].context == [
                ("user", "Open?"),
                ("result", "nine to five"),
                ("model", "Till five."),
            ]

    play(test)


def test_a_result_that_nobody_waits_for_any_more_is_told(certificate: Certificate) -> None:
    async def test() -> None:
        replies = [Reply(calls=(("call_7", "opening_hours", {"day": "today"}),))]
        async with (
            gemini_live_server(certificate.server_context(), replies=replies) as server,
            connected(model_of(server, certificate)) as one,
        ):
            await collect(one.session.generate_reply())
            one.session.push_audio(speech(0.5))
            one.session.commit_audio()
            one.session.add_messages(
                [ChatMessage(role="tool", content="nine to five", tool_call_id="call_7")]
            )
            assert (await collect(one.session.generate_reply()))[0] == "Yes."
            (connection,) = server.connections
            assert connection.cancelled == ["call_7"]
            told = [text for role, text in connection.context if role == "user"]
            assert any("nine to five" in text for text in told)

    play(test)


def test_an_opening_and_other_words_of_the_application(certificate: Certificate) -> None:
    async def test() -> None:
        async with (
            gemini_live_server(certificate.server_context(), replies=[Reply("Hello Ann.")]) as server,
            connected(model_of(server, certificate)) as one,
        ):
            opening = one.session.generate_reply(instructions="Be kind.\n\nGreet Ann.")
            assert (await collect(opening))[0] == "Hello Ann."
            server.replies.append(Reply("Please hold."))
            _, seconds, _ = await collect(one.session.speak("Please hold."))
            assert seconds == pytest.approx(0.5)
            conversation, beside = server.connections
            assert conversation.context == [("user", "[Greet Ann.]"), ("model", "Hello Ann.")]
            assert beside.context == [("user", "Please hold."), ("model", "Please hold.")]
            server.replies.append(Reply("One two three four five.", pace=0.5))
            given_up = one.session.speak("One two three four five.")
            await anext(given_up.__aiter__())
            given_up.cancel()
            await asyncio.wait_for(server.connections[2].websocket.wait_closed(), 1.5)
            assert "read texts aloud" in beside.setup["systemInstruction"]["parts"][0]["text"]

    play(test)


def test_an_interruption_silences_the_model_and_tells_it_what_was_heard(certificate: Certificate) -> None:
    async def test() -> None:
        long = Reply("One two three four five six.", seconds=4.0, pace=0.3)
        async with (
            gemini_live_server(certificate.server_context(), replies=[long, Reply("Yes?")]) as server,
            connected(model_of(server, certificate)) as one,
        ):
            first = one.session.generate_reply()
            await anext(first.__aiter__())
            one.session.push_audio(speech(0.5))
            first.cut(0.3, "One")
            one.session.commit_audio()
            assert (await collect(one.session.generate_reply()))[0] == "Yes?"
            (connection,) = server.connections
            assert connection.context[0] == ("user", "[Go on.]")
            assert 'heard only: "One"' in connection.context[1][1]
            assert connection.context[2:] == [("audio", "0.50"), ("model", "Yes?")]

    play(test)


@pytest.mark.parametrize(
    ("server_settings", "model_settings", "error", "words", "retryable"),
    [
        ({}, {"api_key": "wrong"}, ProviderStatusError, "check GOOGLE_API_KEY", False),
        ({"close_with": (1008, "models/x is not found")}, {}, ProviderStatusError, "not found", False),
        ({"close_with": (1011, "You exceeded your current quota")}, {}, ProviderStatusError, "quota", True),
        ({"close_with": (1011, "Internal error")}, {}, ProviderConnectionError, "Internal error", True),
        ({}, {"base_url": "https://127.0.0.1:9/"}, ProviderConnectionError, "no connection", True),
    ],
)
def test_a_connection_that_cannot_be_made_says_why(
    certificate: Certificate,
    server_settings: dict[str, Any],
    model_settings: dict[str, Any],
    error: type[ProviderError],
    words: str,
    retryable: bool,
) -> None:
    async def test() -> None:
        async with gemini_live_server(certificate.server_context(), **server_settings) as server:
            model = model_of(server, certificate, **model_settings)
            session = model.session(turn_detection=False)
            with pytest.raises(error, match=words) as caught:
                await session.connect()
            assert caught.value.retryable is retryable
            with pytest.raises(error):
                await collect(session.speak("Hello."))
            await session.aclose()
            await model.aclose()

    play(test)


@pytest.mark.parametrize("how", ["dropped", "expired"])
def test_a_session_that_is_over_says_so_and_fails_its_replies(certificate: Certificate, how: str) -> None:
    async def test() -> None:
        long = Reply("One two three four five.", pace=0.5)
        async with (
            gemini_live_server(certificate.server_context(), replies=[long]) as server,
            connected(model_of(server, certificate)) as one,
        ):
            generation = one.session.generate_reply()
            await anext(generation.__aiter__())
            websocket = server.connections[0].websocket
            if how == "dropped":
                websocket.transport.abort()
            else:
                await server.connections[0].send(goAway={"timeLeft": "1s"})
                await websocket.close(1008, "The session duration limit was reached")
            await one.over.wait()
            assert isinstance(one.end, ProviderConnectionError)
            assert one.end.retryable
            with pytest.raises(ProviderConnectionError):
                await collect(generation)

    play(test)


@pytest.mark.parametrize("voice", [None, ScriptedTTS(length=0.4)], ids=["realtime", "pipeline"])
def test_a_whole_conversation_outlives_its_connection(
    certificate: Certificate, voice: ScriptedTTS | None
) -> None:
    """Two turns in real time, with the connection lost between them."""

    async def test() -> None:
        speeches = [Speech(0.2, 0.5), Speech(1.6, 1.9)]
        async with gemini_live_server(
            certificate.server_context(),
            replies=[Reply("Hello to you.", seconds=0.4), Reply("It is nine.", seconds=0.4)],
            transcripts=["Hello.", "What time is it?"],
        ) as server:
            settings: dict[str, Any] = {"model": WRITES, "modalities": ["text"]} if voice else {}
            model = model_of(server, certificate, **settings)
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
        assert [role for role, _ in first.context] == ["audio", "model"]
        assert second.context[:2] == [("user", "Hello."), ("model", "Hello to you.")]
        assert [role for role, _ in second.context[2:]] == ["audio", "model"]
        if voice is None:
            assert record.speaker is not None
            assert np.array_equal(record.speaker.audio[:9600], np.arange(1, 9601, dtype=np.int16))

    play(test)


def test_the_name_finds_it_and_what_it_cannot_do_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTIPHON_MODELS", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="GOOGLE_API_KEY is not set"):
        registry.resolve_realtime("google/gemini-live")
    assert "google" not in registry.available()["realtime"]
    model = registry.resolve_realtime(f"google/{WRITES}:Kore", api_key="k", modalities=["text"])
    assert model.label == f"google/{WRITES}"
    with pytest.raises(ConfigurationError, match="only speaks"):
        registry.resolve_realtime("google", api_key="k", modalities=["text"])
    monkeypatch.setenv("GOOGLE_API_KEY", "k")
    assert "google" in registry.available()["realtime"]
