"""Calls that we place: the INVITE, what comes back, and taking it back.

Source: RFC 3261 sections 9.1 and 13.2; RFC 3262 section 4 (PRACK); RFC 4028 section 7; RFC 6026 section 7.2 (several 2xx).
"""

from __future__ import annotations

from .call import Call, CallRequest, Phase
from .dialog import Dialog, dialog_of_client, hop_of
from .digest import DigestClient
from .errors import FieldError, MediaNotAcceptable, SdpError, UnsafeValue
from .established_call import (
    acknowledge,
    answered,
    bye_fork,
    enter_dialog,
    finish,
    hang_up,
    read_session,
    report_media,
    send_in_dialog,
)
from .events import EndCause, Progress, Rejected
from .grammar import parse_number
from .headers import NameAddr
from .message import Request, Response
from .offer_answer import MediaSession
from .session_timer import MIN_SE, SessionTimer, agreed, read_min_se
from .stack import Stack
from .uri import SipUri

CANCEL = "cancel"
_OWN = frozenset(
    [
        "via",
        "from",
        "to",
        "call-id",
        "cseq",
        "contact",
        "max-forwards",
        "route",
        "record-route",
        "content-type",
        "content-length",
        "allow",
        "supported",
    ]
)


def place(stack: Stack, wanted: CallRequest) -> Call:
    """Send the INVITE.

    Raises:
        UnsafeValue: a header, number or address would have changed the message's structure, or leads nowhere.
    """
    try:
        hop = wanted.hop or hop_of(wanted.target)
    except FieldError as error:
        raise UnsafeValue(f"{wanted.target} cannot be called: {error}.") from None
    user = wanted.from_.uri.number if isinstance(wanted.from_.uri, SipUri) else ""
    secure = isinstance(wanted.target, SipUri) and wanted.target.scheme == "sips"
    call = Call(
        stack.new_handle(),
        False,
        Phase.CALLING,
        user or "antiphon",
        hop.transport,
        trunk=wanted.trunk,
        secure=secure,
    )
    call.request = wanted
    call.peers.add(hop.host)
    call.media = MediaSession(wanted.media, stack.ids.number(), stack.ids.octets)
    call.digest = DigestClient(wanted.credentials, stack.ids) if wanted.credentials else None
    request = _invite(stack, call, wanted, hop.transport)
    stack.calls[call.handle] = call
    numbers = iter(range(2, 1000))
    call.invite = stack.send_request(
        request,
        hop,
        lambda response: _responded(stack, call, response),
        renumber=lambda: next(numbers),
        digest=call.digest,
    )
    return call


def _invite(stack: Stack, call: Call, wanted: CallRequest, transport: str) -> Request:
    request = Request("INVITE", wanted.target)
    headers = request.headers
    headers.add("Max-Forwards", "70")
    for route in wanted.routes:
        headers.add("Route", route)
    headers.add("From", str(wanted.from_.with_tag(stack.ids.tag())))
    headers.add("To", str((wanted.to or NameAddr(wanted.target)).with_tag("")))
    headers.add("Call-ID", stack.ids.call_id())
    headers.add("CSeq", "1 INVITE")
    headers.add("Contact", str(stack.contact(transport, call.user, secure=call.secure)))
    stack.add_capabilities(request)
    if stack.options.session_expires:
        headers.add("Session-Expires", str(stack.options.session_expires))
        headers.add("Min-SE", str(stack.options.min_se))
    for name, value in wanted.headers.items():
        if name.lower() in _OWN:
            raise UnsafeValue(f"The header {name} belongs to the user agent and cannot be set. Leave it out.")
        headers.add(name, value)
    if not wanted.delayed_offer and call.media is not None:
        headers.add("Content-Type", "application/sdp")
        request.body = call.media.offer()
    return request


def cancel(stack: Stack, call: Call) -> None:
    """Take the INVITE back; the end is reported once the peer has confirmed it, or is held to be gone."""
    if call.phase is Phase.CALLING and call.invite is not None:
        call.phase = Phase.CANCELLING
        call.invite.cancel()
        stack.set_timer(("call", call.handle, CANCEL), stack.options.timing.give_up)


def give_up_cancelling(stack: Stack, call: Call) -> None:
    """No final response came to a cancelled INVITE (RFC 3261 section 9.1)."""
    if call.phase is Phase.CANCELLING and call.invite is not None:
        call.invite.abandon()
        finish(stack, call, EndCause.LOCAL, "the peer never confirmed the cancellation")


# -- responses ------------------------------------------------------------------------------------------------------------------


def _responded(stack: Stack, call: Call, response: Response) -> None:
    if stack.source.host:
        call.peers.add(stack.source.host)
        call.source = stack.source
    if stack.source.connection:
        call.connection = stack.source.connection
    if response.status < 200:
        if response.status > 100 and call.phase is Phase.CALLING:
            _provisional(stack, call, response)
        return
    if response.status < 300:
        _accepted(stack, call, response)
        return
    if call.phase is Phase.CALLING and response.status == 422 and _retry_longer(stack, call, response):
        return
    if call.phase is Phase.CALLING:
        refused = response.status in (401, 407) and call.invite is not None and call.invite.has_credentials
        stack.report(Rejected(call.handle, response.status, response.reason, response.headers, refused))
        finish(stack, call, None)
    elif call.phase is Phase.CANCELLING:
        finish(stack, call, EndCause.LOCAL)


def _retry_longer(stack: Stack, call: Call, response: Response) -> bool:
    """RFC 4028 section 7.3: once more with the interval that the peer wants."""
    try:
        minimum = read_min_se(response.headers)
    except FieldError:
        return False
    if call.invite is None or minimum > 86_400:
        return False

    def lengthen(request: Request) -> None:
        interval = max(minimum, stack.options.session_expires or MIN_SE)
        request.headers.set("Session-Expires", str(interval))
        request.headers.set("Min-SE", str(minimum))

    return call.invite.resend(lengthen)


