"""Calls that come in: the peer's INVITE, ringing, answering, and the ACK.

Source: RFC 3261 sections 9.2 and 13.3; RFC 3262 section 3 (reliable provisional responses); RFC 4028 section 9.
"""

from __future__ import annotations

from .call import Call, PendingAck, Phase, ReliableProvisional
from .dialog import dialog_of_server
from .effects import Source
from .errors import CallStateError, FieldError, MediaNotAcceptable, SdpError
from .established_call import (
    answered,
    change_media,
    enter_dialog,
    finish,
    hang_up,
    read_session,
    report_media,
)
from .events import EndCause, Ended, IncomingCall
from .headers import parse_rack
from .message import Request, Response
from .offer_answer import LocalMedia, MediaSession
from .peer_address import vias_of
from .session_timer import answer, too_brief
from .stack import Stack, local_user
from .transaction_layer import ServerTransaction
from .uri import SipUri

ACCEPTED, RELIABLE, RINGING, EXPIRED = "accepted", "reliable", "ringing", "expired"
_LONGEST_INVITATION = 3600
_RING_AGAIN = 60.0


def receive(stack: Stack, server: ServerTransaction, source: Source) -> None:
    """An INVITE outside of any dialog, already found to make sense."""
    request = server.request
    if stack.leaving:
        stack.respond(server, 503, headers={"Retry-After": "10"})
        return
    stack.respond(server, 100)
    try:
        if too_brief(request.headers, stack.options.min_se):
            stack.respond(server, 422, headers={"Min-SE": str(stack.options.min_se)})
            return
        tag = stack.ids.tag()
        dialog = dialog_of_server(request, tag)
        offer = read_session(request)
    except SdpError:
        stack.respond(server, 400, "Bad Session Description")
        return
    except FieldError as error:
        stack.respond(server, 400, str(error))
        return
    server.tag = tag
    secure = isinstance(request.uri, SipUri) and request.uri.scheme == "sips"
    call = Call(
        stack.new_handle(),
        True,
        Phase.INCOMING,
        local_user(request.uri),
        source.transport,
        source.connection,
        source.trunk,
        secure,
        source,
        vias_of(request),
        peers={source.host},
    )
    call.server, call.offer = server, offer
    call.peer_allows = frozenset(text.upper() for text in request.headers.tokens("Allow"))
    call.wants_reliable = "100rel" in request.headers.tokens("Require")
    stack.calls[call.handle] = call
    enter_dialog(stack, call, dialog)
    if expires := int(request.headers.get("Expires") or 0):
        stack.set_timer(("call", call.handle, EXPIRED), min(expires, _LONGEST_INVITATION))
    stack.report(
        IncomingCall(
            call.handle,
            request.uri,
            request.from_,
            request.to,
            request.headers.copy(),
            offer,
            source.trunk,
            source.host,
        )
    )


def _fields(stack: Stack, call: Call) -> dict[str, str]:
    contact = stack.contact(call.transport, call.user, secure=call.secure)
    return {"Contact": str(contact)}


def ring(stack: Stack, call: Call, code: int, media: LocalMedia | None, headers: dict[str, str]) -> None:
    """Send a provisional response, with early media if `media` is given.

    Raises:
        CallStateError: the call was answered, or is over.
    """
    if call.phase is not Phase.INCOMING or call.server is None:
        raise CallStateError(f"A call that is {call.phase} cannot ring.")
    if call.reliable is not None:
        return  # One at a time: the peer has not acknowledged the last one yet (RFC 3262 section 3).
    body = b""
    if media is not None and not call.answer_body:
        if not _describe(stack, call, media):
            return
        body = call.answer_body
    fields = {**_fields(stack, call), "Allow": ", ".join(stack.options.methods), **headers}
    if not call.wants_reliable:
        call.provisional = stack.respond(call.server, code, headers=fields, body=body)
        stack.set_timer(("call", call.handle, RINGING), _RING_AGAIN)
        return
    call.last_rseq = call.last_rseq + 1 if call.last_rseq else stack.ids.number()
    fields |= {"Require": "100rel", "RSeq": str(call.last_rseq)}
    response = stack.respond(call.server, code, headers=fields, body=body)
    interval = stack.options.timing.t1
    call.reliable = ReliableProvisional(call.last_rseq, response, interval)
    call.offer_sent_early = call.offer_sent_early or (bool(body) and call.offer is None)
    stack.set_timer(("call", call.handle, RELIABLE), interval)


