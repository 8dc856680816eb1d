"""How far a call has come, and why it ended."""

from __future__ import annotations

from enum import StrEnum


class CallStatus(StrEnum):
    """`queued → dialing → ringing → answered → completed`, or one of the other ends."""

    QUEUED = "queued"
    DIALING = "dialing"
    RINGING = "ringing"
    ANSWERED = "answered"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    FAILED = "failed"


TERMINAL = frozenset(CallStatus) - {
    CallStatus.QUEUED,
    CallStatus.DIALING,
    CallStatus.RINGING,
    CallStatus.ANSWERED,
}


class EndReason(StrEnum):
    """Why a call ended, where its status alone does not say so. A refused or unanswered attempt has none."""

    CALLER_HANGUP = "caller_hangup"
    AGENT_HANGUP = "agent_hangup"
    MAX_DURATION = "max_duration"
    SILENCE_TIMEOUT = "silence_timeout"
    RTP_TIMEOUT = "rtp_timeout"
    NO_RTP_AFTER_ANSWER = "no_rtp_after_answer"
    TRANSFERRED = "transferred"
    ROOM_CLOSED = "room_closed"
    SHUTDOWN = "shutdown"
    ERROR = "error"


class CallDirection(StrEnum):
    """Who began the call. A web call comes from a browser and is answered from the beginning."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"
    WEB = "web"
