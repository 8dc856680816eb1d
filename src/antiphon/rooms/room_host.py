"""Who makes rooms and lets participants into them: the hub of this process, or a LiveKit server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .room import ParticipantKind, Room


class RoomHost(Protocol):
    """Rooms by name."""

    async def join(
        self,
        room_name: str,
        identity: str,
        kind: ParticipantKind = ParticipantKind.STANDARD,
        *,
        name: str = "",
        metadata: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> Room:
        """Connect a participant; the room is created when it does not exist."""

    async def close(self, name: str, *, reason: str = ...) -> None:
        """Delete a room: everybody in it is disconnected. Unknown names are ignored."""
