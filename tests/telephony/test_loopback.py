"""A line without a network: ringing, answer, refusal, keys, audio and hang-up, from one room to another."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.models.errors import AntiphonError
from antiphon.rooms import ParticipantKind, RoomEvent
from antiphon.rooms.local import LocalRooms
from antiphon.telephony import (
    DialRequest,
    IncomingCall,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegMediaReady,
    LegMediaReceived,
    LegProgress,
    LegRejected,
    TransferFailed,
)
from antiphon.telephony.loopback import SAMPLE_RATE, LoopbackDialler

REQUEST = DialRequest("call_1", "+14155550199", "+14155550123", "near", {"id": "trunk_1"})


class Ends:
    """Both ends of one call, and what they were told."""

    def __init__(self) -> None:
        self.rooms = LocalRooms()
        self.dialler = LoopbackDialler(self.rooms, take=self._take)
        self.incoming: IncomingCall | None = None
        self.near: list[LegEvent] = []
        self.far: list[LegEvent] = []
        self.leg: Any = None

    async def _take(self, incoming: IncomingCall) -> None:
        self.incoming = incoming
        incoming.leg.on_event = self.far.append

    async def dial(self) -> None:
        self.leg = await self.dialler.dial(REQUEST, self.near.append)
        await until(lambda: self.incoming is not None)

    async def answer(self) -> None:
        """It rings in the room "far", and is answered there."""
        assert self.incoming is not None
        await self.incoming.ring()
        await self.incoming.join("far")
        await self.incoming.leg.answer()
        await until(lambda: LegMediaReceived() in self.near)

    async def aclose(self) -> None:
        await self.dialler.aclose()
        assert self.dialler.lines == 0
        assert not any(room.members for room in self.rooms.rooms.values())
        await self.rooms.aclose()


async def until(holds: Any, within: float = 5.0) -> None:
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


@pytest.fixture
def play(run_clean: Any) -> Any:
    """Run a scene between two ends, and see that nothing is left of it."""

    def run(scene: Any) -> Ends:
        async def main() -> Ends:
            ends = Ends()
            await ends.dial()
            await scene(ends)
            await ends.aclose()
            return ends

        return run_clean(main())

    return run


def test_it_rings_is_answered_and_hung_up_by_the_caller(play: Any) -> None:
    async def scene(ends: Ends) -> None:
        incoming = ends.incoming
        assert incoming is not None
        shown = (incoming.service, incoming.number, incoming.caller_number, incoming.trunk_id)
        assert shown == ("loopback", "+14155550199", "+14155550123", "trunk_1")
        await ends.answer()
        assert {room: sorted(hosted.members) for room, hosted in ends.rooms.rooms.items()} == {
            "near": ["sip-+14155550199"],
            "far": ["sip-+14155550123"],
        }
        [telephone] = ends.rooms.rooms["far"].participants
        assert (telephone.kind, telephone.attributes) == (
            ParticipantKind.SIP,
            {"sip.phoneNumber": "+14155550123"},
        )
        await ends.leg.hang_up(None, "enough")
        await until(lambda: LegEnded("enough") in ends.far)

    ends = play(scene)
    assert ends.near == [
        LegProgress(100),
        LegProgress(180),
        LegAnswered(),
        LegMediaReady(),
        LegMediaReceived(),
    ]
    assert ends.far == [LegAnswered(), LegMediaReady(), LegMediaReceived(), LegEnded("enough")]


def test_it_is_hung_up_by_the_callee(play: Any) -> None:
    async def scene(ends: Ends) -> None:
        await ends.answer()
        assert ends.incoming is not None
        await ends.incoming.leg.hang_up(None, "bye")
        await until(lambda: LegEnded("bye") in ends.near)
        await ends.leg.hang_up(None, "too late")

    ends = play(scene)
    assert [event for event in ends.near + ends.far if isinstance(event, LegEnded)] == [LegEnded("bye")]


@pytest.mark.parametrize(
    ("code", "told"),
    [(486, LegRejected(486, "Busy Here")), (480, LegRejected(480, "Temporarily Unavailable"))],
)
def test_a_refusal_reaches_the_caller(play: Any, code: int, told: LegEvent) -> None:
    async def scene(ends: Ends) -> None:
        assert ends.incoming is not None
        await ends.incoming.leg.hang_up(code, "no")
        await until(lambda: told in ends.near)

    assert play(scene).near == [LegProgress(100), told]


def test_a_caller_who_gives_up_ends_both_sides(play: Any) -> None:
    async def scene(ends: Ends) -> None:
        assert ends.incoming is not None
        await ends.incoming.ring()
        await ends.leg.cancel()
        await until(lambda: ends.far)
        await ends.incoming.leg.answer()  # too late
        await ends.incoming.join("far")

    ends = play(scene)
    assert ends.near == [LegProgress(100), LegProgress(180), LegRejected(487, "Request Terminated")]
    assert ends.far == [LegEnded("cancelled")]


@pytest.mark.parametrize("room", ["near", "far"])
def test_a_room_that_closes_hangs_up(play: Any, room: str) -> None:
    async def scene(ends: Ends) -> None:
        await ends.answer()
        await ends.rooms.close(room)
        other = ends.far if room == "near" else ends.near
        await until(lambda: any(isinstance(event, LegEnded) for event in other))

    play(scene)


def test_what_is_said_in_one_room_is_heard_in_the_other(play: Any) -> None:
    async def scene(ends: Ends) -> None:
        await ends.answer()
        heard: dict[str, list[Any]] = {"near": [], "far": []}
        agents = {name: await ends.rooms.join(name, "agent", ParticipantKind.AGENT) for name in heard}

        def listen(name: str, track: Any) -> None:
            track.subscribe(lambda frame: heard[name].append(frame.samples))

        for name, room in agents.items():
            room.on(RoomEvent.TRACK_SUBSCRIBED, lambda track, _who, name=name: listen(name, track))
        tones = {"near": 400, "far": 700}
        for name, hertz in tones.items():
            output = await agents[name].publish_audio("agent", sample_rate=24000)
            t = np.arange(24000) / 24000
            output.push(AudioFrame((8000 * np.sin(2 * np.pi * hertz * t)).astype(np.int16), 24000))
        await asyncio.sleep(0.9)
        for name, other in (("near", "far"), ("far", "near")):
            samples = np.concatenate(heard[name])[-SAMPLE_RATE // 2 :].astype(float)
            spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
            loudest = int(spectrum.argmax()) * SAMPLE_RATE / samples.size
            assert abs(loudest - tones[other]) < 10
            # Nothing of what is said here comes back.
            own = spectrum[round(tones[name] * samples.size / SAMPLE_RATE)]
            assert own < 0.02 * spectrum.max()
            assert 0.8 < samples.max() / 8000 < 1.2
        for room in agents.values():
            await room.disconnect()

    play(scene)


def test_silence_is_carried_too(play: Any) -> None:
    async def scene(ends: Ends) -> None:
        await ends.answer()
        agent = await ends.rooms.join("far", "agent", ParticipantKind.AGENT)
        sizes: list[int] = []
        agent.on(
            RoomEvent.TRACK_SUBSCRIBED,
            lambda track, _who: track.subscribe(lambda frame: sizes.append(frame.samples.size)),
        )
        await until(lambda: len(sizes) > 10)
        assert set(sizes) == {SAMPLE_RATE // 50}
        await agent.disconnect()

    play(scene)


def test_keys_are_heard_in_the_other_room_once_and_in_order(play: Any) -> None:
    async def scene(ends: Ends) -> None:
        agent = await ends.rooms.join("far", "agent", ParticipantKind.AGENT)
        keys: list[str] = []
        agent.on(RoomEvent.SIP_DTMF_RECEIVED, lambda event: keys.append(event.digit))
        await ends.leg.send_dtmf("9")  # nobody is there yet
        await ends.answer()
        with pytest.raises(AntiphonError, match="no key"):
            await ends.leg.send_dtmf("1x")
        await ends.leg.send_dtmf("1w2#d")
        await until(lambda: len(keys) == 4)
        assert keys == ["1", "2", "#", "D"]
        await agent.disconnect()

    play(scene)


def test_it_cannot_be_transferred(play: Any) -> None:
    async def scene(ends: Ends) -> None:
        await ends.answer()
        with pytest.raises(TransferFailed):
            await ends.leg.transfer("+14155550100")

    play(scene)


def test_whoever_takes_calls_and_fails_is_a_server_error(run_clean: Any, caplog: Any) -> None:
    async def main() -> None:
        rooms = LocalRooms()
        told: list[LegEvent] = []

        async def take(_incoming: IncomingCall) -> None:
            raise ValueError("broken")

        dialler = LoopbackDialler(rooms, take=take)
        await dialler.dial(REQUEST, told.append)
        await until(lambda: any(isinstance(event, LegRejected) for event in told))
        assert told[-1] == LegRejected(500, "Server Internal Error")
        await dialler.aclose()
        assert dialler.lines == 0
        await rooms.aclose()

    run_clean(main())
    assert "could not be set up" in caplog.text


def test_without_anybody_to_take_it_nothing_is_dialled(run_clean: Any) -> None:
    async def main() -> None:
        rooms = LocalRooms()
        dialler = LoopbackDialler(rooms)
        with pytest.raises(AntiphonError, match="nobody takes"):
            await dialler.dial(REQUEST, print)
        dialler = LoopbackDialler(rooms, take=lambda _incoming: asyncio.sleep(0))
        await dialler.aclose()
        with pytest.raises(AntiphonError):
            await dialler.dial(REQUEST, print)
        await rooms.aclose()

    run_clean(main())


def test_closing_hangs_everybody_up(play: Any) -> None:
    async def scene(ends: Ends) -> None:
        await ends.answer()
        await ends.dialler.aclose()
        assert ends.dialler.lines == 0
        assert any(isinstance(event, LegEnded) for event in ends.far)

    play(scene)