def _describe(stack: Stack, call: Call, media: LocalMedia) -> bool:
    """Make our description, an answer or an offer; False: nothing in common, the call was refused with 488."""
    call.media = MediaSession(media, stack.ids.number(), stack.ids.octets)
    if call.offer is None:
        call.answer_body = call.media.offer()
        return True
    try:
        call.answer_body, agreed = call.media.answer(call.offer)
    except MediaNotAcceptable as error:
        refuse(stack, call, 488, "", {"Warning": f'305 {stack.options.name} "{error}"'})
        stack.report(Ended(call.handle, EndCause.MEDIA_REFUSED, str(error)))
        return False
    report_media(stack, call, agreed)
    return True


def accept(stack: Stack, call: Call, media: LocalMedia, headers: dict[str, str]) -> None:
    """Answer the call with a 2xx, retransmitted until the ACK comes.

    Raises:
        CallStateError: it was answered before, or is over.
    """
    if call.phase is not Phase.INCOMING or call.server is None:
        raise CallStateError(f"A call that is {call.phase} cannot be answered.")
    if call.reliable is not None:
        # The answer waits for the PRACK where it would settle the media (RFC 3262 section 3).
        call.answer_waits = media
        return
    if not call.answer_body and not _describe(stack, call, media):
        return
    request = call.server.request
    timer, expires, require = answer(request.headers, stack.options.session_expires)
    fields = {**_fields(stack, call), "Allow": ", ".join(stack.options.methods), "Supported": "100rel, timer"}
    if expires is not None:
        fields["Session-Expires"] = str(expires)
    if require:
        fields["Require"] = "timer"
    body = b"" if call.offer_sent_early else call.answer_body
    response = stack.respond(call.server, 200, headers={**fields, **headers}, body=body)
    call.phase, call.timer = Phase.ACCEPTED, timer
    if call.dialog is not None:
        call.dialog.confirmed = True
    await_ack(stack, call, call.server, response, has_offer=call.offer is None and not call.offer_sent_early)


def refuse(stack: Stack, call: Call, code: int, reason: str, headers: dict[str, str]) -> None:
    """Send a final response other than 2xx; nothing is reported."""
    if call.server is not None and call.phase is Phase.INCOMING:
        stack.respond(call.server, code, reason, headers=headers)
    finish(stack, call, None)


# -- 2xx and ACK ----------------------------------------------------------------------------------------------------------------


def await_ack(
    stack: Stack, call: Call, server: ServerTransaction, response: Response, *, has_offer: bool
) -> None:
    """Send a 2xx again and again until its ACK comes (RFC 3261 section 13.3.1.4)."""
    interval = stack.options.timing.t1
    call.pending_ack = PendingAck(server, response, interval, has_offer=has_offer)
    stack.set_timer(("call", call.handle, ACCEPTED), interval)


def resend_2xx(stack: Stack, call: Call) -> None:
    """The ACK has not come yet."""
    pending, timing = call.pending_ack, stack.options.timing
    if pending is None:
        return
    pending.waited += pending.interval
    if pending.waited >= timing.give_up:
        call.pending_ack = None
        if call.phase is Phase.ACCEPTED:
            call.phase = Phase.CONFIRMED
        hang_up(stack, call, EndCause.NOT_ACKNOWLEDGED, "our answer was never acknowledged")
        return
    stack.layer.respond(pending.server, pending.response)
    pending.interval = min(pending.interval * 2, timing.t2, timing.give_up - pending.waited)
    stack.set_timer(("call", call.handle, ACCEPTED), pending.interval)


