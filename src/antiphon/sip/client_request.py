"""A request of ours from beginning to end: challenges, a fall back from TCP to UDP, several servers.

Source: RFC 3261 sections 8.1.3, 9.1, 18.1.1 and 22; RFC 3263 section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from .digest import DigestClient
from .effects import Avoid, Hop, Server
from .message import Request, Response, make_response
from .transaction import make_cancel
from .transaction_layer import ClientTransaction

if TYPE_CHECKING:
    from .stack import Stack

_MAX_TRIES = 4
_AVOIDED_SECONDS = 30.0
_LONGEST_REST = 3600


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
        self._by_tcp = False
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
        if hop.transport != "UDP" or "TCP" not in options.addresses or not self._stack.may_take_tcp(hop):
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
        if response.status == 503 and self._try_next(_seconds_to_rest(response)):
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
            self._stack.takes_no_tcp(self._hop)
            self.send()
            return
        if self._try_next():
            return
        self.finished = True
        response = make_response(self.request, status)
        response.headers.add("Warning", '399 local "no response was received"')
        self._on_response(response)

    # -- other servers -----------------------------------------------------------------------------------------------------

    def _try_next(self, avoid: float = _AVOIDED_SECONDS) -> bool:
        """Send it to the next server, if there is one, and the last one did not ring yet.

        Args:
            avoid: for how many seconds other requests go to other servers first.
        """
        last = self.transaction
        if last is None or not last.others or self.cancelled or self.finished or self._rang:
            return False
        if last.hop.server is not None:
            self._stack.emit(Avoid(last.hop.server, avoid))
        if self._by_tcp:
            self._stack.takes_no_tcp(self._hop)
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
                self._take_back(last)
            return
        if not self.finished and (response.status < 300 or not invite):
            if self.transaction is not None:
                self._give_up(self.transaction)
                if invite and self.provisional:
                    self._take_back(self.transaction)
            self.finished = True
            self._on_response(response)
        elif invite and response.status < 300:
            self._on_response(response)

    def _take_back(self, last: ClientTransaction) -> None:
        """Ask a server that was given up, and has the INVITE, to stop."""
        self._send_cancel(last)
        last.on_response = partial(self._straggled_again, last)
        self._stack.layer.expire(last)

    def _straggled_again(self, last: ClientTransaction, response: Response) -> None:
        """It was asked to stop."""
        if response.status >= 200:
            self._straggled(last, response)


def _seconds_to_rest(response: Response) -> float:
    """For how long a server that is overloaded wants to be left alone (RFC 3261 section 21.5.4)."""
    text = (response.headers.get("Retry-After") or "").partition("(")[0].partition(";")[0].strip()
    return min(int(text), _LONGEST_REST) if text.isascii() and text.isdigit() else _AVOIDED_SECONDS


def _ignore(_: object) -> None:
    """Nothing depends on how this goes."""


def _as_it_is(_: Request) -> None:
    """Only the number changes."""
