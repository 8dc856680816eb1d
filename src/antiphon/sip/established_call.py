"""What we do within a dialog: change media, refresh the session, hang up.

Source: RFC 3261 sections 12.2.1, 14 and 15; RFC 3311 (UPDATE); RFC 4028 (session timers); RFC 6337.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from .call import Call, Phase, TransferState
from .client_request import ClientRequest
from .dialog import Dialog
from .effects import Hop
from .errors import FieldError, MediaNotAcceptable, SdpError
from .events import Answered, EndCause, Ended, MediaChanged, MediaChangeRefused, TransferSucceeded
from .message import Request, Response
from .offer_answer import NegotiatedMedia
from .peer_address import KEEP_OPEN, hop_of_dialog, keep_open, send_keep_alive
from .request_checks import session_body
from .sdp import SessionDescription, parse_sdp
from .session_timer import Refresher, SessionExpires, SessionTimer, agreed
from .stack import Stack

REFRESH, EXPIRE, GLARE, TRANSFER, CHANGE = "refresh", "expire", "glare", "transfer", "change"
_REFRESH_AGAIN = (5.0, 10.0)  # seconds
TIMERS = (
    *(REFRESH, EXPIRE, GLARE, TRANSFER, CHANGE, KEEP_OPEN),
    *("cancel", "accepted", "reliable", "ringing", "expired"),
)


# -- the call as a whole ------------------------------------------------------------------------------------------------------


def enter_dialog(stack: Stack, call: Call, dialog: Dialog) -> None:
    """Make a dialog the one of the call."""
    call.dialog = dialog
    stack.dialogs[dialog.id] = call
    for uri in (dialog.target, *(entry.uri for entry in dialog.route_set)):
        host = getattr(uri, "host", "")
        if host:
            call.peers.add(host.strip("[]"))


def finish(stack: Stack, call: Call, cause: EndCause | None, detail: str = "") -> None:
    """The call is over, as far as its user is concerned; reported unless it was before.

    Args:
        cause: None: `Rejected` was reported instead.
    """
    if call.phase is Phase.OVER:
        return
    reported = call.phase is Phase.LEAVING
    call.phase = Phase.OVER
    if call.transfer is TransferState.ACCEPTED and cause is EndCause.PEER_HUNG_UP:
        stack.report(TransferSucceeded(call.handle))
        cause = EndCause.TRANSFERRED
    forget(stack, call)
    if cause is not None and not reported:
        stack.report(Ended(call.handle, cause, detail))


def forget(stack: Stack, call: Call) -> None:
    """Free what the call holds; its transactions end by themselves."""
    for name in TIMERS:
        stack.cancel_timer("call", call.handle, name)
    stack.calls.pop(call.handle, None)
    if call.change is not None:
        call.change.abandon()
    for dialog in (call.dialog, *call.forks.values()):
        if dialog is not None and stack.dialogs.get(dialog.id) is call:
            del stack.dialogs[dialog.id]


def send_in_dialog(
    stack: Stack,
    call: Call,
    method: str,
    on_response: Callable[[Response], None],
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    content_type: str = "application/sdp",
    dialog: Dialog | None = None,
) -> ClientRequest | None:
    """Send a request within the call's dialog; None: the dialog leads nowhere, so nothing was sent."""
    dialog = dialog or call.dialog
    if dialog is None:
        return None
    try:
        hop = hop_of_dialog(call, dialog)
    except FieldError:
        return None
    request = dialog.request(method)
    if method in ("INVITE", "UPDATE", "REFER"):
        request.headers.add("Contact", str(stack.contact(hop.transport, call.user, secure=call.secure)))
    if method in ("INVITE", "UPDATE"):
        stack.add_capabilities(request)
    for name, value in (headers or {}).items():
        request.headers.add(name, value)
    if body:
        request.headers.add("Content-Type", content_type)
        request.body = body
    return stack.send_request(request, hop, on_response, renumber=dialog.next_cseq, digest=call.digest)


def acknowledge(
    stack: Stack, call: Call, dialog: Dialog, invite: Request, body: bytes = b""
) -> tuple[Hop, bytes] | None:
    """Send the ACK to a 2xx (RFC 3261 section 13.2.2.4); returns it, for when the 2xx comes again."""
    try:
        hop = hop_of_dialog(call, dialog)
    except FieldError:
        return None
    ack = dialog.request("ACK", invite.cseq.number)
    ack.headers.copy_from(invite.headers, "Authorization", "Proxy-Authorization")
    if body:
        ack.headers.add("Content-Type", "application/sdp")
        ack.body = body
    return hop, stack.send_ack(ack, hop)


# -- media ---------------------------------------------------------------------------------------------------------------------


