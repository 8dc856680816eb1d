"""What the end of a conversation means for its call."""

from __future__ import annotations

from ..voice import CloseReason
from .lifecycle_events import (
    Errored,
    Event,
    HangUpRequested,
    PeerHungUp,
    RoomClosed,
    Shutdown,
    TransferCompleted,
)
from .status import EndReason


def event_of_close(reason: CloseReason) -> Event:
    """The event of the call lifecycle when a session has closed. An owner who closed it himself has ended the call before,
    so that this event finds it over."""
    match reason:
        case CloseReason.PARTICIPANT_LEFT:
            return PeerHungUp()
        case CloseReason.ROOM_CLOSED:
            return RoomClosed()
        case CloseReason.SHUTDOWN:
            return Shutdown()
        case CloseReason.TRANSFERRED:
            return TransferCompleted()
        case CloseReason.ERROR:
            return Errored("the conversation could not go on")
        case CloseReason.MAX_DURATION:
            return HangUpRequested(EndReason.MAX_DURATION)
        case CloseReason.SILENCE_TIMEOUT:
            return HangUpRequested(EndReason.SILENCE_TIMEOUT)
        case CloseReason.USER_INITIATED | CloseReason.AGENT_HANGUP:
            return HangUpRequested(EndReason.AGENT_HANGUP)
