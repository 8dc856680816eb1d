"""The peer's requests within a dialog.

Source: RFC 3261 sections 12.2.2, 14.2 and 15.1.2; RFC 3311 section 5.2 (UPDATE); RFC 6086 (INFO); RFC 4028 section 9.
"""

from __future__ import annotations

import re

from . import incoming_call, transfer
from .call import Call, Phase
from .dialog import Dialog, Order
from .effects import Source
from .errors import FieldError, MediaNotAcceptable, SdpError
from .established_call import finish, read_session, report_media, start_session_timer
from .events import DigitReceived, EndCause
from .message import Request
from .peer_address import vias_of
from .request_checks import content_type
from .session_timer import answer, too_brief
from .stack import ACCEPTED_BODIES, Stack
from .transaction_layer import ServerTransaction

_SIGNAL = re.compile(rb"(?im)^[ \t]*signal[ \t]*=[ \t]*([0-9A-Da-d*#]|1[0-5])[ \t]*\r?$")
_DURATION = re.compile(rb"(?im)^[ \t]*duration[ \t]*=[ \t]*(\d{1,6})[ \t]*\r?$")
_BARE_DIGIT = re.compile(rb"\s*([0-9A-Da-d*#])\s*\Z")
_DEFAULT_DURATION = 0.25


def comes_from_peer(call: Call, source: Source) -> bool:
    """Whether a request for the call may come from there: a spoofed one matches the tags at most."""
    return source.host in call.peers or bool(call.trunk and call.trunk == source.trunk)


def receive(stack: Stack, call: Call, server: ServerTransaction, source: Source) -> None:
    """A request that belongs to the call's dialog and makes sense by itself; not an ACK, nor a CANCEL."""
    request = server.request
    dialog = _dialog_of(call, request)
    if dialog is None or not comes_from_peer(call, source):
        stack.respond(server, 481)
        return
    if dialog.order_of(request) is Order.OLD:
        stack.respond(server, 500, "Out of Order")
        return
    if source.connection:
        call.connection = source.connection  # The peer may have lost the one before.
    call.source, call.vias = source, vias_of(request)  # Its NAT may have forgotten the flow before.
    if request.method != "BYE" and (call.is_over or call.leave_after_ack):
        stack.respond(server, 481)  # We have hung up.
        return
    match request.method:
        case "BYE":
            _bye(stack, call, server)
        case "INVITE" | "UPDATE":
            _offer(stack, call, server)
        case "INFO":
            _info(stack, call, server)
        case "PRACK":
            incoming_call.provisional_acknowledged(stack, call, server)
        case "NOTIFY":
            transfer.notified(stack, call, server)
        case "REFER":
            transfer.asked(stack, call, server)
        case "OPTIONS":
            options(stack, server)


def _dialog_of(call: Call, request: Request) -> Dialog | None:
    """The call's dialog that a request belongs to, which is the call's from now on; before the answer each fork has one."""
    known = [call.dialog, *call.forks.values()] if call.phase is Phase.CALLING else [call.dialog]
    for dialog in known:
        if dialog is not None and dialog.id == (request.call_id, request.to.tag, request.from_.tag):
            call.dialog = dialog
            return dialog
    return None


def options(stack: Stack, server: ServerTransaction) -> None:
    """Say what we can (RFC 3261 section 11.2)."""
    stack.respond(
        server,
        200,
        headers={
            "Allow": ", ".join(stack.options.methods),
            "Accept": ACCEPTED_BODIES,
            "Accept-Encoding": "identity",
            "Accept-Language": "en",
            "Supported": "100rel, timer",
        },
    )


def _bye(stack: Stack, call: Call, server: ServerTransaction) -> None:
    stack.respond(server, 200)
    if call.phase is Phase.INCOMING and call.server is not None:
        stack.respond(call.server, 487)
        finish(stack, call, EndCause.CANCELLED)
        return
    if call.phase is Phase.CALLING and call.invite is not None:
        return  # An early dialog ended; the INVITE itself goes on (RFC 3261 section 15.1.2).
    if call.phase is Phase.LEAVING:
        return  # Both hung up at once; our own BYE ends it.
    if call.change is not None:
        call.change.cancel()
    if call.leave_after_ack:
        finish(stack, call, None)
        return
    reason = server.request.headers.get("Reason") or ""
    finish(stack, call, EndCause.PEER_HUNG_UP, reason)


