"""Rooms: the one interface that sessions and bridges speak to, and who implements it."""

from .room import (
    AudioOutput,
    DataPacket,
    DTMFEvent,
    Participant,
    ParticipantKind,
    RemoteAudioTrack,
    Room,
    RoomEvent,
    TextMessage,
)

__all__ = [
    "AudioOutput",
    "DTMFEvent",
    "DataPacket",
    "Participant",
    "ParticipantKind",
    "RemoteAudioTrack",
    "Room",
    "RoomEvent",
    "TextMessage",
]
