"""Rooms hosted in this process.

`LocalRooms` holds them; agents and telephone legs join with `LocalRooms.join`, browsers by WebRTC (`.webrtc`, which
needs the `server` extra and is therefore not imported here).
"""

from .hub import HostedRoom, LocalRooms
from .output import LocalOutput
from .room import LocalRoom
from .tick import TICK, MediaTick
from .tracks import LocalSource, LocalTrack

__all__ = [
    "TICK",
    "HostedRoom",
    "LocalOutput",
    "LocalRoom",
    "LocalRooms",
    "LocalSource",
    "LocalTrack",
    "MediaTick",
]