def _offer(stack: Stack, call: Call, server: ServerTransaction) -> None:
    """A re-INVITE or UPDATE, with or without an offer (RFC 3261 section 14.2, RFC 3311 section 5.2)."""
    request = server.request
    invite = request.method == "INVITE"
    if call.change is not None and (invite or request.body):
        stack.respond(server, 491)
        return
    if (
        call.pending_ack is not None
        and (call.pending_ack.has_offer or call.phase is Phase.ACCEPTED)
        and (invite or request.body)
    ):
        stack.respond(server, 491)
        return
    early = call.phase in (Phase.INCOMING, Phase.CALLING, Phase.CANCELLING)
    if early and (invite or request.body) and (invite or not _is_settled_early(call)):
        stack.respond(server, 500, headers={"Retry-After": str(int(stack.ids.between(0, 10)))})
        return
    try:
        if too_brief(request.headers, stack.options.min_se):
            stack.respond(server, 422, headers={"Min-SE": str(stack.options.min_se)})
            return
        _accept_offer(stack, call, server, invite)
    except SdpError:
        stack.respond(server, 400, "Bad Session Description")
    except FieldError as error:
        stack.respond(server, 400, str(error))
    except MediaNotAcceptable as error:
        stack.respond(server, 488, headers={"Warning": f'305 {stack.options.name} "{error}"'})


def _is_settled_early(call: Call) -> bool:
    """Whether an UPDATE may change media before the call is answered: only once an offer was answered (RFC 3311 section 5.1)."""
    settled = call.media_agreed or (bool(call.answer_body) and call.reliable is None)
    return call.media is not None and settled and (call.media_agreed or not call.media.offering)


def _accept_offer(stack: Stack, call: Call, server: ServerTransaction, invite: bool) -> None:
    request = server.request
    session = read_session(request)
    body, has_offer, agreed = b"", False, None
    if session is not None and call.media is not None:
        body, agreed = call.media.answer(session)
        if call.phase is Phase.CALLING:
            call.media_of = request.from_.tag
            call.early_answers[call.media_of] = session
    elif invite and call.media is not None:
        body, has_offer = call.media.offer(), True
    timer, expires, require = answer(request.headers, call.timer.interval if call.timer else 0)
    if call.dialog is not None:
        call.dialog.refresh_target(request)
    contact = stack.contact(call.transport, call.user, secure=call.secure)
    fields = {
        "Contact": str(contact),
        "Allow": ", ".join(stack.options.methods),
        "Supported": "100rel, timer",
    }
    if expires is not None:
        fields["Session-Expires"] = str(expires)
    if require:
        fields["Require"] = "timer"
    response = stack.respond(server, 200, headers=fields, body=body)
    if invite:
        incoming_call.await_ack(stack, call, server, response, has_offer=has_offer)
    if call.phase is Phase.CONFIRMED:
        start_session_timer(stack, call, timer)  # None: the session expires no more (RFC 4028 section 9)
    if agreed is not None:
        report_media(stack, call, agreed)


def _info(stack: Stack, call: Call, server: ServerTransaction) -> None:
    """Digits as `application/dtmf-relay` or `application/dtmf`; an INFO without a body shows that the peer is there."""
    request = server.request
    if not request.body:
        stack.respond(server, 200)
        return
    if content_type(request) == "application/dtmf-relay":
        match = _SIGNAL.search(request.body)
        length = _DURATION.search(request.body)
        duration = min(int(length[1]) / 1000, 10.0) if length else _DEFAULT_DURATION
    else:
        match, duration = _BARE_DIGIT.match(request.body) or _SIGNAL.search(request.body), _DEFAULT_DURATION
    if match is None:
        stack.respond(server, 400, "No Digit")
        return
    stack.respond(server, 200)
    text = match[1].decode().upper()
    if len(text) == 2:
        text = "*#ABCD"[int(text) - 10]
    if call.phase in (Phase.CONFIRMED, Phase.ACCEPTED):
        stack.report(DigitReceived(call.handle, text, duration))
