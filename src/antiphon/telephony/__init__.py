"""Telephone legs: what a call needs of the far end, whoever carries it."""

from .leg import (
    Dialler,
    DialRequest,
    IncomingCall,
    Leg,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegFailed,
    LegMediaReady,
    LegMediaReceived,
    LegProgress,
    LegRejected,
    LegRtpTimedOut,
    MeasuredLeg,
    OnLegEvent,
    TransferFailed,
)

__all__ = [
    "DialRequest",
    "Dialler",
    "IncomingCall",
    "Leg",
    "LegAnswered",
    "LegEnded",
    "LegEvent",
    "LegFailed",
    "LegMediaReady",
    "LegMediaReceived",
    "LegProgress",
    "LegRejected",
    "LegRtpTimedOut",
    "MeasuredLeg",
    "OnLegEvent",
    "TransferFailed",
]
