"""What every kind of room must do, whoever hosts it. A backend is one entry in `BACKENDS`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.rooms import DataPacket, Participant, ParticipantKind, Room, TextMessage
from antiphon.rooms.local import LocalRooms

RATE = 24000
PATIENCE = 5.0


class Connect(Protocol):
    """Join the test's room as somebody."""

    async def __call__(
        self,
        identity: str,
        kind: ParticipantKind = ParticipantKind.STANDARD,
        *,
        metadata: str = "",
        attributes: dict[str, str] | None = None,
    ) -> Room: ...


class Backend:
    """A room under test: `connect` joins it, `delete` removes it with everybody in it."""

    def __init__(self, connect: Connect, delete: Callable[[], Any]) -> None:
        self.connect = connect
        self.delete = delete


@asynccontextmanager
async def local_backend() -> AsyncIterator[Backend]:
    hub = LocalRooms()

    async def connect(identity: str, kind: ParticipantKind = ParticipantKind.STANDARD, **about: Any) -> Room:
        return await hub.join("the room", identity, kind, **about)

    try:
        yield Backend(connect, lambda: hub.close("the room"))
    finally:
        await hub.aclose()


BACKENDS: dict[str, Callable[[], AbstractAsyncContextManager[Backend]]] = {"local": local_backend}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Callable[[], AbstractAsyncContextManager[Backend]]:
    return BACKENDS[request.param]


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something to become true; the assertion that follows says what is missing."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not condition() and loop.time() < deadline:  # noqa: ASYNC110 - no event to wait for
        await asyncio.sleep(0.005)


def record(room: Room, *events: str) -> list[tuple[Any, ...]]:
    """What is emitted from now on, in order, as (event, arguments...)."""
    seen: list[tuple[Any, ...]] = []
    for event in events:
        room.on(event, lambda *args, event=event: seen.append((event, *args)))
    return seen


def tone(seconds: float) -> AudioFrame:
    time = np.arange(round(seconds * RATE)) / RATE
    return AudioFrame((8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16), RATE)


def loudness(frames: list[AudioFrame]) -> float:
    return max(
        (float(np.abs(frame.samples.astype(np.int32)).max()) for frame in frames if frame.samples.size),
        default=0.0,
    )