def read_session(message: Request | Response) -> SessionDescription | None:
    """The description that a message carries; None: none.

    Raises:
        SdpError: there is one, and it is malformed.
    """
    if not message.body:
        return None
    try:
        body = session_body(message.headers.get("Content-Type") or "", message.body)
    except FieldError as error:
        raise SdpError(str(error)) from None
    return parse_sdp(body) if body else None


def report_media(stack: Stack, call: Call, media: NegotiatedMedia) -> None:
    """Tell the user what was agreed on, if it is news."""
    if media != call.reported:
        call.reported = media
        stack.report(MediaChanged(call.handle, media))


def change_media(stack: Stack, call: Call) -> None:
    """Send the re-INVITE that is wanted, once nothing stands in its way (RFC 3261 section 14.1)."""
    busy = call.change is not None or call.pending_ack is not None
    if call.phase is not Phase.CONFIRMED or busy or call.media is None:
        return
    if call.wanted_change is None and not call.refresh_wanted:
        return
    call.direction_before = call.media.local.direction
    body = call.media.offer(call.wanted_change)
    headers = _timer_headers(call)
    change = send_in_dialog(
        stack,
        call,
        "INVITE",
        lambda response: _change_answered(stack, call, response),
        headers=headers,
        body=body,
    )
    if change is None:
        call.media.abandon_offer()
        hang_up(stack, call, EndCause.PEER_LOST, "the peer's address cannot be reached")
        return
    call.change = change
    stack.set_timer(("call", call.handle, CHANGE), 2 * stack.options.timing.give_up)


def _change_timed_out(stack: Stack, call: Call) -> None:
    """The peer has our re-INVITE and says no more; a person may have been asked, but not for ever."""
    change, call.change = call.change, None
    if change is None or call.media is None:
        return
    change.cancel()
    change.abandon()
    _undo_change(stack, call, 408, "No answer to the change")


def _undo_change(stack: Stack, call: Call, code: int, phrase: str) -> None:
    """What was agreed before holds; told only to who asked for a change."""
    asked, call.wanted_change, call.refresh_wanted = call.wanted_change, None, False
    if call.media is None:
        return
    call.media.abandon_offer()
    if asked is not None:
        call.media.local = replace(call.media.local, direction=call.direction_before)
        stack.report(MediaChangeRefused(call.handle, code, phrase))
    _refresh_again(stack, call)


def _change_answered(stack: Stack, call: Call, response: Response) -> None:
    """A response to our re-INVITE."""
    change, dialog, media = call.change, call.dialog, call.media
    if response.status < 200 or dialog is None or media is None:
        return
    if response.status < 300:
        _change_accepted(stack, call, dialog, response)
        return
    if change is None:
        return
    call.change = None
    stack.cancel_timer("call", call.handle, CHANGE)
    media.abandon_offer()
    if call.phase is not Phase.CONFIRMED:
        return
    if response.status == 491:
        low, high = (0.0, 2.0) if call.inbound else (2.1, 4.0)
        stack.set_timer(("call", call.handle, GLARE), stack.ids.between(low, high))
        return
    if not _ends_dialog(stack, call, response):
        _undo_change(stack, call, response.status, response.reason)


def _change_accepted(stack: Stack, call: Call, dialog: Dialog, response: Response) -> None:
    tag = f"{response.to.tag} {response.cseq.number}"
    if tag in call.acks:
        hop, data = call.acks[tag]
        stack.resend_ack(hop, data)
        return
    change, call.change = call.change, None
    if change is None:
        return
    stack.cancel_timer("call", call.handle, CHANGE)
    dialog.refresh_target(response)
    call.acks.clear()
    ack = acknowledge(stack, call, dialog, change.request)
    if ack is not None:
        call.acks[tag] = ack
    call.wanted_change, call.refresh_wanted = None, False
    if call.phase is not Phase.CONFIRMED:
        return
    try:
        session = read_session(response)
        if session is not None and call.media is not None:
            report_media(stack, call, call.media.take_answer(session))
        elif call.media is not None:
            call.media.abandon_offer()
    except (SdpError, MediaNotAcceptable) as error:
        hang_up(stack, call, EndCause.MEDIA_REFUSED, str(error))
        return
    start_session_timer(stack, call, _agreed_timer(response, call.timer))
    change_media(stack, call)


def _ends_dialog(stack: Stack, call: Call, response: Response) -> bool:
    """Whether a response says that the peer knows the call no more (RFC 3261 section 12.2.1.2); then it is over."""
    if response.status == 481:
        finish(stack, call, EndCause.PEER_LOST, "the peer knows nothing of the call any more (481)")
    elif response.status == 408:
        hang_up(stack, call, EndCause.PEER_LOST, "the peer does not answer")
    else:
        return False
    return True


# -- session timer --------------------------------------------------------------------------------------------------------------