def acknowledged(stack: Stack, call: Call, ack: Request) -> None:
    """An ACK to a 2xx of ours."""
    pending = call.pending_ack
    if pending is None or pending.server.request.cseq.number != ack.cseq.number:
        return
    call.pending_ack = None
    stack.cancel_timer("call", call.handle, ACCEPTED)
    first = call.phase is Phase.ACCEPTED
    if first:
        call.phase = Phase.CONFIRMED
    if call.leave_after_ack:
        hang_up(stack, call, EndCause.LOCAL, reason=call.leave_reason)
        return
    if call.phase is not Phase.CONFIRMED:
        return
    if pending.has_offer and call.media is not None:
        try:
            session = read_session(ack)
            if session is not None:
                report_media(stack, call, call.media.take_answer(session))
            elif first:
                raise MediaNotAcceptable("the acknowledgement has no answer to our offer")
            else:
                call.media.abandon_offer()
        except (SdpError, MediaNotAcceptable) as error:
            hang_up(stack, call, EndCause.MEDIA_REFUSED, str(error))
            return
    if first:
        answered(stack, call, call.timer)
    change_media(stack, call)


# -- CANCEL and PRACK -----------------------------------------------------------------------------------------------------------


def cancelled(stack: Stack, call: Call, reason: str) -> None:
    """The caller took the INVITE back (RFC 3261 section 9.2)."""
    if call.phase is not Phase.INCOMING or call.server is None:
        return
    stack.respond(call.server, 487)
    finish(stack, call, EndCause.CANCELLED, reason)


def resend_provisional(stack: Stack, call: Call) -> None:
    """The PRACK has not come yet (RFC 3262 section 3)."""
    reliable, timing = call.reliable, stack.options.timing
    if reliable is None or call.server is None or call.phase is not Phase.INCOMING:
        return
    reliable.waited += reliable.interval
    if reliable.waited >= timing.give_up:
        stack.respond(call.server, 504)
        finish(stack, call, EndCause.NOT_ACKNOWLEDGED, "our provisional response was never acknowledged")
        return
    stack.layer.respond(call.server, reliable.response)
    reliable.interval = min(reliable.interval * 2, timing.give_up - reliable.waited)
    stack.set_timer(("call", call.handle, RELIABLE), reliable.interval)


def provisional_acknowledged(stack: Stack, call: Call, server: ServerTransaction) -> None:
    """A PRACK."""
    reliable = call.reliable
    try:
        rack = parse_rack(server.request.headers.get("RAck") or "")
    except FieldError as error:
        stack.respond(server, 400, str(error))
        return
    invite = call.server.request.cseq if call.server is not None else None
    if (
        reliable is None
        or invite is None
        or (rack.rseq, rack.cseq, rack.method)
        != (
            reliable.rseq,
            invite.number,
            invite.method,
        )
    ):
        stack.respond(server, 481)
        return
    try:
        body = _take_prack_session(stack, call, server.request)
    except SdpError:
        stack.respond(server, 400, "Bad Session Description")
        return
    except MediaNotAcceptable as error:
        stack.respond(server, 488, headers={"Warning": f'305 {stack.options.name} "{error}"'})
    else:
        stack.respond(server, 200, body=body)
    call.reliable = None
    stack.cancel_timer("call", call.handle, RELIABLE)
    if call.answer_waits is not None:
        media, call.answer_waits = call.answer_waits, None
        accept(stack, call, media, {})


def _take_prack_session(stack: Stack, call: Call, prack: Request) -> bytes:
    """The answer to an offer of ours in the provisional response, or a further offer of the peer's."""
    session = read_session(prack)
    if session is None or call.media is None:
        return b""
    if call.media.offering:
        report_media(stack, call, call.media.take_answer(session))
        return b""
    body, agreed = call.media.answer(session)
    report_media(stack, call, agreed)
    return body


def timer_fired(stack: Stack, call: Call, name: str) -> None:
    """A timer of a call that comes in fired."""
    if name == ACCEPTED:
        resend_2xx(stack, call)
    elif name == RELIABLE:
        resend_provisional(stack, call)
    elif name == EXPIRED:
        cancelled(stack, call, "the invitation expired")  # RFC 3261 section 13.3.1
    elif call.phase is Phase.INCOMING and call.server is not None and call.provisional is not None:
        # Proxies give up on a call that they have not heard of for three minutes (RFC 3261 section 13.3.1.1).
        stack.layer.respond(call.server, call.provisional)
        stack.set_timer(("call", call.handle, RINGING), _RING_AGAIN)
