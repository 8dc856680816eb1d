"""What an attempt to deliver a webhook came to, and when the next one is due.

Source: Standard Webhooks specification, "Deliverability and reliability"; RFC 9110 section 10.2.3 for Retry-After.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from ..models.outbound_http import OutboundError, OutboundResponse, TargetRefused

_MOST_ERROR_CHARACTERS = 300
_GONE = 410


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt.

    Attributes:
        status: of the answer; None: there was none.
        error: why it is no delivery; empty for one.
        final: trying again is of no use.
        retry_after: seconds that the receiver asks to be left alone.
    """

    status: int | None = None
    error: str = ""
    final: bool = False
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        return not self.error

    @property
    def host_works(self) -> bool:
        """Whether the receiver's host is up and takes more requests, be it to refuse them."""
        return self.status is not None and self.status < 500 and self.status != 429


def of_answer(response: OutboundResponse, now: float) -> Outcome:
    """`now` is the wall clock, for a Retry-After that is a date."""
    status = response.status
    if response.ok:
        return Outcome(status)
    if status == _GONE:
        return Outcome(status, "the receiver wants no more webhooks (410 Gone)", final=True)
    if 300 <= status < 400:
        error = f"the receiver redirects ({status}), and redirects are not followed; give the final address"
    else:
        error = f"the receiver answered {status}"
    return Outcome(status, error, retry_after=retry_after(response.headers.get("retry-after", ""), now))


def of_error(error: Exception) -> Outcome:
    """No answer, or none was asked for."""
    final = not isinstance(error, OutboundError) or isinstance(error, TargetRefused)
    return Outcome(error=str(error)[:_MOST_ERROR_CHARACTERS] or type(error).__name__, final=final)


def retry_after(text: str, now: float) -> float | None:
    """Seconds from now; None if the header is missing or makes no sense."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after a failed attempt.

    Attributes:
        first: seconds after the first one; doubled after each further one.
        most: the longest wait, also of those that a receiver asks for.
        jitter: the part by which a wait is longer or shorter by chance, so that receivers are not hit by all at once.
    """

    first: float = 5.0
    most: float = 3600.0
    jitter: float = 0.2

    def delay(
        self,
        tries: int,
        asked: float | None = None,
        chance: Callable[[float, float], float] = random.uniform,
    ) -> float:
        """Seconds to wait after `tries` attempts; never less than the receiver `asked` for, up to `most`."""
        # Beyond 2**60 the cap has long been reached.
        longer = self.first * 2.0 ** min(tries - 1, 60) * chance(1 - self.jitter, 1 + self.jitter)
        return min(max(longer, asked or 0.0), self.most)
