"""Calls that come in: the peer's INVITE, ringing, answering, and the ACK.

Source: RFC 3261 sections 9.2 and 13.3; RFC 3262 section 3 (reliable provisional responses); RFC 4028 section 9.
"""

from __future__ import annotations

from .call import Call, PendingAck, Phase, ReliableProvisional
from .core import Core, local_user
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
from .session_timer import answer, too_brief
from .transaction_layer import ServerTransaction
from .uri import SipUri

ACCEPTED, RELIABLE = "accepted", "reliable"


def receive(core: Core, server: ServerTransaction, source: Source) -> None:
    """An INVITE outside of any dialog, already found to make sense."""
    request = server.request
    if core.leaving:
        core.respond(server, 503, headers={"Retry-After": "10"})
        return
    core.respond(server, 100)
    try:
        if too_brief(request.headers, core.options.min_se):
            core.respond(server, 422, headers={"Min-SE": str(core.options.min_se)})
            return
        tag = core.ids.tag()
        dialog = dialog_of_server(request, tag)
        offer = read_session(request)
    except SdpError:
        core.respond(server, 400, "Bad Session Description")
        return
    except FieldError as error:
        core.respond(server, 400, str(error))
        return
    server.tag = tag
    secure = isinstance(request.uri, SipUri) and request.uri.scheme == "sips"
    call = Call(
        core.new_handle(),
        True,
        Phase.INCOMING,
        local_user(request.uri),
        source.transport,
        source.connection,
        source.trunk,
        secure,
        peers={source.host},
    )
    call.server, call.offer = server, offer
    call.peer_allows = frozenset(text.upper() for text in request.headers.tokens("Allow"))
    call.wants_reliable = "100rel" in request.headers.tokens("Require")
    core.calls[call.handle] = call
    enter_dialog(core, call, dialog)
    core.report(
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


def _fields(core: Core, call: Call) -> dict[str, str]:
    contact = core.contact(call.transport, call.user, secure=call.secure)
    return {"Contact": str(contact)}


def ring(core: Core, call: Call, code: int, media: LocalMedia | None, headers: dict[str, str]) -> None:
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
        if not _describe(core, call, media):
            return
        body = call.answer_body
    fields = {**_fields(core, call), "Allow": ", ".join(core.options.methods), **headers}
    if not call.wants_reliable:
        core.respond(call.server, code, headers=fields, body=body)
        return
    call.last_rseq = call.last_rseq + 1 if call.last_rseq else core.ids.number()
    fields |= {"Require": "100rel", "RSeq": str(call.last_rseq)}
    response = core.respond(call.server, code, headers=fields, body=body)
    interval = core.options.timing.t1
    call.reliable = ReliableProvisional(call.last_rseq, response, interval)
    call.offer_sent_early = call.offer_sent_early or (bool(body) and call.offer is None)
    core.set_timer(("call", call.handle, RELIABLE), interval)


def _describe(core: Core, call: Call, media: LocalMedia) -> bool:
    """Make our description, an answer or an offer; False: nothing in common, the call was refused with 488."""
    call.media = MediaSession(media, core.ids.number(), core.ids.octets)
    if call.offer is None:
        call.answer_body = call.media.offer()
        return True
    try:
        call.answer_body, agreed = call.media.answer(call.offer)
    except MediaNotAcceptable as error:
        refuse(core, call, 488, "", {"Warning": f'305 {core.options.name} "{error}"'})
        core.report(Ended(call.handle, EndCause.MEDIA_REFUSED, str(error)))
        return False
    report_media(core, call, agreed)
    return True


def accept(core: Core, call: Call, media: LocalMedia, headers: dict[str, str]) -> None:
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
    if not call.answer_body and not _describe(core, call, media):
        return
    request = call.server.request
    timer, expires, require = answer(request.headers, core.options.session_expires)
    fields = {**_fields(core, call), "Allow": ", ".join(core.options.methods), "Supported": "100rel, timer"}
    if expires is not None:
        fields["Session-Expires"] = str(expires)
    if require:
        fields["Require"] = "timer"
    body = b"" if call.offer_sent_early else call.answer_body
    response = core.respond(call.server, 200, headers={**fields, **headers}, body=body)
    call.phase, call.timer = Phase.ACCEPTED, timer
    if call.dialog is not None:
        call.dialog.confirmed = True
    await_ack(core, call, call.server, response, has_offer=call.offer is None and not call.offer_sent_early)


def refuse(core: Core, call: Call, code: int, reason: str, headers: dict[str, str]) -> None:
    """Send a final response other than 2xx; nothing is reported."""
    if call.server is not None and call.phase is Phase.INCOMING:
        core.respond(call.server, code, reason, headers=headers)
    finish(core, call, None)


# -- 2xx and ACK ----------------------------------------------------------------------------------------------------------------


def await_ack(
    core: Core, call: Call, server: ServerTransaction, response: Response, *, has_offer: bool
) -> None:
    """Send a 2xx again and again until its ACK comes (RFC 3261 section 13.3.1.4)."""
    interval = core.options.timing.t1
    call.pending_ack = PendingAck(server, response, interval, has_offer=has_offer)
    core.set_timer(("call", call.handle, ACCEPTED), interval)


def resend_2xx(core: Core, call: Call) -> None:
    """The ACK has not come yet."""
    pending, timing = call.pending_ack, core.options.timing
    if pending is None:
        return
    pending.waited += pending.interval
    if pending.waited >= timing.give_up:
        call.pending_ack = None
        if call.phase is Phase.ACCEPTED:
            call.phase = Phase.CONFIRMED
        hang_up(core, call, EndCause.NOT_ACKNOWLEDGED, "our answer was never acknowledged")
        return
    core.layer.respond(pending.server, pending.response)
    pending.interval = min(pending.interval * 2, timing.t2, timing.give_up - pending.waited)
    core.set_timer(("call", call.handle, ACCEPTED), pending.interval)


def acknowledged(core: Core, call: Call, ack: Request) -> None:
    """An ACK to a 2xx of ours."""
    pending = call.pending_ack
    if pending is None or pending.server.request.cseq.number != ack.cseq.number:
        return
    call.pending_ack = None
    core.cancel_timer("call", call.handle, ACCEPTED)
    first = call.phase is Phase.ACCEPTED
    if first:
        call.phase = Phase.CONFIRMED
    if call.leave_after_ack:
        hang_up(core, call, EndCause.LOCAL, reason=call.leave_reason)
        return
    if call.phase is not Phase.CONFIRMED:
        return
    if pending.has_offer and call.media is not None:
        try:
            session = read_session(ack)
            if session is not None:
                report_media(core, call, call.media.take_answer(session))
            elif first:
                raise MediaNotAcceptable("the acknowledgement has no answer to our offer")
            else:
                call.media.abandon_offer()
        except (SdpError, MediaNotAcceptable) as error:
            hang_up(core, call, EndCause.MEDIA_REFUSED, str(error))
            return
    if first:
        answered(core, call, call.timer)
    change_media(core, call)


# -- CANCEL and PRACK -----------------------------------------------------------------------------------------------------------


def cancelled(core: Core, call: Call, reason: str) -> None:
    """The caller took the INVITE back (RFC 3261 section 9.2)."""
    if call.phase is not Phase.INCOMING or call.server is None:
        return
    core.respond(call.server, 487)
    finish(core, call, EndCause.CANCELLED, reason)


def resend_provisional(core: Core, call: Call) -> None:
    """The PRACK has not come yet (RFC 3262 section 3)."""
    reliable, timing = call.reliable, core.options.timing
    if reliable is None or call.server is None or call.phase is not Phase.INCOMING:
        return
    reliable.waited += reliable.interval
    if reliable.waited >= timing.give_up:
        core.respond(call.server, 504)
        finish(core, call, EndCause.NOT_ACKNOWLEDGED, "our provisional response was never acknowledged")
        return
    core.layer.respond(call.server, reliable.response)
    reliable.interval = min(reliable.interval * 2, timing.give_up - reliable.waited)
    core.set_timer(("call", call.handle, RELIABLE), reliable.interval)


def provisional_acknowledged(core: Core, call: Call, server: ServerTransaction) -> None:
    """A PRACK."""
    reliable = call.reliable
    try:
        rack = parse_rack(server.request.headers.get("RAck") or "")
    except FieldError as error:
        core.respond(server, 400, str(error))
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
        core.respond(server, 481)
        return
    try:
        body = _take_prack_session(core, call, server.request)
    except SdpError:
        core.respond(server, 400, "Bad Session Description")
        return
    except MediaNotAcceptable as error:
        core.respond(server, 488, headers={"Warning": f'305 {core.options.name} "{error}"'})
    else:
        core.respond(server, 200, body=body)
    call.reliable = None
    core.cancel_timer("call", call.handle, RELIABLE)
    if call.answer_waits is not None:
        media, call.answer_waits = call.answer_waits, None
        accept(core, call, media, {})


def _take_prack_session(core: Core, call: Call, prack: Request) -> bytes:
    """The answer to an offer of ours in the provisional response, or a further offer of the peer's."""
    session = read_session(prack)
    if session is None or call.media is None:
        return b""
    if call.media.offering:
        report_media(core, call, call.media.take_answer(session))
        return b""
    body, agreed = call.media.answer(session)
    report_media(core, call, agreed)
    return body


def timer_fired(core: Core, call: Call, name: str) -> None:
    """A timer of a call that comes in fired."""
    if name == ACCEPTED:
        resend_2xx(core, call)
    elif name == RELIABLE:
        resend_provisional(core, call)
