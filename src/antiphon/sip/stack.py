"""What all parts of the user agent stand on: its options, its effects, its calls, and how requests and responses leave it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace

from .call import Call
from .client_request import ClientRequest
from .dialog import DialogId
from .digest import DigestClient
from .effects import CancelTimer, Effect, Hop, Report, Send, SetTimer, Source
from .errors import FieldError
from .events import SipEvent
from .grammar import check_safe
from .headers import NameAddr, Via
from .ids import Ids
from .message import Request, Response, make_response
from .transaction import Timing
from .transaction_layer import ServerTransaction, TransactionLayer
from .uri import SipUri, user_uri

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "PRACK", "INFO", "NOTIFY")
EXTENSIONS = ("100rel", "timer")
_WITHOUT_TCP_SECONDS = 600.0
_MOST_WITHOUT_TCP = 1000
ACCEPTED_BODIES = "application/sdp, application/dtmf-relay, application/dtmf, message/sipfrag"


@dataclass(frozen=True, slots=True)
class UserAgentOptions:
    """How a user agent presents itself.

    Attributes:
        addresses: for each transport that is listened on (`UDP`, `TCP`, `TLS`), the host and port that peers reach it at.
        name: for User-Agent and Server.
        session_expires: seconds of the session timer that our INVITEs and answers ask for; 0: none of our own.
        min_se: the shortest session timer we agree to, at least 90.
        takes_transfers: whether a REFER of the peer's is reported instead of refused.
        max_datagram: a longer request goes by TCP, if that is listened on (RFC 3261 section 18.1.1).
        transfer_seconds: how long to wait for news of a transfer.
    """

    addresses: Mapping[str, tuple[str, int]]
    name: str = "Antiphon"
    timing: Timing = field(default_factory=Timing)
    session_expires: int = 1800
    min_se: int = 90
    takes_transfers: bool = False
    max_datagram: int = 1300
    transfer_seconds: float = 32.0

    @property
    def methods(self) -> tuple[str, ...]:
        """What Allow lists: what is there, and nothing else."""
        return (*METHODS, "REFER") if self.takes_transfers else METHODS


class Stack:
    """Owns the effects of one turn and the state that outlives it."""

    def __init__(self, options: UserAgentOptions, ids: Ids) -> None:
        self.options = options
        self.ids = ids
        self.now = 0.0
        self.effects: list[Effect] = []
        self.layer = TransactionLayer(self.emit, options.timing)
        self.calls: dict[int, Call] = {}
        self.dialogs: dict[DialogId, Call] = {}
        self.source = Source("UDP", "", 0)  # of the message that is being taken
        self.leaving = False
        self._handles = 0
        self._without_tcp: dict[tuple[str, int], float] = {}  # and until when that is believed

    # -- effects -----------------------------------------------------------------------------------------------------------

    def emit(self, effect: Effect) -> None:
        """Have something done."""
        self.effects.append(effect)

    def report(self, event: SipEvent) -> None:
        """Tell the user."""
        self.effects.append(Report(event))

    def set_timer(self, name: tuple[Hashable, ...], delay: float) -> None:
        """Have `timer_fired` called with the name, `delay` seconds from now."""
        self.effects.append(SetTimer(name, self.now + delay))

    def cancel_timer(self, *name: Hashable) -> None:
        """Forget a timer."""
        self.effects.append(CancelTimer(name))

    def new_handle(self) -> int:
        """A number for a call, a registration or a ping; never used again."""
        self._handles += 1
        return self._handles

    # -- what messages say of us -------------------------------------------------------------------------------------------

    def contact(self, transport: str, user: str, *, secure: bool = False) -> NameAddr:
        """Where peers reach us, by this transport."""
        host, port = self._address(transport)
        uri = user_uri(user, f"[{host}]" if ":" in host else host, port)
        if transport != "UDP":
            uri = replace(uri, params={"transport": transport.lower()})
        if secure:
            uri = replace(uri, scheme="sips", params={})
        return NameAddr(uri)

    def via(self, transport: str) -> Via:
        """A Via of ours with a branch of its own; it asks for `rport` (RFC 3581)."""
        host, port = self._address(transport)
        host = f"[{host}]" if ":" in host else host
        return Via(transport, host, port, {"branch": self.ids.branch(), "rport": None})

    def _address(self, transport: str) -> tuple[str, int]:
        addresses = self.options.addresses
        return addresses.get(transport) or next(iter(addresses.values()))

    def add_capabilities(self, message: Request | Response) -> None:
        """Allow and Supported."""
        message.headers.add("Allow", ", ".join(self.options.methods))
        message.headers.add("Supported", ", ".join(EXTENSIONS))

    # -- requests ----------------------------------------------------------------------------------------------------------

    def send_request(
        self,
        request: Request,
        hop: Hop,
        on_response: Callable[[Response], None],
        *,
        renumber: Callable[[], int],
        digest: DigestClient | None = None,
    ) -> ClientRequest:
        """Send a request and see it through challenges; see `ClientRequest`."""
        if "User-Agent" not in request.headers:
            request.headers.add("User-Agent", self.options.name)
        client = ClientRequest(self, request, hop, on_response, renumber, digest)
        client.send()
        return client

    def takes_no_tcp(self, hop: Hop) -> None:
        """A long request could not go there by TCP: the next ones are not held up by trying."""
        if len(self._without_tcp) >= _MOST_WITHOUT_TCP:
            self._without_tcp.clear()
        self._without_tcp[hop.host, hop.port] = self.now + _WITHOUT_TCP_SECONDS

    def may_take_tcp(self, hop: Hop) -> bool:
        """Whether a long request for a UDP hop may be tried by TCP."""
        return self._without_tcp.get((hop.host, hop.port), 0.0) <= self.now

    def send_ack(self, ack: Request, hop: Hop) -> bytes:
        """Send an ACK to a 2xx, which has no transaction; returns its octets, for when the 2xx comes again."""
        ack.headers.prepend("Via", str(self.via(hop.transport)))
        data = ack.to_bytes()
        self.emit(Send(hop, data))
        return data

    def resend_ack(self, hop: Hop, data: bytes) -> None:
        """A 2xx came again: so does its ACK (RFC 3261 section 13.2.2.4)."""
        self.emit(Send(hop, data))

    # -- responses ---------------------------------------------------------------------------------------------------------

    def respond(
        self,
        server: ServerTransaction,
        status: int,
        reason: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        content_type: str = "application/sdp",
        to_tag: str = "",
    ) -> Response:
        """Respond to a request; the response carries a To tag of ours unless it is a 100."""
        if status > 100:
            server.tag = to_tag or server.tag or self.ids.tag()
        check_safe(reason, "The reason phrase")
        response = make_response(server.request, status, reason, to_tag=server.tag if status > 100 else "")
        for name, value in (headers or {}).items():
            response.headers.add(name, value)
        if status >= 200:
            response.headers.add("Server", self.options.name)
        if body:
            response.headers.add("Content-Type", content_type)
            response.body = body
        self.layer.respond(server, response)
        return response

    def respond_without_transaction(self, request: Request, status: int, reason: str, hop: Hop) -> None:
        """Respond to what is too broken for a transaction (RFC 3261 section 8.2.7)."""
        if request.method != "ACK":
            response = make_response(request, status, _safe_phrase(reason), to_tag=self.ids.tag())
            response.headers.add("Server", self.options.name)
            self.emit(Send(hop, response.to_bytes()))


def _safe_phrase(text: str) -> str:
    return " ".join(text.split())[:120]


def local_user(uri: object) -> str:
    """The user part for our Contact: that of the address we are called by."""
    return uri.number if isinstance(uri, SipUri) and uri.user else "antiphon"


def response_hop(request: Request, source: Source) -> Hop:
    """Where responses go: back by the connection, or to `received` and `rport` (RFC 3261 section 18.2.2, RFC 3581 section 4)."""
    try:
        via = request.via
    except FieldError:
        return Hop(source.transport, source.host, source.port, source.connection)
    if source.connection:
        return Hop(source.transport, source.host, via.sent_by[1], source.connection)
    port = source.port if "rport" in via.params else via.sent_by[1]
    return Hop(source.transport, source.host, port)


def stamp_via(request: Request, source: Source) -> None:
    """Note in the topmost Via where a request really came from (RFC 3261 section 18.2.1, RFC 3581 section 4)."""
    values = request.headers.listed("Via")
    via = request.via
    params = dict(via.params)
    if via.host.strip("[]").lower() != source.host.lower() or "rport" in params:
        params["received"] = source.host
    if "rport" in params:
        params["rport"] = str(source.port)
    if params == via.params:
        return
    stamped = replace(via, params=params)
    request.headers.remove("Via")
    for value in reversed([str(stamped), *values[1:]]):
        request.headers.prepend("Via", value)