def test_participants_see_each_other_come_and_go(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            early = await rooms.connect("early", metadata="first")
            seen = record(early, "participant_joined", "participant_left")
            late = await rooms.connect("late", ParticipantKind.AGENT, metadata="second")
            await until(lambda: seen)
            [(event, joined)] = seen
            assert (event, joined.identity, joined.kind) == (
                "participant_joined",
                "late",
                ParticipantKind.AGENT,
            )
            assert joined.metadata == "second"
            assert early.remote_participants["late"] == joined
            # The late one sees who is there already without being told.
            assert late.remote_participants["early"].metadata == "first"
            assert late.local_participant.identity == "late"

            await late.disconnect()
            await until(lambda: len(seen) > 1)
            assert [(event, who.identity) for event, who in seen[1:]] == [("participant_left", "late")]
            assert "late" not in early.remote_participants

    run_clean(scenario())


def test_audio_reaches_early_and_late_joiners(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            early = await rooms.connect("early")
            heard: dict[str, list[AudioFrame]] = {"early": [], "late": []}

            def listen(room: Room) -> None:
                name = room.local_participant.identity

                def on_track(track: Any, participant: Participant) -> None:
                    assert participant.identity == "speaker"
                    track.subscribe(heard[name].append)

                room.on("track_subscribed", on_track)

            listen(early)
            speaker = await rooms.connect("speaker", ParticipantKind.AGENT)
            output = await speaker.publish_audio("voice", sample_rate=RATE)
            assert output.sample_rate == RATE
            late = await rooms.connect("late")
            listen(late)
            await until(lambda: early.audio_tracks() and late.audio_tracks())
            for room in (early, late):
                [(participant, track)] = room.audio_tracks()
                assert (participant.identity, track.name) == ("speaker", "voice")
            assert speaker.audio_tracks() == []

            output.push(tone(0.3))
            output.flush()
            for name in ("early", "late"):
                await until(lambda name=name: sum(frame.duration for frame in heard[name]) >= 0.28)
                assert loudness(heard[name]) > 4000, f"{name} did not hear the tone"

    run_clean(scenario())


def test_subscription_can_be_stopped(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            listener = await rooms.connect("listener")
            speaker = await rooms.connect("speaker")
            output = await speaker.publish_audio("voice", sample_rate=RATE)
            await until(listener.audio_tracks)
            [(_, track)] = listener.audio_tracks()
            frames: list[AudioFrame] = []
            stop = track.subscribe(frames.append)
            output.push(tone(0.2))
            await until(lambda: loudness(frames) > 4000)
            stop()
            stop()
            frames.clear()
            output.push(tone(0.1))
            await asyncio.sleep(0.1)
            assert frames == []

    run_clean(scenario())


def test_output_plays_at_real_time_and_reports_the_end(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            speaker = await rooms.connect("speaker")
            output = await speaker.publish_audio("voice", sample_rate=RATE)
            loop = asyncio.get_running_loop()
            started: list[float] = []
            finished: list[tuple[float, float]] = []
            output.on_started = lambda: started.append(loop.time())
            output.on_finished = lambda played: finished.append((loop.time(), played))
            output.push(tone(0.5))
            output.flush()
            await until(lambda: finished)
            [(at, played)] = finished
            assert played == pytest.approx(0.5, abs=0.001)
            assert 0.4 < at - started[0] < 2.0

    run_clean(scenario())


def test_clear_stops_the_voice_and_says_how_much_was_played(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            speaker = await rooms.connect("speaker")
            output = await speaker.publish_audio("voice", sample_rate=RATE)
            finished: list[float] = []
            output.on_finished = finished.append
            output.push(tone(3.0))
            await until(lambda: output.position > 0.1)
            assert 0.1 < output.clear() < 2.0
            await asyncio.sleep(0.1)
            assert finished == []

    run_clean(scenario())


def test_tracks_end_with_their_publisher(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            listener = await rooms.connect("listener")
            seen = record(listener, "track_subscribed", "track_unsubscribed", "participant_left")
            speaker = await rooms.connect("speaker")
            await speaker.publish_audio("one", sample_rate=RATE)
            second = await speaker.publish_audio("two", sample_rate=RATE)
            await until(lambda: len(seen) == 2)
            await second.aclose()
            await second.aclose()
            await until(lambda: len(seen) == 3)
            assert [(event, track.name) for event, track, _ in seen] == [
                ("track_subscribed", "one"),
                ("track_subscribed", "two"),
                ("track_unsubscribed", "two"),
            ]
            await speaker.disconnect()
            await until(lambda: len(seen) == 5)
            assert (seen[3][0], seen[3][1].name) == ("track_unsubscribed", "one")
            assert seen[4][0] == "participant_left"
            assert listener.audio_tracks() == []

    run_clean(scenario())


@pytest.mark.parametrize(
    ("destinations", "receivers"),
    [(None, {"b", "c"}), (["b"], {"b"}), (["b", "c"], {"b", "c"}), (["nobody"], set())],
)
def test_data_reaches_its_destinations(
    backend: Any, run_clean: Any, destinations: list[str] | None, receivers: set[str]
) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            got: dict[str, list[DataPacket]] = {}
            members = {identity: await rooms.connect(identity) for identity in "abc"}
            await until(lambda: all(len(room.remote_participants) == 2 for room in members.values()))
            for identity, room in members.items():
                got[identity] = []
                room.on("data_received", got[identity].append)
            await members["a"].publish_data(b"\x00\xff", topic="bytes", destination_identities=destinations)
            await members["a"].publish_data("ende", topic="text", destination_identities=destinations)
            await until(lambda: all(len(got[identity]) == 2 for identity in receivers))
            await asyncio.sleep(0.05)
            for identity in "abc":
                expected = (
                    [(b"\x00\xff", "bytes", "a"), (b"ende", "text", "a")] if identity in receivers else []
                )
                assert [
                    (packet.data, packet.topic, packet.participant and packet.participant.identity)
                    for packet in got[identity]
                ] == expected

    run_clean(scenario())


def test_text_carries_topic_and_attributes(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            reader = await rooms.connect("reader")
            got: list[TextMessage] = []
            reader.on("text_received", got.append)
            writer = await rooms.connect("writer")
            await until(lambda: writer.remote_participants)
            await writer.send_text("wie geht’s?", topic="chat", attributes={"lang": "de"})
            await until(lambda: got)
            [message] = got
            assert (message.text, message.topic) == ("wie geht’s?", "chat")
            assert message.attributes["lang"] == "de"
            assert message.participant is not None
            assert message.participant.identity == "writer"

    run_clean(scenario())


def test_attributes_change_for_all_and_late_joiners_see_the_latest(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            early = await rooms.connect("early")
            seen = record(early, "participant_attributes_changed")
            agent = await rooms.connect(
                "agent", ParticipantKind.AGENT, attributes={"state": "listening", "mood": "calm"}
            )
            await until(lambda: early.remote_participants)
            await agent.set_attributes({"state": "speaking"})
            await until(lambda: seen)
            assert seen[0][1].identity == "agent"
            assert early.remote_participants["agent"].attributes == {"state": "speaking", "mood": "calm"}
            late = await rooms.connect("late")
            assert late.remote_participants["agent"].attributes == {"state": "speaking", "mood": "calm"}

    run_clean(scenario())


def test_disconnected_is_emitted_once(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            room = await rooms.connect("alone")
            seen = record(room, "disconnected")
            assert room.connected
            await asyncio.gather(room.disconnect(), room.disconnect())
            await room.disconnect()
            assert not room.connected
            assert len(seen) == 1
            assert isinstance(seen[0][1], str)

    run_clean(scenario())


def test_the_newer_of_one_identity_stays(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            witness = await rooms.connect("witness")
            presence = record(witness, "participant_joined", "participant_left")
            older = await rooms.connect("twin")
            ended = record(older, "disconnected")
            newer = await rooms.connect("twin")
            await until(lambda: ended and len(presence) == 3)
            assert "duplicate identity" in ended[0][1]
            assert not older.connected
            assert newer.connected
            assert [event for event, _ in presence] == [
                "participant_joined",
                "participant_left",
                "participant_joined",
            ]
            assert "twin" in witness.remote_participants

    run_clean(scenario())


def test_deleting_the_room_disconnects_everybody(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            members = [await rooms.connect(identity) for identity in "abc"]
            ended = [record(room, "disconnected") for room in members]
            await rooms.delete()
            await until(lambda: all(ended))
            assert [len(seen) for seen in ended] == [1, 1, 1]
            assert not any(room.connected for room in members)

    run_clean(scenario())


def test_coroutine_listeners_run_and_end_with_the_room(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            room = await rooms.connect("listener")
            state: list[str] = []

            @room.on("data_received")
            async def forever(packet: DataPacket) -> None:
                state.append("started")
                try:
                    await asyncio.Event().wait()
                finally:
                    state.append("ended")

            @room.on("disconnected")
            async def farewell(reason: str) -> None:
                await asyncio.sleep(0.01)
                state.append("farewell")

            sender = await rooms.connect("sender")
            await until(lambda: sender.remote_participants)
            await sender.publish_data("x")
            await until(lambda: state)
            await room.disconnect()
            assert sorted(state) == ["ended", "farewell", "started"]

    run_clean(scenario())


def test_listener_may_leave_the_room_it_listens_to(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            room = await rooms.connect("listener")
            left = asyncio.Event()

            @room.on("data_received")
            async def leave(packet: DataPacket) -> None:
                await room.disconnect()
                left.set()

            sender = await rooms.connect("sender")
            await until(lambda: sender.remote_participants)
            await sender.publish_data("go")
            await asyncio.wait_for(left.wait(), PATIENCE)
            assert not room.connected

    run_clean(scenario())


def test_removed_listener_hears_nothing(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            room = await rooms.connect("listener")
            kept: list[DataPacket] = []
            removed: list[DataPacket] = []
            room.on("data_received", kept.append)
            room.on("data_received", removed.append)
            room.off("data_received", removed.append)
            sender = await rooms.connect("sender")
            await until(lambda: sender.remote_participants)
            await sender.publish_data("x")
            await until(lambda: kept)
            assert (len(kept), len(removed)) == (1, 0)

    run_clean(scenario())


def test_unknown_event_is_refused(backend: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with backend() as rooms:
            room = await rooms.connect("listener")
            with pytest.raises(ValueError, match="no_such_event"):
                room.on("no_such_event", print)

    run_clean(scenario())