def start_session_timer(stack: Stack, call: Call, timer: SessionTimer | None) -> None:
    """Begin to count anew, as after every refresh."""
    call.timer = timer
    stack.cancel_timer("call", call.handle, REFRESH)
    stack.cancel_timer("call", call.handle, EXPIRE)
    if timer is None:
        return
    if timer.ours:
        stack.set_timer(("call", call.handle, REFRESH), timer.refresh_after)
    stack.set_timer(("call", call.handle, EXPIRE), timer.expire_after)


def _timer_headers(call: Call) -> dict[str, str]:
    if call.timer is None:
        return {}
    refresher = Refresher.UAC if call.timer.ours else Refresher.UAS
    return {"Session-Expires": str(SessionExpires(call.timer.interval, refresher))}


def _agreed_timer(response: Response, before: SessionTimer | None) -> SessionTimer | None:
    try:
        return agreed(response.headers)
    except FieldError:
        return before


def refresh_session(stack: Stack, call: Call) -> None:
    """Show the peer that we are still there: by UPDATE if it knows that, else by a re-INVITE that changes nothing."""
    if call.phase is not Phase.CONFIRMED:
        return
    if "UPDATE" not in call.peer_allows:
        call.refresh_wanted = True
        change_media(stack, call)
        return
    sent = send_in_dialog(
        stack,
        call,
        "UPDATE",
        lambda response: _refreshed(stack, call, response),
        headers=_timer_headers(call),
    )
    if sent is None:
        hang_up(stack, call, EndCause.PEER_LOST, "the peer's address cannot be reached")


def _refreshed(stack: Stack, call: Call, response: Response) -> None:
    if response.status < 200 or call.phase is not Phase.CONFIRMED:
        return
    if response.status < 300:
        if call.dialog is not None:
            call.dialog.refresh_target(response)
        start_session_timer(stack, call, _agreed_timer(response, call.timer))
    elif not _ends_dialog(stack, call, response):
        if response.status in (405, 501):
            call.peer_allows -= {"UPDATE"}
            refresh_session(stack, call)
        else:
            _refresh_again(stack, call)


def _refresh_again(stack: Stack, call: Call) -> None:
    """A refusal, as in a glare, does not end the session (RFC 3311 section 5.1): there is time for another try before it expires."""
    if call.phase is Phase.CONFIRMED and call.timer is not None and call.timer.ours:
        stack.set_timer(("call", call.handle, REFRESH), stack.ids.between(*_REFRESH_AGAIN))


# -- the end -------------------------------------------------------------------------------------------------------------------


def hang_up(stack: Stack, call: Call, cause: EndCause, detail: str = "", reason: str = "") -> None:
    """Send a BYE, or have one follow the ACK that is still to come (RFC 3261 section 15), and report the end.

    Args:
        reason: for a Reason header field, as `Q.850;cause=16`.
    """
    if call.is_over or (call.leave_after_ack and call.pending_ack is not None):
        return
    if call.phase is Phase.ACCEPTED and call.pending_ack is not None:
        call.leave_after_ack, call.leave_reason = True, reason
        stack.report(Ended(call.handle, cause, detail))
        return
    if call.change is not None:
        call.change.cancel()
    left_before = call.leave_after_ack
    call.phase = Phase.LEAVING
    for name in TIMERS:
        stack.cancel_timer("call", call.handle, name)
    if not left_before:
        stack.report(Ended(call.handle, cause, detail))
    headers = {"Reason": reason} if reason else {}
    if (
        send_in_dialog(stack, call, "BYE", lambda response: _left(stack, call, response), headers=headers)
        is None
    ):
        finish(stack, call, cause, detail)


def _left(stack: Stack, call: Call, response: Response) -> None:
    if response.status >= 200:
        finish(stack, call, EndCause.LOCAL)


def answered(stack: Stack, call: Call, timer: SessionTimer | None) -> None:
    """The INVITE is done with on both sides: the call is on."""
    call.phase = Phase.CONFIRMED
    stack.report(Answered(call.handle))
    start_session_timer(stack, call, timer)
    keep_open(stack, call)


def bye_fork(stack: Stack, call: Call, dialog: Dialog) -> None:
    """End a dialog that is not to become the call's (RFC 3261 section 13.2.2.4)."""
    send_in_dialog(stack, call, "BYE", lambda _: None, dialog=dialog)


def timer_fired(stack: Stack, call: Call, name: str) -> None:
    """A timer of an established call fired."""
    match name:
        case "refresh":
            refresh_session(stack, call)
        case "expire":
            hang_up(
                stack,
                call,
                EndCause.SESSION_EXPIRED,
                "the session was not refreshed",
                'SIP;cause=408;text="Session expired"',
            )
        case "glare":
            change_media(stack, call)
        case "change":
            _change_timed_out(stack, call)
        case "keep open":
            send_keep_alive(stack, call)
