"""The far end of a call as the call sees it: a leg that rings, is answered, is heard and hangs up.

A leg joins the call's room by itself, as a participant of kind `sip`, with the far end's audio as its track; hold and keys
reach the agent through the room. What matters to the life of the call it reports as events, each once, in order, on the
event loop. A SIP bridge, a loopback and a browser are legs alike.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ..models.errors import AntiphonError


class TransferFailed(AntiphonError):
    """The far end was not passed on and is still in the call; the message says why."""


@dataclass(frozen=True, slots=True)
class LegProgress:
    """A provisional response, 100 to 199, to our attempt."""

    code: int


@dataclass(frozen=True, slots=True)
class LegRejected:
    """A final response, 300 to 699, to our attempt; the leg is over.

    Attributes:
        credentials_refused: it says that our user name or password is wrong.
    """

    code: int
    phrase: str = ""
    credentials_refused: bool = False


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """Outbound: the callee answered. Inbound: our answer was acknowledged."""


@dataclass(frozen=True, slots=True)
class LegMediaReady:
    """Audio that is sent now would be heard, and the leg is in the room."""


@dataclass(frozen=True, slots=True)
class LegMediaReceived:
    """The first audio of the far end after the answer."""


@dataclass(frozen=True, slots=True)
class LegRtpTimedOut:
    """No audio came for too long, and the call is not on hold."""


@dataclass(frozen=True, slots=True)
class LegEnded:
    """The far end hung up, or took an unanswered call of its own back; the leg is over."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class LegFailed:
    """The leg cannot go on, by nobody's wish; it is over.

    Attributes:
        detail: for the record.
        sip_code: what a caller was answered who was still ringing.
    """

    detail: str
    sip_code: int = 500


LegEvent = (
    LegProgress
    | LegRejected
    | LegAnswered
    | LegMediaReady
    | LegMediaReceived
    | LegRtpTimedOut
    | LegEnded
    | LegFailed
)
OnLegEvent = Callable[[LegEvent], None]


class Leg(Protocol):
    """One far end. Every method has a deadline of its own, and is harmless when the leg is over."""

    on_event: OnLegEvent | None
    """Set by the call before anything can happen."""

    async def answer(self) -> None:
        """Answer an inbound leg; `LegAnswered` follows."""

    async def cancel(self) -> None:
        """Take back an outbound attempt that was not answered."""

    async def hang_up(self, sip_code: int | None, reason: str) -> None:
        """End the leg.

        Args:
            sip_code: the final response to an inbound leg that still rings; None: it was answered.
            reason: for the far end and the log.
        """

    async def transfer(self, target: str) -> None:
        """Pass the far end on to a telephone number or SIP address; returns once it talks there.

        Raises:
            TransferFailed: it was refused, or this kind of leg cannot.
        """

    async def send_dtmf(self, digits: str) -> None:
        """Press keys: `0`-`9`, `*`, `#`, `A`-`D`, `w` for half a second of pause."""

    async def aclose(self) -> None:
        """Free everything, hanging up if need be; safe to call twice."""


@runtime_checkable
class MeasuredLeg(Protocol):
    """A leg that knows what its audio was like."""

    statistics: dict[str, Any]
    """Counts, loss, jitter, round trip and estimated MOS; complete once the leg is closed."""


@dataclass(frozen=True, slots=True)
class DialRequest:
    """An outbound attempt.

    Attributes:
        call_id: of the call's record.
        number: whom to dial, in E.164 or as a SIP address.
        caller_number: what the callee is shown; empty: the trunk's own.
        room: which room the leg joins.
        trunk: the trunk's document, its secrets revealed.
        setup_seconds: how long the attempt may take.
        headers: further SIP headers.
    """

    call_id: str
    number: str
    caller_number: str
    room: str
    trunk: Mapping[str, Any]
    setup_seconds: float = 60.0
    headers: Mapping[str, str] = field(default_factory=dict)


class Dialler(Protocol):
    """Places calls over trunks of one kind."""

    async def dial(self, request: DialRequest, on_event: OnLegEvent) -> Leg:
        """Begin an attempt and return at once; how it goes is reported to `on_event`.

        Raises:
            AntiphonError: nothing was sent, so the attempt may be made again later.
        """


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """Somebody calls one of our numbers, and hears nothing yet.

    Attributes:
        leg: answer it or hang it up; it has not joined a room yet.
        service: the provider, as `"exotel"`, `"generic"`, `"loopback"`.
        number: what was dialled, in E.164 where possible.
        caller_number: who calls; may be empty or `"anonymous"`.
        trunk_id: over which trunk it came; empty: none.
        join: has the leg join a room, once it is known which.
        ring: tells the caller's side that it rings (180).
    """

    leg: Leg
    service: str
    number: str
    caller_number: str
    trunk_id: str
    join: Callable[[str], Awaitable[None]]
    ring: Callable[[], Awaitable[None]]
    headers: Mapping[str, str] = field(default_factory=dict)
