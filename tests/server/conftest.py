"""A server of this process with agents that need no model: `tone` speaks a tone and answers what is typed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.rooms import AudioOutput, ParticipantKind, RemoteAudioTrack, Room, TextMessage
from antiphon.rooms.local import LocalRooms
from antiphon.server import AgentInfo, AgentStartError, ServerSettings, WebCall, create_app

RATE = 24000


def tone(frequency: float, seconds: float) -> AudioFrame:
    time = np.arange(round(seconds * RATE)) / RATE
    return AudioFrame((8000 * np.sin(2 * np.pi * frequency * time)).astype(np.int16), RATE)


class ToneAgent:
    """Greets with a tone; to each typed text it shows all that an agent can show, and speaks a tone of 1 s."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.output: AudioOutput | None = None
        self.turns = 0
        self.loudest = 0
        self._stops: list[Callable[[], None]] = []

    async def start(self) -> None:
        self.room.on("text_received", self._answer)
        self.room.on("track_subscribed", lambda track, _: self._listen(track))
        for _, track in self.room.audio_tracks():
            self._listen(track)
        self.output = await self.room.publish_audio("voice", sample_rate=RATE)
        self.output.push(tone(440, 0.4))
        self.output.flush()
        await self.show(
            type="transcript", id="a0", role="assistant", text="Good morning.", final=True, interrupted=False
        )
        await self.show(type="state", agent="listening", user="silent")

    async def show(self, **message: Any) -> None:
        if self.room.connected:
            await self.room.publish_data(json.dumps(message), topic="antiphon")

    def _listen(self, track: RemoteAudioTrack) -> None:
        def hear(frame: AudioFrame) -> None:
            self.loudest = max(self.loudest, int(np.abs(frame.samples.astype(np.int32)).max(initial=0)))

        self._stops.append(track.subscribe(hear))

    async def _answer(self, message: TextMessage) -> None:
        assert self.output is not None
        self.turns += 1
        turn = str(self.turns)
        await self.show(
            type="transcript", id=f"u{turn}", role="user", text=message.text, final=True, interrupted=False
        )
        if message.text == "hang up":
            await self.show(type="ended", reason="the assistant said goodbye")
            await self.room.disconnect()
            return
        await self.show(type="state", agent="thinking", user="silent")
        await self.show(
            type="tool", name="get_balance", arguments={"account": "savings"}, result="1204.50", ok=True
        )
        await asyncio.sleep(0.1)
        if message.text == "fail":
            await self.show(type="error", message="The language model did not answer.")
        await self.show(type="state", agent="speaking", user="silent")
        interrupted = message.text == "interrupt me"
        self.output.push(tone(600, 1.0))
        self.output.flush()
        words = f"You said: {message.text}"
        for cut in (4, 9, len(words)):
            await self.show(
                type="transcript",
                id=f"a{turn}",
                role="assistant",
                text=words[:cut],
                final=False,
                interrupted=False,
            )
            await asyncio.sleep(0.05)
        await self.show(
            type="transcript",
            id=f"a{turn}",
            role="assistant",
            text=words,
            final=True,
            interrupted=interrupted,
        )
        await self.show(
            type="latency",
            turn=turn,
            stages=[
                {"name": "vad", "start_ms": 0, "end_ms": 220},
                {"name": "transcript", "start_ms": 40, "end_ms": 310},
                {"name": "end_of_turn", "start_ms": 310, "end_ms": 420},
                {"name": "llm_first_token", "start_ms": 420, "end_ms": 470},
                {"name": "tts_first_audio", "start_ms": 470, "end_ms": 495},
                {"name": "first_audio_out", "start_ms": 495, "end_ms": 510},
            ],
            total_ms=510,
            interrupted=interrupted,
        )
        await self.show(type="state", agent="listening", user="silent")


class ToneDispatcher:
    """Offers `tone`, `second`, and `broken`, which cannot be started."""

    def __init__(self, rooms: LocalRooms, names: tuple[str, ...]) -> None:
        self.rooms = rooms
        self.started: list[tuple[str, str, str]] = []
        self.running: dict[str, ToneAgent] = {}
        self.closed = False
        self._names = names

    async def agents(self) -> list[AgentInfo]:
        known = {
            "tone": AgentInfo(
                "tone",
                "Tone",
                "Repeats what you type and speaks a tone.",
                ("What is my balance?", "Block my card"),
            ),
            "second": AgentInfo("second", "Second", "Does the same under another name."),
            "broken": AgentInfo("broken", "Broken", "Cannot be started."),
        }
        return [known[name] for name in self._names]

    async def find(self, agent: str, *, private: bool) -> AgentInfo | None:
        return next((info for info in await self.agents() if info.name == agent), None)

    async def start(self, call: WebCall) -> None:
        if call.agent == "broken":
            raise AgentStartError("its model is not installed: run antiphon doctor")
        self.started.append((call.agent, call.room, call.metadata))
        room = await self.rooms.join(call.room, "agent", ParticipantKind.AGENT)
        self.running[call.room] = ToneAgent(room)
        await self.running[call.room].start()

    async def aclose(self) -> None:
        self.closed = True
        for agent in self.running.values():
            await agent.room.disconnect()


class Served:
    """A server with its parts."""

    def __init__(self, settings: ServerSettings, names: tuple[str, ...]) -> None:
        self.settings = settings
        self.rooms = LocalRooms()
        self.dispatcher = ToneDispatcher(self.rooms, names)
        self.app = create_app(settings, self.dispatcher, self.rooms)
        self.url = ""


@pytest.fixture
def in_process() -> Callable[..., AbstractAsyncContextManager[Any]]:
    """`async with in_process(**settings) as (client, served)`: httpx straight into the application, no socket."""
    import httpx

    @asynccontextmanager
    async def open_client(
        names: tuple[str, ...] = ("tone", "second", "broken"), **settings: Any
    ) -> AsyncIterator[tuple[httpx.AsyncClient, Served]]:
        served = Served(ServerSettings(**settings), names)
        async with served.app.router.lifespan_context(served.app):
            transport = httpx.ASGITransport(served.app, client=("192.0.2.1", 5000))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield client, served

    return open_client


@pytest.fixture
def listening() -> Callable[..., AbstractAsyncContextManager[Served]]:
    """`async with listening(**settings) as served`: a real server on a free port of 127.0.0.1."""
    from antiphon.server.serve import serve

    @asynccontextmanager
    async def open_server(
        names: tuple[str, ...] = ("tone", "second", "broken"), **settings: Any
    ) -> AsyncIterator[Served]:
        served = Served(ServerSettings(**{"port": 0, "shutdown_deadline": 3.0} | settings), names)
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(serve(served.app, served.settings, ready.set_result))
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        served.url = ready.result()
        try:
            yield served
        finally:
            task.cancel()
            await asyncio.wait([task])

    return open_server
