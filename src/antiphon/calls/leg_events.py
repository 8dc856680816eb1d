"""What the events of a telephone leg mean for the life of its call."""

from __future__ import annotations

from ..telephony import (
    LegAnswered,
    LegEnded,
    LegEvent,
    LegFailed,
    LegMediaReady,
    LegMediaReceived,
    LegProgress,
    LegRejected,
    LegRtpTimedOut,
)
from .lifecycle_events import (
    Answered,
    Errored,
    Event,
    FinalResponse,
    MediaPathReady,
    MediaReceived,
    PeerHungUp,
    ProvisionalResponse,
    RtpTimedOut,
)


def event_of_leg(event: LegEvent) -> Event:
    """The event of the call lifecycle that tells the same."""
    match event:
        case LegProgress(code):
            return ProvisionalResponse(code)
        case LegRejected(code, phrase, refused):
            return FinalResponse(code, phrase, refused)
        case LegAnswered():
            return Answered()
        case LegMediaReady():
            return MediaPathReady()
        case LegMediaReceived():
            return MediaReceived()
        case LegRtpTimedOut():
            return RtpTimedOut()
        case LegFailed(detail, sip_code):
            return Errored(detail, sip_code)
        case LegEnded():
            return PeerHungUp()