def _dialog_for(stack: Stack, call: Call, response: Response) -> Dialog | None:
    """The dialog that a response belongs to; forking makes several (RFC 3261 section 13.2.2.4)."""
    tag = response.to.tag
    if call.invite is None:
        return None
    if tag not in call.forks:
        if len(call.forks) >= 32:
            return None
        try:
            call.forks[tag] = dialog_of_client(call.invite.request, response)
        except FieldError:
            return None
    return call.forks[tag]


def _provisional(stack: Stack, call: Call, response: Response) -> None:
    dialog = _dialog_for(stack, call, response) if response.to.tag else None
    body = b""
    if dialog is not None:
        if call.dialog is not dialog:
            enter_dialog(stack, call, dialog)
        if _is_reliable(response):
            if not _in_order(call, response):
                return
            body = _take_session(stack, call, response)
            _acknowledge_provisional(stack, call, dialog, response, body)
        else:
            _take_session(stack, call, response)
    stack.report(Progress(call.handle, response.status, response.reason))


def _is_reliable(response: Response) -> bool:
    return "100rel" in response.headers.tokens("Require") and "RSeq" in response.headers


def _in_order(call: Call, response: Response) -> bool:
    """RFC 3262 section 4: retransmissions and responses out of order are dropped."""
    rseq = parse_number(response.headers.get("RSeq") or "", "RSeq", 2**32 - 1)
    last = call.seen_rseq.get(response.to.tag)
    if last is not None and rseq != last + 1:
        return False
    call.seen_rseq[response.to.tag] = rseq
    return True


def _acknowledge_provisional(
    stack: Stack, call: Call, dialog: Dialog, response: Response, body: bytes
) -> None:
    dialog.refresh_target(response)
    rack = f"{response.headers.get('RSeq')} {response.cseq}"
    send_in_dialog(stack, call, "PRACK", lambda _: None, headers={"RAck": rack}, body=body, dialog=dialog)


def _take_session(stack: Stack, call: Call, response: Response) -> bytes:
    """Take the answer to our offer, or the offer we left to the peer; returns our answer to that.

    An early answer that cannot be read is passed over: the 2xx decides.
    """
    if call.media is None or call.request is None:
        return b""
    try:
        session = read_session(response)
        if session is None:
            return b""
        if not call.request.delayed_offer:
            report_media(stack, call, call.media.take_answer(session))
            call.media_agreed, call.media_of = True, response.to.tag
            call.early_answers[response.to.tag] = session
            return b""
        if not _is_reliable(response):
            return b""
        body, media = call.media.answer(session)
    except (SdpError, MediaNotAcceptable):
        return b""
    call.media_agreed = True
    report_media(stack, call, media)
    return body


def _accepted(stack: Stack, call: Call, response: Response) -> None:
    """A 2xx: the first one makes the call, others are acknowledged and ended, and each is acknowledged again if it comes again."""
    tag = response.to.tag
    key = f"{tag} {response.cseq.number}"
    if key in call.acks:
        stack.resend_ack(*call.acks[key])
        return
    dialog = _dialog_for(stack, call, response)
    if dialog is None or call.invite is None:
        return
    dialog.confirm(response)
    wanted = call.phase is Phase.CALLING
    if not wanted:
        _refuse_2xx(stack, call, dialog, key)
        return
    for other in [fork for fork in call.forks.values() if fork is not dialog]:
        stack.dialogs.pop(other.id, None)
    enter_dialog(stack, call, dialog)
    call.peer_allows = frozenset(text.upper() for text in response.headers.tokens("Allow"))
    body, fault = _settle_media(stack, call, response)
    ack = acknowledge(stack, call, dialog, call.invite.request, body)
    if ack is not None:
        call.acks[key] = ack
    if fault:
        call.phase = Phase.CONFIRMED
        hang_up(stack, call, EndCause.MEDIA_REFUSED, fault)
        return
    answered(stack, call, _session_timer(response))


def _refuse_2xx(stack: Stack, call: Call, dialog: Dialog, key: str) -> None:
    """The 2xx crossed our CANCEL, or another branch was faster: acknowledge it and hang up."""
    assert call.invite is not None
    ack = acknowledge(stack, call, dialog, call.invite.request)
    if ack is not None:
        call.acks[key] = ack
    bye_fork(stack, call, dialog)
    if call.phase is Phase.CANCELLING:
        finish(stack, call, EndCause.LOCAL, "the answer crossed the cancellation")


def _settle_media(stack: Stack, call: Call, response: Response) -> tuple[bytes, str]:
    """The answer for our ACK, and what is wrong with the media of a 2xx; either may be empty."""
    media, request = call.media, call.request
    if media is None or request is None:
        return b"", ""
    try:
        session = read_session(response)
        if session is None and call.media_of != response.to.tag:
            session = call.early_answers.get(response.to.tag)  # Another fork was heard last.
        if session is None:
            return b"", "" if call.media_agreed else "the answer to the call has no session description"
        if request.delayed_offer:
            if call.media_agreed:
                return b"", ""
            body, agreed_on = media.answer(session)
        else:
            body, agreed_on = b"", media.take_answer(session)
    except (SdpError, MediaNotAcceptable) as error:
        return b"", str(error)
    report_media(stack, call, agreed_on)
    return body, ""


def _session_timer(response: Response) -> SessionTimer | None:
    try:
        return agreed(response.headers)
    except FieldError:
        return None
