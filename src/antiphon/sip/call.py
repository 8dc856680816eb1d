"""The state of one call: what `outgoing_call.py`, `incoming_call.py` and `established_call.py` know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from .dialog import Dialog
from .digest import Credentials, DigestClient
from .effects import Hop, Source
from .headers import NameAddr
from .message import Response
from .offer_answer import LocalMedia, MediaSession, NegotiatedMedia
from .sdp import Direction, SessionDescription
from .session_timer import SessionTimer
from .transaction_layer import ServerTransaction
from .uri import Uri

if TYPE_CHECKING:
    from .client_request import ClientRequest


class Phase(StrEnum):
    """How far a call is."""

    CALLING = "calling"  # our INVITE has no final response
    CANCELLING = "cancelling"  # nor is one wanted any more
    INCOMING = "incoming"  # the peer's INVITE has no final response
    ACCEPTED = "accepted"  # our 2xx is not acknowledged yet
    CONFIRMED = "confirmed"
    LEAVING = "leaving"  # our BYE is under way
    OVER = "over"


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call to place.

    Attributes:
        target: whom to call: the Request-URI.
        from_: who calls; the tag is put in.
        media: our side of the audio.
        to: for the To field; None: the target.
        hop: the trunk's address; None: that of the target.
        routes: further proxies to go through, as Route values.
        headers: further header fields.
        credentials: for challenges; only ever sent on this call.
        trunk: name of the trunk, whose sources may send requests within the call.
        delayed_offer: leave the offer to the peer.
    """

    target: Uri
    from_: NameAddr
    media: LocalMedia
    to: NameAddr | None = None
    hop: Hop | None = None
    routes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    credentials: Credentials | None = None
    trunk: str = ""
    delayed_offer: bool = False


@dataclass(slots=True)
class ReliableProvisional:
    """A provisional response of ours that waits for its PRACK (RFC 3262 section 3)."""

    rseq: int
    response: Response
    interval: float
    waited: float = 0.0


@dataclass(slots=True)
class PendingAck:
    """A 2xx of ours that waits for its ACK (RFC 3261 section 13.3.1.4)."""

    server: ServerTransaction
    response: Response
    interval: float
    waited: float = 0.0
    has_offer: bool = False


class TransferState(StrEnum):
    """How far a transfer of ours is."""

    NONE = "none"
    ASKED = "asked"
    ACCEPTED = "accepted"


@dataclass(slots=True)
class Call:
    """One call.

    Attributes:
        transport: of the call's messages where an address names none.
        connection: the connection that the peer's INVITE or last response came by, or 0.
        source: where the peer's last request or response to our INVITE came from.
        vias: hosts that the peer's last request went through, the peer last.
        peers: addresses that may send requests within the dialog.
        dialog: the confirmed dialog; before that, the latest early one.
        early_answers: the descriptions of callees that have not answered the call yet, by their tags.
        media_of: the tag of the one that the media is agreed on with.
        acks: our ACKs by the peer's tag, for when a 2xx comes again.
        reported: the media last reported.
    """

    handle: int
    inbound: bool
    phase: Phase
    user: str
    transport: str
    connection: int = 0
    trunk: str = ""
    secure: bool = False
    source: Source | None = None
    vias: tuple[str, ...] = ()
    peers: set[str] = field(default_factory=set)
    media: MediaSession | None = None
    reported: NegotiatedMedia | None = None
    dialog: Dialog | None = None
    digest: DigestClient | None = None
    peer_allows: frozenset[str] = frozenset()
    # our INVITE
    invite: ClientRequest | None = None
    request: CallRequest | None = None
    forks: dict[str, Dialog] = field(default_factory=dict)
    acks: dict[str, tuple[Hop, bytes]] = field(default_factory=dict)
    seen_rseq: dict[str, int] = field(default_factory=dict)
    media_agreed: bool = False
    early_answers: dict[str, SessionDescription] = field(default_factory=dict)
    media_of: str = ""
    # the peer's INVITE
    server: ServerTransaction | None = None
    offer: SessionDescription | None = None
    answer_body: bytes = b""
    provisional: Response | None = None
    reliable: ReliableProvisional | None = None
    last_rseq: int = 0
    wants_reliable: bool = False
    answer_waits: LocalMedia | None = None
    offer_sent_early: bool = False
    # in the dialog
    pending_ack: PendingAck | None = None
    change: ClientRequest | None = None
    wanted_change: Direction | None = None
    direction_before: Direction = Direction.SENDRECV
    refresh_wanted: bool = False
    leave_after_ack: bool = False
    leave_reason: str = ""
    timer: SessionTimer | None = None
    transfer: TransferState = TransferState.NONE
    taking_transfer: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be asked of it."""
        return self.phase in (Phase.LEAVING, Phase.OVER)
