"""A trunk without a network: what is dialled is answered by this same platform, for test calls and tests.

A call over it is two calls to everybody else: an outbound one in one room and an inbound one in another, with a leg in each.
The legs are the two ends of one `_Line`, which carries ringing, answer, refusal, keys and audio from one to the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import Any, Literal

import numpy as np

from ..audio.frame import Int16Array
from ..models.errors import AntiphonError
from ..rooms import ParticipantKind, Room, RoomDisconnected, RoomEvent
from ..rooms.local.tick import MediaTick
from ..rooms.room_host import RoomHost
from .leg import (
    DialRequest,
    IncomingCall,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegMediaReady,
    LegMediaReceived,
    LegProgress,
    LegRejected,
    OnLegEvent,
    TransferFailed,
)
from .phone_number import normalize_caller
from .room_audio import RoomAudio

logger = logging.getLogger(__name__)

SERVICE = "loopback"
SAMPLE_RATE = 16000
DIGIT_SECONDS = 0.1
PAUSE_SECONDS = 0.5
DIGITS = "0123456789*#ABCD"
LEAVE_TIMEOUT = 5.0
JOIN_TIMEOUT = 10.0
_MOST_FRAMES = 10  # of 20 ms that wait on the line after a stall; older ones are dropped

TakeCall = Callable[[IncomingCall], Awaitable[None]]

_PHRASES = {
    480: "Temporarily Unavailable",
    486: "Busy Here",
    487: "Request Terminated",
    500: "Server Internal Error",
    503: "Service Unavailable",
}


class LoopbackDialler:
    """Dials numbers of this platform, over trunks of provider `loopback`.

    Attributes:
        take: is handed each call as it comes in, as `InboundRouter.take`; without it nothing can be dialled.
    """

    def __init__(self, rooms: RoomHost, *, take: TakeCall | None = None) -> None:
        """Prepare.

        Args:
            rooms: where the legs join.
            take: see above.
        """
        self.take = take
        self._rooms = rooms
        self._tick = MediaTick()
        self._lines: set[_Line] = set()
        self._closed = False

    @property
    def lines(self) -> int:
        """How many calls there are now."""
        return len(self._lines)

    async def dial(self, request: DialRequest, on_event: OnLegEvent) -> LoopbackLeg:
        """See `Dialler.dial`."""
        if self._closed or self.take is None:
            raise AntiphonError("nobody takes loopback calls in this process: it needs the role worker")
        line = _Line(self._rooms, self._tick, self._lines.discard)
        self._lines.add(line)
        line.near.on_event = on_event
        line.begin(request, self.take)
        return line.near

    async def aclose(self) -> None:
        """Hang all calls up; safe to call twice."""
        self._closed = True
        lines = tuple(self._lines)
        await asyncio.gather(*(line.near.aclose() for line in lines))
        await asyncio.gather(*(line.ended() for line in lines))
        self._tick.close()


class _State(Enum):
    CALLING = "calling"
    RINGING = "ringing"
    ANSWERED = "answered"
    OVER = "over"


class LoopbackLeg:
    """One end of a line: of the outbound call, or of the inbound one. See `Leg` for what the methods do."""

    def __init__(self, line: _Line, side: Literal["outbound", "inbound"]) -> None:
        self.on_event: OnLegEvent | None = None
        self.room: Room | None = None
        self.audio: RoomAudio | None = None
        self._line = line
        self._side = side
        self._heard: deque[Int16Array] = deque(maxlen=_MOST_FRAMES)

    @property
    def inbound(self) -> bool:
        return self._side == "inbound"

    async def answer(self) -> None:
        if self.inbound:
            self._line.answer()

    async def cancel(self) -> None:
        await self.hang_up(None, "cancelled")

    async def hang_up(self, sip_code: int | None, reason: str) -> None:
        self._line.end(self, sip_code, reason)
        await self._line.settled()

    async def transfer(self, target: str) -> None:
        raise TransferFailed("a loopback call cannot be transferred")

    async def send_dtmf(self, digits: str) -> None:
        keys = digits.upper()
        if unknown := set(keys) - set(DIGITS) - {"W"}:
            raise AntiphonError(
                f"there is no key {min(unknown)!r}; keys are 0-9, *, #, A-D, and w for a pause"
            )
        for key in keys:
            far = self._line.other(self).room
            if not self._line.answered or far is None:
                return
            if key == "W":
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            try:
                await far.publish_dtmf(key)
            except RoomDisconnected:
                return
            await asyncio.sleep(DIGIT_SECONDS)

    async def aclose(self) -> None:
        self._line.end(self, None, "closed")
        await self._line.settled()

    def tell(self, event: LegEvent) -> None:
        """Report an event, never from inside the call that caused it."""
        asyncio.get_running_loop().call_soon(self._tell, event)

    def _tell(self, event: LegEvent) -> None:
        if self.on_event is not None:
            self.on_event(event)

    # -- its place in the room -------------------------------------------------------------------------------------

    async def join(self, rooms: RoomHost, room: str, number: str) -> None:
        """Be the telephone of `number` in a room."""
        async with asyncio.timeout(JOIN_TIMEOUT):
            joined = await rooms.join(
                room,
                f"sip-{number or 'anonymous'}",
                ParticipantKind.SIP,
                attributes={"sip.phoneNumber": number},
            )
        if self._line.over:
            await joined.disconnect()
            return
        self.room = joined
        joined.on(RoomEvent.DISCONNECTED, self._room_left)

    def open_audio(self, tick: MediaTick) -> None:
        assert self.room is not None
        self.audio = RoomAudio(self.room, SAMPLE_RATE, self._heard.append, tick)

    def next_frame(self) -> Int16Array:
        """What is said in the room, 20 ms after 20 ms, silence included: a line always carries something."""
        return self._heard.popleft() if self._heard else np.zeros(SAMPLE_RATE // 50, dtype=np.int16)

    async def leave(self) -> None:
        if self.audio is not None:
            self.audio.close()
        if self.room is not None:
            self.room.off(RoomEvent.DISCONNECTED, self._room_left)
            try:
                async with asyncio.timeout(LEAVE_TIMEOUT):
                    await self.room.disconnect()
            except Exception:
                logger.exception("a loopback leg could not leave room %s", self.room.name)

    def _room_left(self, why: str) -> None:
        """The room closed under the telephone: it hangs up."""
        self._line.end(self, None, why)


class _Line:
    """What is between the two legs. `near` has dialled, `far` is called."""

    def __init__(self, rooms: RoomHost, tick: MediaTick, forget: Callable[[_Line], None]) -> None:
        self.near = LoopbackLeg(self, "outbound")
        self.far = LoopbackLeg(self, "inbound")
        self._state = _State.CALLING
        self._connected = False
        self._carried = False
        self._rooms = rooms
        self._tick = tick
        self._forget = forget
        self._setting_up: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._left = asyncio.Event()

    @property
    def over(self) -> bool:
        return self._state is _State.OVER

    @property
    def answered(self) -> bool:
        return self._state is _State.ANSWERED

    def other(self, leg: LoopbackLeg) -> LoopbackLeg:
        return self.near if leg is self.far else self.far

    def begin(self, request: DialRequest, take: TakeCall) -> None:
        self._setting_up = _own(self._set_up(request, take), f"loopback call {request.call_id}")

    async def _set_up(self, request: DialRequest, take: TakeCall) -> None:
        caller = normalize_caller(request.caller_number)
        try:
            await self.near.join(self._rooms, request.room, request.number)
            if self.over:
                return
            self.near.tell(LegProgress(100))
            await take(
                IncomingCall(
                    leg=self.far,
                    service=SERVICE,
                    number=request.number,
                    caller_number=caller,
                    trunk_id=str(request.trunk.get("id") or ""),
                    join=lambda room: self._join(room, caller),
                    ring=self._ring,
                    headers=dict(request.headers),
                )
            )
        except Exception:
            logger.exception("loopback call %s could not be set up", request.call_id)
            self.end(self.far, 500, "it could not be set up")

    async def _ring(self) -> None:
        if self._state is _State.CALLING:
            self._state = _State.RINGING
            self.near.tell(LegProgress(180))

    async def _join(self, room: str, caller: str) -> None:
        await self.far.join(self._rooms, room, caller)
        self._connect()

    def answer(self) -> None:
        if self._state in (_State.CALLING, _State.RINGING):
            self._state = _State.ANSWERED
            for leg in (self.far, self.near):
                leg.tell(LegAnswered())
            self._connect()

    def _connect(self) -> None:
        """Carry audio as soon as the call is answered and both telephones are in their rooms."""
        if not self.answered or self._connected or self.near.room is None or self.far.room is None:
            return
        self._connected = True
        for leg in (self.near, self.far):
            leg.open_audio(self._tick)
            leg.tell(LegMediaReady())
        self._tick.add(self, self._carry)

    def _carry(self) -> bool:
        near, far = self.near.audio, self.far.audio
        if near is None or far is None or self.over:
            return False
        far.receive(self.near.next_frame())
        near.receive(self.far.next_frame())
        if not self._carried:
            self._carried = True
            self.near.tell(LegMediaReceived())
            self.far.tell(LegMediaReceived())
        return True

    def end(self, leg: LoopbackLeg, sip_code: int | None, reason: str) -> None:
        """One side ends it; the other side is told how, each side once."""
        if self.over:
            return
        was_answered, self._state = self.answered, _State.OVER
        if was_answered:
            self.other(leg).tell(LegEnded(reason))
        elif leg is self.far:
            code = sip_code if sip_code is not None and 300 <= sip_code <= 699 else 480
            self.near.tell(LegRejected(code, _PHRASES.get(code, "")))
        else:
            self.far.tell(LegEnded(reason))
            self.near.tell(LegRejected(487, _PHRASES[487]))
        self._tick.remove(self)
        self._ending = _own(self._leave(), f"end of a loopback call in {_name(self.near)}")

    async def settled(self) -> None:
        """Until both telephones have left, once the call is over."""
        if self.over:
            async with asyncio.timeout(2 * LEAVE_TIMEOUT):
                await self._left.wait()

    async def ended(self) -> None:
        """Until nothing of it is left. Not to be awaited by whoever takes the call."""
        if self._ending is not None:
            await asyncio.wait([self._ending])

    async def _leave(self) -> None:
        try:
            await asyncio.gather(self.near.leave(), self.far.leave())
            self._left.set()
            if self._setting_up is not None:
                # Whoever takes calls has been told that this one is over, and ends by himself.
                await asyncio.wait([self._setting_up], timeout=LEAVE_TIMEOUT)
                self._setting_up.cancel()
                await asyncio.wait([self._setting_up])
        finally:
            self._left.set()
            self._forget(self)


def _name(leg: LoopbackLeg) -> str:
    return leg.room.name if leg.room is not None else "no room"


def _own(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(coroutine, name=name)
