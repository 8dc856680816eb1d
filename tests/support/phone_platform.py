"""The telephone side of a platform for tests: a `SipService` on local rooms, with an agent in each room that speaks a tone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np

from antiphon.audio import AudioFrame
from antiphon.rooms import DTMFEvent, ParticipantKind, Room, RoomEvent
from antiphon.rooms.local import LocalRooms
from antiphon.telephony import DialRequest, IncomingCall, Leg, LegEvent
from antiphon.telephony.sip_service import SipOptions, SipService

from .telephone import HOST, Samples, tone

E = TypeVar("E")
Take = Callable[["Platform", IncomingCall], Awaitable[None]]


class Agent:
    """Somebody in the room: speaks a tone, keeps what it hears, and notes what it is told.

    Attributes:
        told: events of the bridge, in order.
        digits: keys, in order.
    """

    def __init__(self, room: Room) -> None:
        self.room = room
        self.told: list[str] = []
        self.digits: list[str] = []
        self.rate = 0
        self._frames: list[Samples] = []
        self._output: Any = None
        room.on(RoomEvent.DATA_RECEIVED, lambda packet: self.told.append(json.loads(packet.data)["event"]))
        room.on(RoomEvent.SIP_DTMF_RECEIVED, self._pressed)
        room.on(RoomEvent.TRACK_SUBSCRIBED, lambda track, _: track.subscribe(self._hear))

    async def speak(self, frequency: float, seconds: float, rate: int = 24000) -> None:
        if self._output is None:
            self._output = await self.room.publish_audio("voice", sample_rate=rate)
        self._output.push(AudioFrame(tone(frequency, seconds, rate), rate))
        self._output.flush()

    @property
    def heard(self) -> Samples:
        return np.concatenate(self._frames) if self._frames else np.zeros(0, np.int16)

    def forget(self) -> None:
        self._frames.clear()

    def caller(self, name: str) -> str | None:
        """An attribute of the telephone."""
        for participant in self.room.remote_participants.values():
            if participant.is_sip:
                return participant.attributes.get(name)
        return None

    def _pressed(self, event: DTMFEvent) -> None:
        self.digits.append(event.digit)

    def _hear(self, frame: AudioFrame) -> None:
        self.rate = frame.sample_rate
        self._frames.append(frame.samples.copy())


class LegLog:
    """What a leg reported."""

    def __init__(self) -> None:
        self.events: list[LegEvent] = []
        self._seen = asyncio.Event()

    def __call__(self, event: LegEvent) -> None:
        self.events.append(event)
        self._seen.set()

    async def until(self, kind: type[E], timeout: float = 5.0) -> E:
        """The first event of a kind."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    for event in self.events:
                        if isinstance(event, kind):
                            return event
                    self._seen.clear()
                    await self._seen.wait()
        except TimeoutError:
            raise AssertionError(f"no {kind.__name__} came, but {self.events}") from None


class Platform:
    """A running service, its rooms, and each call's agent and log, by room."""

    def __init__(self) -> None:
        self.rooms = LocalRooms()
        self.service: SipService
        self.agents: dict[str, Agent] = {}
        self.logs: dict[str, LegLog] = {}
        self.incoming: dict[str, IncomingCall] = {}
        self.take: Take = answer_at_once
        self._count = 0

    @property
    def address(self) -> tuple[str, int]:
        return self.service.address

    async def new_room(self) -> str:
        """A room with an agent in it."""
        self._count += 1
        name = f"room{self._count}"
        self.agents[name] = Agent(await self.rooms.join(name, "agent", ParticipantKind.AGENT))
        self.logs[name] = LegLog()
        return name

    async def dial(
        self, trunk: Mapping[str, Any], number: str = "+14155550100", **more: Any
    ) -> tuple[str, Leg]:
        room = await self.new_room()
        request = DialRequest(room, number, "+14155550199", room, trunk, **more)
        return room, await self.service.dial(request, self.logs[room])

    async def took(self, room: str = "room1", timeout: float = 5.0) -> IncomingCall:
        """The call that came in and was given this room."""
        await eventually(lambda: room in self.incoming, timeout)
        return self.incoming[room]

    async def nothing_left(self, timeout: float = 5.0) -> None:
        """No call, port, participant or task of a call."""
        service = self.service

        def left() -> dict[str, Any]:
            everybody = [p for room in self.rooms.rooms.values() for p in room.participants]
            phones = [one.identity for one in everybody if one.is_sip]
            tasks = [task.get_coro() for task in service._tasks]
            found = {
                "calls": service.calls,
                "ports": service.engines.ports.used,
                "phones": phones,
                "tasks": tasks,
            }
            return {name: value for name, value in found.items() if value}

        try:
            await eventually(lambda: not left(), timeout)
        except AssertionError:
            raise AssertionError(f"left behind: {left()}") from None

    async def _incoming(self, call: IncomingCall) -> None:
        await self.take(self, call)

    async def received(self, call: IncomingCall) -> str:
        """A room for a call that came in."""
        room = await self.new_room()
        call.leg.on_event = self.logs[room]
        self.incoming[room] = call
        return room


async def answer_at_once(platform: Platform, call: IncomingCall) -> None:
    room = await platform.received(call)
    await call.join(room)
    await call.ring()
    await call.leg.answer()


async def ring_only(platform: Platform, call: IncomingCall) -> None:
    room = await platform.received(call)
    await call.join(room)
    await call.ring()


async def eventually(condition: Callable[[], object], timeout: float = 5.0) -> None:
    """Wait until it holds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while not condition():
        if loop.time() > end:
            raise AssertionError("it did not come about in time")
        await asyncio.sleep(0.005)


def trunk_to(port: int, **more: Any) -> dict[str, Any]:
    """A trunk's document that leads to a telephone."""
    return {"id": "trunk", "provider": "generic", "address": HOST, "port": port, "transport": "udp", **more}


@asynccontextmanager
async def platform(
    take: Take = answer_at_once, trunks: tuple[Mapping[str, Any], ...] = (), **options: Any
) -> AsyncIterator[Platform]:
    """A running platform that must leave nothing behind; `options` are of `SipOptions`."""
    it = Platform()
    it.take = take
    settings = {"port": 0, "rtp_first": 42000, "rtp_last": 42399, "port_rest": 0.0, **options}
    it.service = SipService(SipOptions(**settings), it.rooms, it._incoming, tick=it.rooms.tick)
    await it.service.start(trunks)
    try:
        yield it
        await it.nothing_left()
    finally:
        await it.service.aclose()
        await it.rooms.aclose()
