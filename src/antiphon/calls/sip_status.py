"""What a SIP response says about a call attempt.

Source: RFC 3261 section 21 for the codes; the grouping is the platform's own.
"""

from __future__ import annotations

from .status import CallStatus

STATUS_OF_FINAL_RESPONSE: dict[int, CallStatus] = {
    403: CallStatus.REJECTED,  # Forbidden
    404: CallStatus.UNREACHABLE,  # Not Found
    408: CallStatus.NO_ANSWER,  # Request Timeout
    410: CallStatus.UNREACHABLE,  # Gone
    480: CallStatus.NO_ANSWER,  # Temporarily Unavailable
    484: CallStatus.UNREACHABLE,  # Address Incomplete
    486: CallStatus.BUSY,  # Busy Here
    487: CallStatus.CANCELLED,  # Request Terminated
    600: CallStatus.BUSY,  # Busy Everywhere
    603: CallStatus.REJECTED,  # Decline
}

RINGS = frozenset({180, 181, 182, 183})  # Ringing, Call Is Being Forwarded, Queued, Session Progress


def status_of_final_response(code: int) -> CallStatus:
    """The end of a call attempt that was answered with a final response other than success.

    Args:
        code: 300 to 699.

    Raises:
        ValueError: the code is a provisional response, a success, or no SIP code.
    """
    if not 300 <= code <= 699:
        raise ValueError(f"{code} is not a final response that ends a call attempt (300 to 699)")
    return STATUS_OF_FINAL_RESPONSE.get(code, CallStatus.FAILED)


def rings(code: int) -> bool:
    """Whether a provisional response says that the far end was reached; 100 comes from the next hop alone."""
    return code in RINGS
