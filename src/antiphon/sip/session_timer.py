"""Session timers: a call whose peer vanished ends by itself.

Pure arithmetic and negotiation; `established_call.py` keeps the timers. Source: RFC 4028.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .errors import FieldError
from .grammar import parse_number
from .headers import Headers, parse_value_and_params

MIN_SE = 90  # seconds; RFC 4028 section 4
_LIMIT = 2**32 - 1


class Refresher(StrEnum):
    """Who refreshes, as Session-Expires names the sides of the request it stands in."""

    UAC = "uac"
    UAS = "uas"


@dataclass(frozen=True, slots=True)
class SessionExpires:
    """The header field.

    Attributes:
        interval: seconds.
        refresher: None: left to the other side.
    """

    interval: int
    refresher: Refresher | None = None

    def __str__(self) -> str:
        return f"{self.interval};refresher={self.refresher}" if self.refresher else str(self.interval)


@dataclass(frozen=True, slots=True)
class SessionTimer:
    """What both sides agreed on.

    Attributes:
        interval: seconds after which an unrefreshed session is over.
        ours: whether we refresh.
    """

    interval: int
    ours: bool

    @property
    def refresh_after(self) -> float:
        """Seconds from the last refresh to the next, of the refresher (section 7.2)."""
        return self.interval / 2

    @property
    def expire_after(self) -> float:
        """Seconds from the last refresh to the BYE, of the other side (section 10)."""
        return self.interval - min(32.0, self.interval / 3)


def read_session_expires(headers: Headers) -> SessionExpires | None:
    """The field of a message; None: there is none.

    Raises:
        FieldError: it is malformed.
    """
    text = headers.get("Session-Expires")
    if text is None:
        return None
    value, params = parse_value_and_params(text, "Session-Expires")
    refresher = (params.get("refresher") or "").lower()
    if refresher not in ("", "uac", "uas"):
        raise FieldError("the refresher of Session-Expires is neither uac nor uas")
    interval = parse_number(value, "Session-Expires", _LIMIT)
    return SessionExpires(interval, Refresher(refresher) if refresher else None)


def read_min_se(headers: Headers) -> int:
    """The Min-SE of a message, in seconds; 90 if there is none.

    Raises:
        FieldError: it is malformed.
    """
    text = headers.get("Min-SE")
    if text is None:
        return MIN_SE
    value, _ = parse_value_and_params(text, "Min-SE")
    return max(MIN_SE, parse_number(value, "Min-SE", _LIMIT))


def too_brief(headers: Headers, minimum: int) -> bool:
    """Whether a request's interval is below ours, so that 422 is the answer (section 9). Only said to those who know timers."""
    asked = read_session_expires(headers)
    return asked is not None and asked.interval < minimum and "timer" in headers.tokens("Supported")


def answer(headers: Headers, wanted: int) -> tuple[SessionTimer | None, SessionExpires | None, bool]:
    """What a request that is accepted agrees on (section 9, table 2).

    Args:
        headers: of the request.
        wanted: the interval that we ask for ourselves of peers that know timers, in seconds; 0: none.

    Returns:
        The timer, the Session-Expires of our 2xx, and whether it says `Require: timer`.
    """
    asked, peer_knows = read_session_expires(headers), "timer" in headers.tokens("Supported")
    if asked is None and not (wanted and peer_knows):
        return None, None, False
    interval = asked.interval if asked else max(wanted, read_min_se(headers))
    interval = max(interval, MIN_SE)
    if not peer_knows:
        # The peer cannot refresh, so we do; it would not know what Require means.
        return SessionTimer(interval, ours=True), SessionExpires(interval, Refresher.UAS), False
    refresher = asked.refresher if asked and asked.refresher else Refresher.UAC
    timer = SessionTimer(interval, ours=refresher is Refresher.UAS)
    return timer, SessionExpires(interval, refresher), refresher is Refresher.UAC


def agreed(response: Headers) -> SessionTimer | None:
    """What the 2xx to a request of ours agrees on, by its header fields (section 7.2); None: the session does not expire.

    Raises:
        FieldError: Session-Expires is malformed.
    """
    answered = read_session_expires(response)
    if answered is None:
        return None  # The peer knows no timers, so the session does not expire.
    return SessionTimer(max(answered.interval, MIN_SE), ours=answered.refresher is not Refresher.UAS)
