"""The user agent: calls in and out, registrations and pings, over transactions and dialogs. Pure: no socket, no clock.

Whoever owns the sockets hands messages to `receive`, timers to `timer_fired` and failed sends to `transport_failed`, each with
the time in seconds on any steady clock, and carries out the effects that come back, in order. Whoever owns the calls uses
the other methods, which return effects likewise; what happens on a call comes as `Report` effects.

Source: RFC 3261 section 8 and the RFCs that the modules behind it name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from . import dialog_requests, established_call, incoming_call, outgoing_call, transfer
from .call import Call, CallRequest, Phase
from .dialog import hop_of
from .effects import Effect, Hop, Server, Source, TimerKey
from .errors import BadRequest, CallStateError, FieldError, UnsafeValue
from .events import EndCause, Ended, PingAnswered
from .headers import NameAddr
from .ids import Ids
from .message import Message, Request, Response
from .offer_answer import LocalMedia
from .registration import RegistrationRequest, Registrations
from .request_checks import find_fault, is_answerable
from .sdp import Direction
from .stack import Stack, UserAgentOptions, response_hop, stamp_via
from .transaction_layer import ServerTransaction
from .uri import Uri

_ONLY_IN_DIALOG = frozenset({"BYE", "UPDATE", "PRACK", "INFO", "NOTIFY"})


class UserAgent:
    """One user agent: client and server of any number of calls. A call's handle is what `IncomingCall` or `place_call` gave."""

    def __init__(self, options: UserAgentOptions, ids: Ids | None = None) -> None:
        self._stack = Stack(options, ids or Ids())
        self._registrations = Registrations(self._stack)

    @property
    def calls(self) -> list[int]:
        """The calls that are not over."""
        return list(self._stack.calls)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to wait for: no call, no registration, no request without an answer."""
        stack = self._stack
        waiting = any(
            not (client.machine.is_answered or client.given_up) for client in stack.layer.clients.values()
        )
        return not stack.calls and not len(self._registrations) and not waiting

    # -- from the wire -----------------------------------------------------------------------------------------------------

    def receive(self, message: Message, source: Source, now: float) -> list[Effect]:
        """Take a message."""
        stack = self._begin(now)
        stack.source = source
        if isinstance(message, Response):
            self._receive_response(message)
        else:
            self._receive_request(message, source)
        return self._end()

    def receive_bad(self, fault: BadRequest, source: Source, now: float) -> list[Effect]:
        """Answer a request that could not be read, if its sender may hear from us at all."""
        stack = self._begin(now)
        if source.may_begin:
            hop = response_hop(fault.request, source)
            stack.respond_without_transaction(fault.request, fault.status, str(fault), hop)
        return self._end()

    def timer_fired(self, key: TimerKey, now: float) -> list[Effect]:
        """A timer fired that was set by `SetTimer`."""
        stack = self._begin(now)
        match key:
            case ("call", int() as handle, str() as name):
                call = stack.calls.get(handle)
                if call is not None:
                    self._call_timer(call, name)
            case ("registration", handle):
                self._registrations.timer_fired(handle)
            case ("keep-alive", handle):
                self._registrations.keep_alive(handle)
            case _:
                stack.layer.timer_fired(key)
        return self._end()

    def transport_failed(self, key: TimerKey, now: float) -> list[Effect]:
        """A `Send` with this key could not be carried out."""
        self._begin(now).layer.transport_failed(key)
        return self._end()

    def servers_found(self, key: TimerKey, servers: Sequence[Server], now: float) -> list[Effect]:
        """The name in the hop of a `Send` with this key leads to these servers, and it goes to the first of them."""
        self._begin(now).layer.servers_found(key, servers)
        return self._end()

    def awaits(self, key: TimerKey) -> bool:
        """Whether a `Send` with this key that was held up still makes sense."""
        return self._stack.layer.awaits(key)

    # -- calls -------------------------------------------------------------------------------------------------------------

    def place_call(self, wanted: CallRequest, now: float) -> tuple[int, list[Effect]]:
        """Call somebody. `Progress`, `MediaChanged`, then `Answered` or `Rejected` follow.

        Raises:
            UnsafeValue: a header, number or address would have changed the message's structure; nothing was sent.
        """
        stack = self._begin(now)
        call = outgoing_call.place(stack, wanted)
        return call.handle, self._end()

    def ring(
        self,
        handle: int,
        now: float,
        *,
        code: int = 180,
        media: LocalMedia | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> list[Effect]:
        """Tell a caller that it rings.

        Args:
            code: 180, 181, 182 or 183.
            media: send our description already, so that the caller hears us before the answer.

        Raises:
            CallStateError: there is no such call that rings.
            UnsafeValue: a header would have changed the message's structure.
        """
        stack = self._begin(now)
        incoming_call.ring(stack, self._call(handle), code, media, dict(headers or {}))
        return self._end()

    def answer(
        self, handle: int, media: LocalMedia, now: float, *, headers: Mapping[str, str] | None = None
    ) -> list[Effect]:
        """Answer a call that came in. `MediaChanged` and `Answered` follow; with nothing in common, 488 is sent and `Ended` follows.

        Raises:
            CallStateError: there is no such call that rings.
            UnsafeValue: a header would have changed the message's structure.
        """
        stack = self._begin(now)
        incoming_call.accept(stack, self._call(handle), media, dict(headers or {}))
        return self._end()

    def hang_up(
        self,
        handle: int,
        now: float,
        *,
        code: int = 480,
        phrase: str = "",
        reason: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> list[Effect]:
        """End a call however far it is: refuse it, take it back, or send BYE. `Ended` follows; a call that is over is passed over.

        Args:
            code: the final response, of a call that came in and was not answered.
            reason: for a Reason header field of a BYE, as `Q.850;cause=16`.
            headers: of the final response.
        """
        stack = self._begin(now)
        call = stack.calls.get(handle)
        if call is None:
            return self._end()
        match call.phase:
            case Phase.INCOMING:
                incoming_call.refuse(stack, call, code, phrase, dict(headers or {}))
                stack.report(Ended(handle, EndCause.LOCAL))
            case Phase.CALLING:
                outgoing_call.cancel(stack, call)
            case Phase.ACCEPTED | Phase.CONFIRMED:
                established_call.hang_up(stack, call, EndCause.LOCAL, reason=reason)
        return self._end()

    def hold(self, handle: int, direction: Direction, now: float) -> list[Effect]:
        """Change what we send and receive: `SENDONLY` or `INACTIVE` hold the peer, `SENDRECV` resumes. `MediaChanged` follows.

        Raises:
            CallStateError: the call is not on.
        """
        stack = self._begin(now)
        call = self._call(handle)
        if call.phase is not Phase.CONFIRMED:
            raise CallStateError(f"A call that is {call.phase} cannot be held.")
        call.wanted_change = direction
        established_call.change_media(stack, call)
        return self._end()

    def transfer(self, handle: int, target: Uri, now: float) -> list[Effect]:
        """Ask the peer to talk to somebody else instead. `TransferSucceeded` or `TransferRejected` follows.

        Raises:
            CallStateError: the call is not on, or being transferred.
        """
        stack = self._begin(now)
        transfer.ask(stack, self._call(handle), target)
        return self._end()

    def report_transfer(self, handle: int, code: int, now: float) -> list[Effect]:
        """Tell the peer how the transfer goes that it asked for."""
        stack = self._begin(now)
        transfer.report(stack, self._call(handle), code)
        return self._end()

    def send_digit(self, handle: int, digit: str, now: float, *, duration: float = 0.16) -> list[Effect]:
        """Send a key by INFO, for peers that take no RFC 4733 events.

        Args:
            duration: seconds.

        Raises:
            CallStateError: the call is not on.
            UnsafeValue: it is no key.
        """
        if len(digit) != 1 or digit not in "0123456789*#ABCD":
            raise UnsafeValue(f"{digit!r} is no key of a telephone.")
        stack = self._begin(now)
        call = self._call(handle)
        if call.phase is not Phase.CONFIRMED:
            raise CallStateError(f"A call that is {call.phase} takes no digits.")
        body = f"Signal={digit}\r\nDuration={round(duration * 1000)}\r\n".encode()
        established_call.send_in_dialog(
            stack, call, "INFO", lambda _: None, body=body, content_type="application/dtmf-relay"
        )
        return self._end()

    # -- registrations and pings -------------------------------------------------------------------------------------------

    def register(self, wanted: RegistrationRequest, now: float) -> tuple[int, list[Effect]]:
        """Register with a trunk and keep it up. `Registered` and `RegistrationFailed` tell how it goes.

        Raises:
            UnsafeValue: the registrar's address leads nowhere.
        """
        self._begin(now)
        handle = self._registrations.add(wanted)
        return handle, self._end()

    def unregister(self, handle: int, now: float) -> list[Effect]:
        """Take a registration back. `Unregistered` follows."""
        self._begin(now)
        self._registrations.remove(handle)
        return self._end()

    def ping(self, target: Uri, now: float, *, hop: Hop | None = None) -> tuple[int, list[Effect]]:
        """Ask whether a trunk is there, by OPTIONS. `PingAnswered` follows.

        Raises:
            UnsafeValue: the address leads nowhere.
        """
        stack = self._begin(now)
        try:
            hop = hop or hop_of(target)
        except FieldError as error:
            raise UnsafeValue(f"{target} cannot be reached: {error}.") from None
        handle = stack.new_handle()
        me = stack.contact(hop.transport, "antiphon")
        request = Request("OPTIONS", target)
        request.headers.add("Max-Forwards", "70")
        request.headers.add("From", str(NameAddr(me.uri).with_tag(stack.ids.tag())))
        request.headers.add("To", str(NameAddr(target)))
        request.headers.add("Call-ID", stack.ids.call_id())
        request.headers.add("CSeq", "1 OPTIONS")
        request.headers.add("Contact", str(me))
        request.headers.add("Accept", "application/sdp")

        def answered(response: Response) -> None:
            if response.status >= 200:
                stack.report(PingAnswered(handle, response.status))

        numbers = iter(range(2, 100))
        stack.send_request(request, hop, answered, renumber=lambda: next(numbers))
        return handle, self._end()

    def leave(self, now: float) -> list[Effect]:
        """End every call, refuse new ones and take every registration back; wait for `is_idle`."""
        self._stack.leaving = True
        effects: list[Effect] = []
        for handle in self.calls:
            effects += self.hang_up(handle, now, code=503)
        self._begin(now)
        for handle in self._registrations.handles():
            self._registrations.remove(handle)
        return effects + self._end()

    # -- inside ------------------------------------------------------------------------------------------------------------

    def _begin(self, now: float) -> Stack:
        self._stack.now = self._stack.layer.now = now
        self._stack.source = Source("UDP", "", 0)
        self._stack.effects = []
        return self._stack

    def _end(self) -> list[Effect]:
        effects, self._stack.effects = self._stack.effects, []
        return effects

    def _call(self, handle: int) -> Call:
        call = self._stack.calls.get(handle)
        if call is None:
            raise CallStateError("The call is over.")
        return call

    def _call_timer(self, call: Call, name: str) -> None:
        stack = self._stack
        match name:
            case "cancel":
                outgoing_call.give_up_cancelling(stack, call)
            case "accepted" | "reliable" | "ringing" | "expired":
                incoming_call.timer_fired(stack, call, name)
            case "transfer":
                transfer.timed_out(stack, call)
            case _:
                established_call.timer_fired(stack, call, name)

    def _receive_response(self, response: Response) -> None:
        """RFC 3261 section 8.1.3.3: a response with further Vias went astray."""
        fields = response.headers
        complete = all(name in fields for name in ("Via", "From", "To", "Call-ID", "CSeq"))
        if complete and len(fields.listed("Via")) == 1:
            self._stack.layer.receive_response(response)

    def _receive_request(self, request: Request, source: Source) -> None:
        stack = self._stack
        if not is_answerable(request):
            if source.may_begin and "Via" in request.headers:
                stack.respond_without_transaction(
                    request, 400, "A header field is missing", response_hop(request, source)
                )
            return
        stamp_via(request, source)
        call = stack.dialogs.get((request.call_id, request.to.tag, request.from_.tag))
        if request.method == "ACK":
            self._receive_ack(request, call, source)
            return
        if not source.may_begin and call is None and stack.layer.find(request) is None:
            return  # Not even a CANCEL: its INVITE would have been dropped too.
        server = stack.layer.receive_request(request, source, response_hop(request, source))
        if server is None:
            return
        if request.method == "INVITE":
            server.on_ack = partial(self._ack_of_invite, source=source)
        if request.method == "CANCEL":
            self._cancel(server, source)
        elif stack.layer.is_merged(server):
            stack.respond(server, 482)
        else:
            self._dispatch(server, call, source)

    def _dispatch(self, server: ServerTransaction, call: Call | None, source: Source) -> None:
        stack, request = self._stack, server.request
        in_dialog = bool(request.to.tag)
        fault = find_fault(request, stack.options, in_dialog=in_dialog)
        if fault is not None:
            stack.respond(server, fault.status, fault.reason, headers=fault.headers)
        elif call is not None:
            dialog_requests.receive(stack, call, server, source)
        elif in_dialog or request.method in _ONLY_IN_DIALOG:
            stack.respond(server, 481)
        elif request.method == "INVITE":
            incoming_call.receive(stack, server, source)
        elif request.method == "OPTIONS":
            dialog_requests.options(stack, server)
        else:
            stack.respond(server, 603)

    def _receive_ack(self, ack: Request, call: Call | None, source: Source) -> None:
        """An ACK belongs to a transaction, unless it acknowledges a 2xx: then it belongs to a dialog."""
        stack = self._stack
        server = stack.layer.find(ack)
        if server is not None:
            if server.source.host == source.host or (source.trunk and source.trunk == server.source.trunk):
                stack.layer.receive_request(ack, source, response_hop(ack, source))
        elif call is not None and dialog_requests.comes_from_peer(call, source):
            incoming_call.acknowledged(stack, call, ack)

    def _ack_of_invite(self, ack: Request, *, source: Source) -> None:
        """The ACK to a 2xx by a peer that repeats the INVITE's branch, as those of RFC 2543 do."""
        call = self._stack.dialogs.get((ack.call_id, ack.to.tag, ack.from_.tag))
        if call is not None and dialog_requests.comes_from_peer(call, source):
            incoming_call.acknowledged(self._stack, call, ack)

    def _cancel(self, server: ServerTransaction, source: Source) -> None:
        """RFC 3261 section 9.2; a CANCEL from elsewhere than its INVITE is none."""
        stack = self._stack
        invite = stack.layer.find(server.request, "INVITE")
        same = invite is not None and (
            invite.source.host == source.host or bool(source.trunk and source.trunk == invite.source.trunk)
        )
        if invite is None or not same:
            stack.respond(server, 481)
            return
        stack.respond(server, 200, to_tag=invite.tag)
        call = next((one for one in stack.calls.values() if one.server is invite), None)
        if call is not None:
            incoming_call.cancelled(stack, call, server.request.headers.get("Reason") or "")
