"""What all parts of the user agent stand on: its options, its effects, its calls, and how requests and responses leave it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from .call import Call
from .dialog import DialogId
from .digest import DigestClient
from .effects import CancelTimer, Effect, Hop, Report, Send, Server, SetTimer, Source
from .errors import FieldError
from .events import SipEvent
from .grammar import check_safe
from .headers import NameAddr, Via
from .ids import Ids
from .message import Request, Response, make_response
from .transaction import Timing, make_cancel
from .transaction_layer import ClientTransaction, ServerTransaction, TransactionLayer
from .uri import SipUri, user_uri

METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "UPDATE", "PRACK", "INFO", "NOTIFY")
EXTENSIONS = ("100rel", "timer")
ACCEPTED_BODIES = "application/sdp, application/dtmf-relay, application/dtmf, message/sipfrag"
_MAX_TRIES = 4


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


class ClientRequest:
    """One request of ours, over as many transactions as it takes: challenges are answered, a long request falls back to UDP.

    Where its hop is a name with several servers, the next one gets the request when one refuses with 503, cannot be sent to, or
    says nothing for some seconds (RFC 3263 section 4.3). What comes from a server that was given up is dealt with as of a fork:
    it is asked to stop, and if it answers all the same, the first answer is the one that counts.

    `on_response` gets what is left: provisional responses, the final one, and every 2xx to an INVITE. That nobody answered is
    a 408, that nothing could be sent a 503 (RFC 3261 section 8.1.3.1).
    """

    def __init__(
        self,
        stack: Stack,
        request: Request,
        hop: Hop,
        on_response: Callable[[Response], None],
        renumber: Callable[[], int],
        digest: DigestClient | None,
    ) -> None:
        self.request = request
        self.transaction: ClientTransaction | None = None
        self.cancelled = False
        self.finished = False
        self.provisional = False
        self._stack = stack
        self._hop = hop
        self._on_response = on_response
        self._renumber = renumber
        self._digest = digest
        self._tries = 1
        self._by_tcp = self._tcp_failed = False
        self._others: tuple[Server, ...] = ()
        self._rang = False

    def send(self) -> None:
        """Send it, or send it again after a challenge or to another server."""
        self.provisional = False
        request = self.request.copy()
        request.headers.remove("Via")
        if self._digest is not None:
            self._digest.authorize(request)
        hop = self._hop
        request.headers.prepend("Via", str(self._stack.via(hop.transport)))
        self._by_tcp = self._is_too_long(request, hop)
        if self._by_tcp:
            hop = replace(hop, transport="TCP", connection=0, server=None)
            request.headers.remove("Via")
            request.headers.prepend("Via", str(self._stack.via("TCP")))
        self.request = request
        others = self._others if hop.server else ()
        self.transaction = self._stack.layer.request(
            request, hop, self._responded, self._failed, others=others, on_overdue=self._overdue
        )

    def _is_too_long(self, request: Request, hop: Hop) -> bool:
        """Whether it would not fit into a datagram (RFC 3261 section 18.1.1), and TCP may help."""
        options = self._stack.options
        if hop.transport != "UDP" or self._tcp_failed or "TCP" not in options.addresses:
            return False
        return len(request.to_bytes()) > options.max_datagram

    def resend(self, change: Callable[[Request], None]) -> bool:
        """Send it anew with a change and the next number; False: it was tried often enough."""
        if self._tries >= _MAX_TRIES or self.cancelled:
            return False
        self._tries += 1
        last = self.transaction
        if last is not None and last.hop.transport == self._hop.transport:
            self._hop, self._others = last.hop, last.others  # the server that asked for it
        self.request = self.request.copy()
        change(self.request)
        self.request.headers.set("CSeq", f"{self._renumber()} {self.request.method}")
        self.finished = False
        self.send()
        return True

    @property
    def has_credentials(self) -> bool:
        """Whether it answered a challenge."""
        return any(name in self.request.headers for name in ("Authorization", "Proxy-Authorization"))

    def cancel(self) -> None:
        """Take an INVITE back, as soon as the peer has shown that it has it (RFC 3261 section 9.1)."""
        if self.finished or self.cancelled:
            return
        self.cancelled = True
        if self.provisional and self.transaction is not None:
            self._send_cancel(self.transaction)

    def abandon(self) -> None:
        """Wait no longer for the final response."""
        if self.transaction is not None and not self.finished:
            self.finished = True
            self._stack.layer.abandon(self.transaction)

    def _send_cancel(self, transaction: ClientTransaction) -> None:
        self._stack.layer.request(make_cancel(transaction.machine.request), transaction.hop, _ignore, _ignore)

    def _responded(self, response: Response) -> None:
        if response.status < 200:
            first, self.provisional = not self.provisional, True
            self._rang = self._rang or response.status > 100
            if self.cancelled and first and self.transaction is not None:
                self._send_cancel(self.transaction)
            self._on_response(response)
            return
        if response.status == 503 and self._try_next():
            return
        if response.status in (401, 407) and self._digest is not None and not self.cancelled:
            sent = self.request
            if self._tries < _MAX_TRIES and self._digest.accept(response, sent) and self.resend(_as_it_is):
                return
        if self._digest is not None and response.status < 300:
            self._digest.take_next_nonce(response)
        self.finished = True
        self._on_response(response)

    def _failed(self, status: int) -> None:
        if status == 503 and self._by_tcp and not self.cancelled:
            self._tcp_failed = True
            self.send()
            return
        if self._try_next():
            return
        self.finished = True
        response = make_response(self.request, status)
        response.headers.add("Warning", '399 local "no response was received"')
        self._on_response(response)

    # -- other servers -----------------------------------------------------------------------------------------------------

    def _try_next(self) -> bool:
        """Send it to the next server, if there is one, and the last one did not ring yet."""
        last = self.transaction
        if last is None or not last.others or self.cancelled or self.finished or self._rang:
            return False
        if self._by_tcp:
            self._tcp_failed = True
        else:
            self._hop, self._others = replace(last.hop, server=last.others[0], connection=0), last.others[1:]
        self.send()
        return True

    def _overdue(self) -> None:
        last = self.transaction
        if last is not None and self._try_next():
            self._give_up(last)

    def _give_up(self, last: ClientTransaction) -> None:
        """Wait no more for a server that may have got the request."""
        last.given_up = True
        last.on_response = partial(self._straggled, last)
        last.on_failure = _ignore

    def _straggled(self, last: ClientTransaction, response: Response) -> None:
        """A server that was given up answers after all."""
        invite = self.request.method == "INVITE"
        if response.status < 200:
            if invite:
                self._send_cancel(last)
                last.on_response = partial(self._straggled_again, last)
            return
        if not self.finished and (response.status < 300 or not invite):
            if self.transaction is not None:
                if invite and self.provisional:
                    self._send_cancel(self.transaction)
                self._give_up(self.transaction)
            self.finished = True
            self._on_response(response)
        elif invite and response.status < 300:
            self._on_response(response)

    def _straggled_again(self, last: ClientTransaction, response: Response) -> None:
        """It was asked to stop."""
        if response.status >= 200:
            self._straggled(last, response)


def _ignore(_: object) -> None:
    """Nothing depends on how this goes."""


def _as_it_is(_: Request) -> None:
    """Only the number changes."""


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
