"""Browsers in local rooms, by WebRTC.

`WebRTCParticipant.accept` answers one offer and owns what comes of it: connection, microphone, voice, data channel.
Needs the `server` extra (aiortc).
"""

from .data_channel import AGENT_TOPIC, CHAT_TOPIC, DataChannelBridge
from .offer import OfferRejected, check_offer
from .participant import WebRTCParticipant

__all__ = [
    "AGENT_TOPIC",
    "CHAT_TOPIC",
    "DataChannelBridge",
    "OfferRejected",
    "WebRTCParticipant",
    "check_offer",
]
