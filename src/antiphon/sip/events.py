"""What a user agent tells its user. `call` is the handle by which the user agent knows a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .headers import Headers, NameAddr
from .offer_answer import NegotiatedMedia
from .sdp import SessionDescription
from .uri import Uri


class EndCause(StrEnum):
    """Why a call is over that was answered, or that its caller took back."""

    PEER_HUNG_UP = "peer_hung_up"
    CANCELLED = "cancelled"
    LOCAL = "local"
    NOT_ACKNOWLEDGED = "not_acknowledged"
    SESSION_EXPIRED = "session_expired"
    PEER_LOST = "peer_lost"
    MEDIA_REFUSED = "media_refused"
    TRANSFERRED = "transferred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """Somebody calls; 100 was sent. Use `ring`, `answer` or `hang_up`.

    Attributes:
        request_uri: what was dialled.
        from_: who calls, by From; `headers` has P-Asserted-Identity and the rest.
        offer: the caller's media; None: we are to offer.
        trunk: the trunk that the source belongs to; empty: none.
        source: IP address of the previous hop.
    """

    call: int
    request_uri: Uri
    from_: NameAddr
    to: NameAddr
    headers: Headers
    offer: SessionDescription | None
    trunk: str
    source: str


@dataclass(frozen=True, slots=True)
class Progress:
    """A provisional response, 101 to 199, to our INVITE. Early media comes as `MediaChanged`."""

    call: int
    code: int
    phrase: str


@dataclass(frozen=True, slots=True)
class MediaChanged:
    """Offer and answer are complete: send and receive by this from now on. Hold and resume come as this."""

    call: int
    media: NegotiatedMedia


@dataclass(frozen=True, slots=True)
class Answered:
    """Outbound: a 2xx came. Inbound: our 2xx was acknowledged."""

    call: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """Our INVITE got a final response other than 2xx; the call is over.

    Attributes:
        code: 408 also when nobody answered, 503 also when nothing could be sent.
        headers: of the response; empty if there was none.
        credentials_refused: our user name or password was not taken.
    """

    call: int
    code: int
    phrase: str
    headers: Headers = field(default_factory=Headers)
    credentials_refused: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """The call is over. Comes once, last; not after `Rejected`."""

    call: int
    cause: EndCause
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DigitReceived:
    """A key that the peer pressed, by INFO.

    Attributes:
        duration: seconds.
    """

    call: int
    digit: str
    duration: float


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """How the transfer goes that we asked for; `code` below 200."""

    call: int
    code: int
    phrase: str


@dataclass(frozen=True, slots=True)
class TransferSucceeded:
    """The peer talks to the target, or took over without saying more; hang up."""

    call: int


@dataclass(frozen=True, slots=True)
class TransferRejected:
    """The transfer did not come about; the call goes on."""

    call: int
    code: int
    phrase: str


@dataclass(frozen=True, slots=True)
class TransferRequested:
    """The peer wants us to call somebody else (only if transfers are enabled); 202 was sent.

    Tell how it goes with `report_transfer`.
    """

    call: int
    target: Uri
    referred_by: str


@dataclass(frozen=True, slots=True)
class MediaChangeRefused:
    """Our re-INVITE or UPDATE was refused; what was agreed before holds."""

    call: int
    code: int
    phrase: str


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration holds, or holds again, for `seconds` more."""

    registration: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RegistrationFailed:
    """A registration could not be made or kept; tried again after `retry_after` seconds, None: never."""

    registration: int
    code: int
    phrase: str
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Unregistered:
    """A registration was taken back, or its end could not be told to the registrar."""

    registration: int


@dataclass(frozen=True, slots=True)
class PingAnswered:
    """An OPTIONS of ours was answered; 408: nobody did."""

    ping: int
    code: int


SipEvent = (
    IncomingCall
    | Progress
    | MediaChanged
    | Answered
    | Rejected
    | Ended
    | DigitReceived
    | TransferProgress
    | TransferSucceeded
    | TransferRejected
    | TransferRequested
    | MediaChangeRefused
    | Registered
    | RegistrationFailed
    | Unregistered
    | PingAnswered
)
