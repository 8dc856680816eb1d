"""Registrations with trunks that want them: made, kept, tried again, taken back.

Source: RFC 3261 section 10.2; RFC 5626 section 4.5 for the waits after failures.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum

from .client_request import ClientRequest
from .dialog import hop_of
from .digest import Credentials, DigestClient
from .effects import Hop, Send
from .errors import FieldError, UnsafeValue
from .events import Registered, RegistrationFailed, Unregistered
from .grammar import parse_number
from .headers import NameAddr, contacts
from .message import Request, Response
from .stack import Stack
from .uri import Uri

_HOPELESS = frozenset({401, 403, 404, 405, 407, 416, 484, 501})
_FIRST_WAIT, _LONGEST_WAIT = 30.0, 1800.0
_SHORTEST, _LONGEST = 10, 86_400
_KEEP_ALIVE = 25.0  # below the half minute after which some routers forget a UDP flow


class RegistrationState(StrEnum):
    """What a registration is about to do."""

    REGISTERING = "registering"
    REGISTERED = "registered"
    WAITING = "waiting"
    LEAVING = "leaving"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """A registration to make and keep.

    Attributes:
        registrar: the Request-URI, without a user part.
        address: the address of record.
        credentials: for challenges; None: none.
        hop: where to send it; None: the registrar's own address.
        user: user part of our Contact.
        expires: seconds to ask for.
    """

    registrar: Uri
    address: Uri
    credentials: Credentials | None = None
    hop: Hop | None = None
    user: str = "antiphon"
    expires: int = 3600


@dataclass(slots=True)
class Registration:
    """One registration and what it is doing."""

    handle: int
    wanted: RegistrationRequest
    hop: Hop
    call_id: str
    tag: str
    digest: DigestClient | None
    expires: int
    state: RegistrationState = RegistrationState.REGISTERING
    failures: int = 0
    cseq: int = 0
    registered_once: bool = field(default=False)
    sent: ClientRequest | None = None  # the last REGISTER

    def next_cseq(self) -> int:
        """The number of the next REGISTER."""
        self.cseq += 1
        return self.cseq


class Registrations:
    """All registrations of a user agent."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._all: dict[int, Registration] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, wanted: RegistrationRequest) -> int:
        """Register, and keep it up; returns the handle that events carry.

        Raises:
            UnsafeValue: the registrar's address leads nowhere.
        """
        try:
            hop = wanted.hop or hop_of(wanted.registrar)
        except FieldError as error:
            raise UnsafeValue(f"{wanted.registrar} is no registrar: {error}.") from None
        stack = self._stack
        digest = DigestClient(wanted.credentials, stack.ids) if wanted.credentials else None
        registration = Registration(
            stack.new_handle(), wanted, hop, stack.ids.call_id(), stack.ids.tag(), digest, wanted.expires
        )
        self._all[registration.handle] = registration
        self._send(registration, registration.expires)
        return registration.handle

    def remove(self, handle: int) -> None:
        """Take a registration back (RFC 3261 section 10.2.2)."""
        registration = self._all.get(handle)
        if registration is None or registration.state is RegistrationState.LEAVING:
            return
        self._stack.cancel_timer("registration", handle)
        self._stack.cancel_timer("keep-alive", handle)
        registration.state = RegistrationState.LEAVING
        if registration.registered_once:
            self._send(registration, 0)
        else:
            self._over(registration)

    def handles(self) -> list[int]:
        """Those that are kept."""
        return list(self._all)

    def timer_fired(self, handle: Hashable) -> None:
        """Time to refresh, or to try again."""
        registration = self._all.get(handle) if isinstance(handle, int) else None
        if registration is not None and registration.state is not RegistrationState.LEAVING:
            registration.state = RegistrationState.REGISTERING
            self._send(registration, registration.expires)

    def keep_alive(self, handle: Hashable) -> None:
        """Show the routers on the way that the flow is still in use, or calls would not find back (RFC 5626 section 4.4.1)."""
        registration = self._all.get(handle) if isinstance(handle, int) else None
        if registration is not None and registration.state is RegistrationState.REGISTERED:
            last = registration.sent.transaction if registration.sent is not None else None
            self._stack.emit(Send(registration.hop if last is None else last.hop, b"\r\n\r\n"))
            self._stack.set_timer(("keep-alive", registration.handle), _KEEP_ALIVE)

    def _send(self, registration: Registration, expires: int) -> None:
        stack, wanted = self._stack, registration.wanted
        request = Request("REGISTER", wanted.registrar)
        headers = request.headers
        headers.add("Max-Forwards", "70")
        headers.add("From", str(NameAddr(wanted.address).with_tag(registration.tag)))
        headers.add("To", str(NameAddr(wanted.address)))
        headers.add("Call-ID", registration.call_id)
        headers.add("CSeq", f"{registration.next_cseq()} REGISTER")
        contact = stack.contact(registration.hop.transport, wanted.user)
        headers.add("Contact", f"{contact};expires={expires}")
        headers.add("Expires", str(expires))
        headers.add("Allow", ", ".join(stack.options.methods))
        registration.sent = stack.send_request(
            request,
            registration.hop,
            lambda response: self._answered(registration, response),
            renumber=registration.next_cseq,
            digest=registration.digest,
        )

    def _answered(self, registration: Registration, response: Response) -> None:
        if response.status < 200 or registration.state is RegistrationState.OVER:
            return
        if registration.state is RegistrationState.LEAVING:
            self._left(registration, response)
        elif response.status < 300:
            self._accepted(registration, response)
        elif response.status == 423 and self._retry_longer(registration, response):
            return
        else:
            self._refused(registration, response)

    def _left(self, registration: Registration, response: Response) -> None:
        """The answer to the last REGISTER; an answer to an earlier one means that ours is still to come."""
        if response.cseq.number >= registration.cseq:
            self._over(registration)

    def _accepted(self, registration: Registration, response: Response) -> None:
        granted = _granted(
            response,
            registration.expires,
            self._stack.contact(registration.hop.transport, registration.wanted.user),
        )
        registration.state, registration.failures = RegistrationState.REGISTERED, 0
        registration.registered_once = True
        self._stack.set_timer(("registration", registration.handle), granted * 0.8)
        if registration.hop.transport == "UDP":  # connections keep themselves alive
            self._stack.set_timer(("keep-alive", registration.handle), _KEEP_ALIVE)
        self._stack.report(Registered(registration.handle, float(granted)))

    def _retry_longer(self, registration: Registration, response: Response) -> bool:
        """RFC 3261 section 10.2.8: the registrar wants a longer interval."""
        try:
            minimum = parse_number(response.headers.get("Min-Expires") or "", "Min-Expires", _LONGEST)
        except FieldError:
            return False
        if minimum <= registration.expires:
            return False
        registration.expires = minimum
        self._send(registration, minimum)
        return True

    def _refused(self, registration: Registration, response: Response) -> None:
        registration.failures += 1
        if response.status in _HOPELESS:
            wait = None
        else:
            limit = min(_FIRST_WAIT * 2 ** (registration.failures - 1), _LONGEST_WAIT)
            wait = self._stack.ids.between(limit / 2, limit)
        self._stack.report(RegistrationFailed(registration.handle, response.status, response.reason, wait))
        if wait is None:
            del self._all[registration.handle]
            registration.state = RegistrationState.OVER
        else:
            registration.state = RegistrationState.WAITING
            self._stack.set_timer(("registration", registration.handle), wait)

    def _over(self, registration: Registration) -> None:
        registration.state = RegistrationState.OVER
        self._all.pop(registration.handle, None)
        self._stack.report(Unregistered(registration.handle))


def _granted(response: Response, asked: int, ours: NameAddr) -> int:
    """For how many seconds: by our Contact's own parameter, else by Expires, else as asked (RFC 3261 section 10.2.4)."""
    texts: list[str | None] = []
    try:
        found = contacts(response.headers)
    except FieldError:
        found = []
    for contact in found:
        uri = contact.uri
        if getattr(uri, "number", "") == getattr(ours.uri, "number", "") and getattr(
            uri, "host", ""
        ) == getattr(ours.uri, "host", ""):
            texts.append(contact.params.get("expires"))
    texts.append(response.headers.get("Expires"))
    for text in texts:
        try:
            seconds = parse_number(text or "", "expires", 2**32 - 1)
        except FieldError:
            continue
        return min(max(seconds, _SHORTEST), _LONGEST)
    return asked
