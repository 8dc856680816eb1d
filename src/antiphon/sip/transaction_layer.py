"""All transactions of a user agent: which one a message belongs to, and what becomes of its outputs.

Source: RFC 3261 sections 17.1.3, 17.2.3 and 8.2.2.2 (merged requests); RFC 3263 section 4.3 (several servers).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from .effects import CancelTimer, Effect, Hop, Send, Server, SetTimer, Source, TimerKey
from .errors import FieldError
from .message import Request, Response
from .transaction import (
    Deliver,
    Input,
    Output,
    StartTimer,
    State,
    StopTimer,
    Terminated,
    TimedOut,
    Timing,
    Transaction,
    Transmit,
    TransportFailed,
    input_of,
    kind_of,
)

MAGIC_COOKIE = "z9hG4bK"
OVERDUE = "overdue"
MOST_SERVERS = 4
OVERDUE_T1 = 8  # times T1: how long a server may say nothing while there are others
Key = tuple[str, ...]
_QUOTED_REQUEST = re.compile(rb"([A-Z]+) \S+ SIP/2\.0\r\nVia: [^\r\n]*?;branch=([^;,\s]+)")


@dataclass(slots=True)
class ClientTransaction:
    """A request of ours.

    Attributes:
        on_response: gets each response that is not a retransmission, and every 2xx to an INVITE.
        on_failure: gets 408 when nobody answered, 503 when it could not be sent.
        others: further servers that the name leads to, in case this one fails.
        on_overdue: called when there are others and this one said nothing for some seconds.
        given_up: nobody waits for it any more.
        watched: whether the timer of `on_overdue` runs.
    """

    machine: Transaction
    hop: Hop
    key: Key
    on_response: Callable[[Response], None]
    on_failure: Callable[[int], None]
    others: tuple[Server, ...] = ()
    on_overdue: Callable[[], None] | None = None
    given_up: bool = False
    watched: bool = False


@dataclass(slots=True)
class ServerTransaction:
    """A request of the peer's.

    Attributes:
        on_ack: gets an ACK to a 2xx that carries the INVITE's own branch.
        on_lost: a final response was not acknowledged, or could not be sent.
    """

    machine: Transaction
    hop: Hop
    key: Key
    source: Source
    merge_key: Key
    on_ack: Callable[[Request], None] | None = None
    on_lost: Callable[[], None] | None = None
    answered: int = 0
    tag: str = ""

    @property
    def request(self) -> Request:
        """The request."""
        return self.machine.request


@dataclass(slots=True)
class TransactionLayer:
    """Owns the transactions. Effects go to `emit`; `now` is set by the owner before each call."""

    emit: Callable[[Effect], None]
    timing: Timing = field(default_factory=Timing)
    now: float = 0.0
    clients: dict[Key, ClientTransaction] = field(default_factory=dict)
    servers: dict[Key, ServerTransaction] = field(default_factory=dict)
    _merges: dict[Key, Key] = field(default_factory=dict)

    # -- clients -----------------------------------------------------------------------------------------------------------

    def request(
        self,
        request: Request,
        hop: Hop,
        on_response: Callable[[Response], None],
        on_failure: Callable[[int], None],
        *,
        others: Sequence[Server] = (),
        on_overdue: Callable[[], None] | None = None,
    ) -> ClientTransaction:
        """Send a request, whose Via has a branch of its own, and follow it; see `ClientTransaction`."""
        machine = Transaction(
            kind_of(request.method, client=True), request, reliable=hop.reliable, timing=self.timing
        )
        key: Key = (request.via.branch, request.method)
        client = ClientTransaction(machine, hop, key, on_response, on_failure, tuple(others), on_overdue)
        self.clients[key] = client
        self._run_client(client, machine.start())
        self._hurry(client)
        return client

    def servers_found(self, key: TimerKey, servers: Sequence[Server]) -> None:
        """The name that a request goes to leads to these: the whole transaction and its CANCEL go to the first."""
        client = self._client_of(key)
        if client is not None and client.hop.server is None:
            client.hop, client.others = replace(client.hop, server=servers[0]), tuple(servers[1:MOST_SERVERS])
            self._hurry(client)

    def awaits(self, key: TimerKey) -> bool:
        """Whether what is sent under this key still has somebody who waits for the response."""
        client = self._client_of(key)
        return key[0] != "client" or (client is not None and not client.given_up)

    def _client_of(self, key: TimerKey) -> ClientTransaction | None:
        name = key[1]
        return self.clients.get(name) if key[0] == "client" and isinstance(name, tuple) else None

    def _hurry(self, client: ClientTransaction) -> None:
        if client.others and client.on_overdue is not None and not client.machine.is_answered:
            self._watch(client, OVERDUE_T1 * self.timing.t1)

    def expire(self, client: ClientTransaction) -> None:
        """Forget a transaction that was cancelled, if its peer goes silent (RFC 3261 section 9.1)."""
        client.on_overdue = lambda: self.abandon(client)
        self._watch(client, self.timing.give_up)

    def _watch(self, client: ClientTransaction, seconds: float) -> None:
        client.watched = True
        self.emit(SetTimer(("client", client.key, OVERDUE), self.now + seconds))

    def _settle(self, client: ClientTransaction) -> None:
        if client.watched:
            client.watched = False
            self.emit(CancelTimer(("client", client.key, OVERDUE)))

    def receive_response(self, response: Response) -> bool:
        """Hand a response to its transaction; False: it has none."""
        client = self.clients.get((response.via.branch, response.cseq.method))
        if client is None:
            return False
        self._run_client(client, client.machine.feed(input_of(response.status), response))
        return True

    def abandon(self, client: ClientTransaction) -> None:
        """Forget a transaction whose peer went silent after a CANCEL (RFC 3261 section 9.1)."""
        self._settle(client)
        for timer in Input:
            self.emit(CancelTimer(("client", client.key, timer)))
        client.machine.state = State.TERMINATED
        self.clients.pop(client.key, None)

    def _run_client(self, client: ClientTransaction, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(message):
                    self.emit(Send(client.hop, message.to_bytes(), ("client", client.key)))
                case Deliver(Response() as response):
                    if not client.given_up:
                        self._settle(client)
                    client.on_response(response)
                case TimedOut():
                    client.on_failure(408)
                case TransportFailed():
                    client.on_failure(503)
                case Terminated():
                    self._settle(client)
                    if self.clients.get(client.key) is client:
                        del self.clients[client.key]
                case StartTimer() | StopTimer():
                    self._time(("client", client.key), output)

    # -- servers -----------------------------------------------------------------------------------------------------------

    def find(self, request: Request, method: str = "") -> ServerTransaction | None:
        """The transaction of a request, or the one of another method with the same branch (for ACK and CANCEL)."""
        return self.servers.get(server_key(request, method or request.method))

    def receive_request(self, request: Request, source: Source, hop: Hop) -> ServerTransaction | None:
        """Begin a transaction, or hand a retransmission or an ACK to its own; None: that is all there was to do."""
        known = self.find(request)
        if known is not None:
            happened = Input.ACK if request.method == "ACK" else Input.REQUEST
            known.hop = hop if hop.connection else known.hop
            self._run_server(known, known.machine.feed(happened, request))
            return None
        machine = Transaction(
            kind_of(request.method, client=False), request, reliable=hop.reliable, timing=self.timing
        )
        key = server_key(request, request.method)
        merge = (request.call_id, str(request.cseq), request.from_.tag)
        server = ServerTransaction(machine, hop, key, source, merge)
        self.servers[key] = server
        self._merges.setdefault(merge, key)
        return server

    def is_merged(self, server: ServerTransaction) -> bool:
        """Whether the same request came by another path before (RFC 3261 section 8.2.2.2)."""
        return not server.request.to.tag and self._merges.get(server.merge_key) != server.key

    def respond(self, server: ServerTransaction, response: Response) -> None:
        """Send a response, as far as the transaction's state lets it."""
        if response.status >= 200:
            server.answered = server.answered or response.status
        self._run_server(server, server.machine.feed(input_of(response.status), response))

    def _run_server(self, server: ServerTransaction, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Transmit(message):
                    self.emit(Send(server.hop, message.to_bytes(), ("server", server.key)))
                case Deliver(Request() as ack):
                    if server.on_ack is not None:
                        server.on_ack(ack)
                case TimedOut() | TransportFailed():
                    if server.on_lost is not None:
                        server.on_lost()
                case Terminated():
                    self.servers.pop(server.key, None)
                    if self._merges.get(server.merge_key) == server.key:
                        del self._merges[server.merge_key]
                case StartTimer() | StopTimer():
                    self._time(("server", server.key), output)

    # -- both --------------------------------------------------------------------------------------------------------------

    def timer_fired(self, key: TimerKey) -> None:
        """A timer of this layer fired."""
        side, name, timer = key
        assert isinstance(name, tuple)
        if timer == OVERDUE:
            client = self._client_of(key)
            if client is not None and client.on_overdue is not None:
                client.watched = False
                client.on_overdue()
            return
        assert isinstance(timer, Input)
        self._feed(side == "client", name, timer)

    def transport_failed(self, key: TimerKey) -> None:
        """A message could not be sent."""
        side, name = key
        assert isinstance(name, tuple)
        self._feed(side == "client", name, Input.TRANSPORT_FAILED)

    def _feed(self, client: bool, key: Key, happened: Input) -> None:
        if client:
            if (ours := self.clients.get(key)) is not None:
                self._run_client(ours, ours.machine.feed(happened))
        elif (theirs := self.servers.get(key)) is not None:
            self._run_server(theirs, theirs.machine.feed(happened))

    def _time(self, prefix: TimerKey, output: StartTimer | StopTimer) -> None:
        if isinstance(output, StartTimer):
            self.emit(SetTimer((*prefix, output.name), self.now + output.delay))
        else:
            self.emit(CancelTimer((*prefix, output.name)))


def key_of_quoted(octets: bytes) -> TimerKey | None:
    """The key of the request of ours that begins with these octets, as ICMP errors quote them; None: it is none."""
    match = _QUOTED_REQUEST.match(octets)
    return ("client", (match[2].decode("latin-1"), match[1].decode("latin-1"))) if match else None


def server_key(request: Request, method: str) -> Key:
    """What names a server transaction: branch and sender; for peers of RFC 2543, what they repeat."""
    via = request.via
    method = "INVITE" if method == "ACK" else method
    host, port = via.sent_by
    if via.branch.startswith(MAGIC_COOKIE) and len(via.branch) > len(MAGIC_COOKIE):
        return (via.branch, host, str(port), method)
    try:
        tag = request.from_.tag
    except FieldError:
        tag = ""
    return ("2543", tag, request.call_id, str(request.cseq.number), host, str(port), via.branch, method)
