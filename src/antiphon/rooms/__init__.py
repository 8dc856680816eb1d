"""Rooms: the one interface that sessions and bridges speak to, and who implements it."""

from .playback import PlaybackBuffer
from .room import (
    AudioOutput,
    AudioSource,
    DataPacket,
    DTMFEvent,
    Participant,
    ParticipantKind,
    RemoteAudioTrack,
    Room,
    RoomDisconnected,
    RoomEvent,
    TextMessage,
)
from .room_host import RoomHost

__all__ = [
    "AudioOutput",
    "AudioSource",
    "DTMFEvent",
    "DataPacket",
    "Participant",
    "ParticipantKind",
    "PlaybackBuffer",
    "RemoteAudioTrack",
    "Room",
    "RoomDisconnected",
    "RoomEvent",
    "RoomHost",
    "TextMessage",
]
