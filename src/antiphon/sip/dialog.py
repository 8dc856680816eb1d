"""Dialogs: what two user agents know of each other between the first answer and the BYE.

Source: RFC 3261 section 12.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from .effects import Hop
from .errors import FieldError
from .headers import NameAddr, contacts, routes
from .message import Request, Response
from .uri import OtherUri, SipUri, Uri

DialogId = tuple[str, str, str]  # Call-ID, our tag, the peer's tag


class Order(Enum):
    """How a request of the peer's stands to those before it (RFC 3261 section 12.2.2)."""

    NEW = "new"
    OLD = "old"


@dataclass(slots=True)
class Dialog:
    """One side's state of a dialog.

    Attributes:
        local, remote: addresses with their tags, as From and To carry them.
        target: where requests go, from the peer's Contact; changes with each target refresh.
        route_set: the proxies to go through, nearest first; fixed once the dialog is confirmed.
        local_cseq, remote_cseq: the last number each way; 0: none yet.
        confirmed: a 2xx was sent or received.
    """

    call_id: str
    local: NameAddr
    remote: NameAddr
    target: Uri
    route_set: list[NameAddr] = field(default_factory=list)
    local_cseq: int = 0
    remote_cseq: int = 0
    confirmed: bool = False

    @property
    def id(self) -> DialogId:
        """What names the dialog on our side."""
        return self.call_id, self.local.tag, self.remote.tag

    def next_cseq(self) -> int:
        """The number of our next request."""
        self.local_cseq += 1
        return self.local_cseq

    def request(self, method: str, cseq: int | None = None) -> Request:
        """A request within the dialog, routed, without Via and Contact (RFC 3261 section 12.2.1.1).

        Args:
            cseq: of an ACK, the INVITE's; None: the next number.
        """
        uri, route = self.target, list(self.route_set)
        if route and not _is_loose(route[0]):
            # A strict router expects itself as Request-URI, and the target last.
            route.append(NameAddr(self.target))
            uri = route.pop(0).uri
        request = Request(method, uri)
        request.headers.add("Max-Forwards", "70")
        for entry in route:
            request.headers.add("Route", str(entry))
        request.headers.add("From", str(self.local))
        request.headers.add("To", str(self.remote))
        request.headers.add("Call-ID", self.call_id)
        request.headers.add("CSeq", f"{self.next_cseq() if cseq is None else cseq} {method}")
        return request

    def hop(self, default_transport: str) -> Hop:
        """Where requests within the dialog go: to the first route, else to the target.

        Args:
            default_transport: for an address that names none; that of the call so far.

        Raises:
            FieldError: that is no address one can send to.
        """
        return hop_of(self.route_set[0].uri if self.route_set else self.target, default_transport)

    def order_of(self, request: Request) -> Order:
        """Whether a request comes in order, and if so, remember its number. Gaps are fine."""
        number = request.cseq.number
        if number <= self.remote_cseq:
            return Order.OLD
        self.remote_cseq = number
        return Order.NEW

    def refresh_target(self, message: Request | Response) -> None:
        """Take the Contact of a re-INVITE, an UPDATE, or the 2xx to ours."""
        try:
            found = contacts(message.headers)
        except FieldError:
            return
        if found and isinstance(found[0].uri, SipUri):
            self.target = found[0].uri

    def confirm(self, response: Response) -> None:
        """The 2xx to our INVITE came: its route set is the one that holds (RFC 3261 section 13.2.2.4)."""
        self.confirmed = True
        self.route_set = list(reversed(routes(response.headers, "Record-Route")))
        self.refresh_target(response)


def _is_loose(entry: NameAddr) -> bool:
    return isinstance(entry.uri, SipUri) and entry.uri.is_loose_router


def dialog_of_client(request: Request, response: Response) -> Dialog:
    """The dialog that a response to our INVITE begins (RFC 3261 section 12.1.2).

    Raises:
        FieldError: the response lacks what a dialog needs, or repeats malformed routes.
    """
    found = contacts(response.headers)
    target = found[0].uri if found else request.uri
    return Dialog(
        call_id=request.call_id,
        local=request.from_,
        remote=response.to,
        target=target,
        route_set=list(reversed(routes(response.headers, "Record-Route"))),
        local_cseq=request.cseq.number,
        confirmed=response.status >= 200,
    )


def dialog_of_server(request: Request, local_tag: str) -> Dialog:
    """The dialog that our response to an INVITE begins (RFC 3261 section 12.1.1).

    Raises:
        FieldError: the INVITE has no usable Contact.
    """
    found = contacts(request.headers)
    if len(found) != 1 or not isinstance(found[0].uri, SipUri):
        raise FieldError("Contact is not exactly one sip: or sips: URI")
    return Dialog(
        call_id=request.call_id,
        local=request.to.with_tag(local_tag),
        remote=request.from_,
        target=found[0].uri,
        route_set=routes(request.headers, "Record-Route"),
        remote_cseq=request.cseq.number,
    )


def hop_of(uri: Uri, default_transport: str = "UDP") -> Hop:
    """Where requests for a URI go.

    Raises:
        FieldError: it is no `sip:` or `sips:` URI, or names a transport that is not spoken here.
    """
    if isinstance(uri, OtherUri):
        raise FieldError(f"{uri.scheme}: addresses cannot be called without a trunk to send them to")
    transport = uri.transport or default_transport
    if transport not in ("UDP", "TCP", "TLS"):
        raise FieldError(f"the transport {transport} is not spoken here")
    host = (uri.params.get("maddr") or uri.host).strip("[]")
    return Hop(transport, host, uri.port or (5061 if transport == "TLS" else 5060))
