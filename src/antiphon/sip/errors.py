"""What can go wrong in SIP, told apart by what has to be done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..models.errors import AntiphonError

if TYPE_CHECKING:
    from .message import Request


class SipError(AntiphonError):
    """Root of every error of the SIP stack."""


class ParseError(SipError):
    """The bytes are no SIP message that could be answered: drop them."""


class FieldError(SipError):
    """One header field, URI or body does not follow its grammar."""


class BadRequest(SipError):
    """A request with a fault, yet with enough in it for an answer.

    Attributes:
        status: what to answer.
        request: what could be read of it; only fit for making the response.
    """

    def __init__(self, status: int, message: str, request: Request) -> None:
        super().__init__(message)
        self.status = status
        self.request = request


class UnsafeValue(SipError):
    """A value that was to go into a message would have changed the message's structure; nothing was sent."""


class SdpError(SipError):
    """A session description does not follow RFC 8866."""


class MediaNotAcceptable(SipError):
    """Offer and answer have nothing in common; the message says what was missing."""


class CallStateError(SipError):
    """What was asked for is not possible in the call's present state."""
