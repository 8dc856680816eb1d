"""Blind transfer: asking the peer to call somebody else, and being asked.

Source: RFC 3515 (REFER, and NOTIFY with `message/sipfrag`), RFC 4488 (`Refer-Sub: false`), RFC 5589 section 6.
"""

from __future__ import annotations

import re

from .call import Call, Phase, TransferState
from .errors import CallStateError, FieldError
from .established_call import TRANSFER, send_in_dialog
from .events import TransferProgress, TransferRejected, TransferRequested, TransferSucceeded
from .headers import parse_name_addr
from .message import Response
from .stack import Stack
from .status import reason_phrase
from .transaction_layer import ServerTransaction
from .uri import Uri

_FRAGMENT = re.compile(rb"\s*SIP/2\.0 ([1-6]\d\d)(?: ([^\r\n]*))?")


def ask(stack: Stack, call: Call, target: Uri) -> None:
    """Send a REFER.

    Raises:
        CallStateError: the call is not on, or is being transferred.
    """
    if call.phase is not Phase.CONFIRMED or call.dialog is None:
        raise CallStateError(f"A call that is {call.phase} cannot be transferred.")
    if call.transfer is not TransferState.NONE:
        raise CallStateError("The call is being transferred already.")
    call.transfer = TransferState.ASKED
    referrer = f"<{call.dialog.local.uri}>"
    headers = {"Refer-To": f"<{target}>", "Referred-By": referrer}
    sent = send_in_dialog(
        stack, call, "REFER", lambda response: _answered(stack, call, response), headers=headers
    )
    if sent is None:
        _failed(stack, call, 503, "")


def _answered(stack: Stack, call: Call, response: Response) -> None:
    if call.transfer is not TransferState.ASKED or response.status < 200 or call.phase is not Phase.CONFIRMED:
        return
    if response.status >= 300:
        _failed(stack, call, response.status, response.reason)
        return
    call.transfer = TransferState.ACCEPTED
    if (response.headers.get("Refer-Sub") or "").strip().lower() == "false":
        _succeeded(stack, call)
        return
    stack.set_timer(("call", call.handle, TRANSFER), stack.options.transfer_seconds)


def notified(stack: Stack, call: Call, server: ServerTransaction) -> None:
    """A NOTIFY within the dialog."""
    event = (server.request.headers.get("Event") or "").partition(";")[0].strip().lower()
    if event != "refer":
        stack.respond(server, 489, headers={"Allow-Events": "refer"})
        return
    if call.transfer is TransferState.NONE:
        stack.respond(server, 481)
        return
    stack.respond(server, 200)
    match = _FRAGMENT.match(server.request.body)
    code = int(match[1]) if match else 100
    phrase = (match[2] or b"").decode("utf-8", "replace").strip() if match else reason_phrase(100)
    over = (server.request.headers.get("Subscription-State") or "").strip().lower().startswith("terminated")
    # The NOTIFY may overtake the 202.
    call.transfer = TransferState.ACCEPTED
    if 200 <= code < 300:
        _succeeded(stack, call)
    elif code >= 300:
        _failed(stack, call, code, phrase)
    elif over:
        _failed(stack, call, 408, "The peer ended its reports without a result")
    else:
        stack.report(TransferProgress(call.handle, code, phrase))
        stack.set_timer(("call", call.handle, TRANSFER), stack.options.transfer_seconds)


def _succeeded(stack: Stack, call: Call) -> None:
    call.transfer = TransferState.NONE
    stack.cancel_timer("call", call.handle, TRANSFER)
    stack.report(TransferSucceeded(call.handle))


def _failed(stack: Stack, call: Call, code: int, phrase: str) -> None:
    call.transfer = TransferState.NONE
    stack.cancel_timer("call", call.handle, TRANSFER)
    stack.report(TransferRejected(call.handle, code, phrase))


def timed_out(stack: Stack, call: Call) -> None:
    """The peer took the transfer on and then said no more."""
    if call.transfer is TransferState.ACCEPTED:
        _failed(stack, call, 408, "No news of the transfer")


# -- being asked ----------------------------------------------------------------------------------------------------------------


def asked(stack: Stack, call: Call, server: ServerTransaction) -> None:
    """A REFER within the dialog, where they are taken."""
    values = server.request.headers.get_all("Refer-To")
    if not stack.options.takes_transfers or call.taking_transfer:
        stack.respond(server, 603)
        return
    try:
        if len(values) != 1:
            raise FieldError("there is not exactly one Refer-To")
        target = parse_name_addr(values[0], "Refer-To").uri
    except FieldError as error:
        stack.respond(server, 400, str(error))
        return
    call.taking_transfer = True
    contact = stack.contact(call.transport, call.user, secure=call.secure)
    stack.respond(server, 202, headers={"Contact": str(contact)})
    report(stack, call, 100)
    stack.report(TransferRequested(call.handle, target, server.request.headers.get("Referred-By") or ""))


def report(stack: Stack, call: Call, code: int) -> None:
    """Tell the peer how the transfer goes that it asked for; 200 and above is the end of it."""
    if not call.taking_transfer or call.is_over:
        return
    call.taking_transfer = code < 200
    state = "active;expires=60" if code < 200 else "terminated;reason=noresource"
    send_in_dialog(
        stack,
        call,
        "NOTIFY",
        lambda _: None,
        headers={"Event": "refer", "Subscription-State": state},
        body=f"SIP/2.0 {code} {reason_phrase(code)}\r\n".encode(),
        content_type="message/sipfrag;version=2.0",
    )
