"""What can happen to a call: the input of `lifecycle.step`."""

from __future__ import annotations

from dataclasses import dataclass

from .status import CallStatus, EndReason


@dataclass(frozen=True, slots=True)
class Dispatched:
    """The outbound call left the queue: its INVITE is about to be sent."""


@dataclass(frozen=True, slots=True)
class DialFailed:
    """The attempt could not even begin: nothing was sent, so the call may be dialled again later."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class ProvisionalResponse:
    """A SIP response 100 to 199 to our INVITE."""

    code: int


@dataclass(frozen=True, slots=True)
class FinalResponse:
    """A SIP response 300 to 699 to our INVITE, authentication already tried.

    Attributes:
        credentials_refused: it answers our user name and password.
    """

    code: int
    phrase: str = ""
    credentials_refused: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """Outbound: the callee sent 200 OK. Inbound: our 200 OK was acknowledged."""


@dataclass(frozen=True, slots=True)
class MediaPathReady:
    """Audio that we send now would be heard: addresses are known and the caller's leg is in the room."""


@dataclass(frozen=True, slots=True)
class AgentReady:
    """The agent's session is in the room, its models are loaded and its prompt is rendered."""


@dataclass(frozen=True, slots=True)
class MediaReceived:
    """The first RTP packet of the far end; in a web call the caller's first audio.

    Early media of a callee does not count: the media layer reports the first packet after `Answered`.
    """


@dataclass(frozen=True, slots=True)
class PeerHungUp:
    """The far end sent BYE, or CANCEL before its call was answered; in a web call it left."""


@dataclass(frozen=True, slots=True)
class RoomClosed:
    """The room is gone, or the agent was removed from it."""


@dataclass(frozen=True, slots=True)
class RtpTimedOut:
    """No RTP for longer than the media layer allows; it does not count while the call is on hold."""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody asked over the API that the call end, whatever it is doing."""


@dataclass(frozen=True, slots=True)
class HangUpRequested:
    """The agent or one of its controllers ends the call; whatever had to be said was said."""

    reason: EndReason = EndReason.AGENT_HANGUP


@dataclass(frozen=True, slots=True)
class TransferCompleted:
    """The far end talks with somebody else now."""

    target: str = ""


@dataclass(frozen=True, slots=True)
class Errored:
    """The call cannot go on, in a way that no other event says.

    Attributes:
        detail: for the record, in words.
        sip_code: the answer to an inbound call that is still ringing.
    """

    detail: str
    sip_code: int = 500


@dataclass(frozen=True, slots=True)
class NoPlace:
    """An inbound call that rings turned out to be one too many; `detail` says of how many."""

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """This process ends and gives the call no more time."""


@dataclass(frozen=True, slots=True)
class ProcessLost:
    """The supervisor found that nobody renews the lease of this call.

    `last_seen` is when it was renewed for the last time, on the clock of `now`.
    """

    last_seen: float


@dataclass(frozen=True, slots=True)
class Superseded:
    """A `Commit` was refused because somebody else had ended the call; `status` is what the store holds."""

    status: CallStatus


@dataclass(frozen=True, slots=True)
class TimerFired:
    name: str


Event = (
    Dispatched
    | DialFailed
    | ProvisionalResponse
    | FinalResponse
    | Answered
    | MediaPathReady
    | AgentReady
    | MediaReceived
    | PeerHungUp
    | RoomClosed
    | RtpTimedOut
    | CancelRequested
    | HangUpRequested
    | TransferCompleted
    | Errored
    | NoPlace
    | Shutdown
    | ProcessLost
    | Superseded
    | TimerFired
)
