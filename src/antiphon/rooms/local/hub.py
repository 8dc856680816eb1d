"""The rooms of one process, by name: who is in them, what they publish, and when an empty one goes away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Coroutine, Mapping
from typing import Any

from ...models.errors import AntiphonError
from ..room import DataPacket, Participant, ParticipantKind
from .room import LocalRoom
from .tick import MediaTick

logger = logging.getLogger(__name__)

DUPLICATE_IDENTITY = "duplicate identity"
PARTICIPANT_REMOVED = "participant removed"
ROOM_DELETED = "room deleted"
SHUTTING_DOWN = "server shutting down"


class HostedRoom:
    """One room as its host sees it; participants see it through the `LocalRoom` that `LocalRooms.join` gave them."""

    def __init__(self, name: str, metadata: str) -> None:
        self.name = name
        self.metadata = metadata
        self.members: dict[str, LocalRoom] = {}
        self.expiry: asyncio.TimerHandle | None = None

    @property
    def participants(self) -> list[Participant]:
        """Who is connected now."""
        return [member.local_participant for member in self.members.values()]

    def send_data(
        self, data: bytes, *, topic: str = "", destination_identities: Collection[str] | None = None
    ) -> None:
        """Send bytes in nobody's name, to everybody or to some."""
        packet = DataPacket(data, topic)
        for identity, member in self.members.items():
            if destination_identities is None or identity in destination_identities:
                member.receive_data(packet)

    def others(self, member: LocalRoom) -> list[LocalRoom]:
        """Everybody but `member`."""
        return [other for other in self.members.values() if other is not member]


class LocalRooms:
    """Hosts rooms in this process.

    All rooms share one media tick. An empty room is deleted `empty_timeout` seconds after the last participant left,
    or after it was created.
    """

    def __init__(self, *, empty_timeout: float = 30.0) -> None:
        self.empty_timeout = empty_timeout
        self.tick = MediaTick()
        self._rooms: dict[str, HostedRoom] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def rooms(self) -> Mapping[str, HostedRoom]:
        """The rooms that exist now, by name."""
        return self._rooms

    def create(self, name: str, *, metadata: str = "") -> HostedRoom:
        """Make a room, or return the one of that name.

        Raises:
            AntiphonError: the hub is closed.
        """
        if self._closed:
            raise AntiphonError(f"cannot open room {name!r}: this process is shutting down its rooms")
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = HostedRoom(name, metadata)
            self._expire_when_empty(room)
        return room

    def get(self, name: str) -> HostedRoom | None:
        """The room of that name, if there is one."""
        return self._rooms.get(name)

    async def join(
        self,
        room_name: str,
        identity: str,
        kind: ParticipantKind = ParticipantKind.STANDARD,
        *,
        name: str = "",
        metadata: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> LocalRoom:
        """Connect a participant; the room is created when it does not exist.

        Somebody of the same identity who is there already is disconnected with "duplicate identity". Participants who
        are there already are in `remote_participants` at once; each of their tracks is announced by
        `track_subscribed` on the next turn of the event loop, and listed in `audio_tracks()` from then on.
        """
        hosted = self.create(room_name)
        older = hosted.members.get(identity)
        if older is not None:
            self._own(older.leave(DUPLICATE_IDENTITY))
            # The leaving begins at once, so that the others see the old one go before the new one comes.
            older.drop_out(DUPLICATE_IDENTITY)
        if hosted.expiry is not None:
            hosted.expiry.cancel()
            hosted.expiry = None
        participant = Participant(identity, kind, name, metadata, dict(attributes or {}))
        member = LocalRoom(self, hosted, participant)
        hosted.members[identity] = member
        member.enter()
        return member

    async def remove(self, room_name: str, identity: str) -> bool:
        """Disconnect one participant; returns whether they were there."""
        hosted = self._rooms.get(room_name)
        member = hosted.members.get(identity) if hosted else None
        if member is None:
            return False
        await member.leave(PARTICIPANT_REMOVED)
        return True

    async def close(self, name: str, *, reason: str = ROOM_DELETED) -> None:
        """Delete a room: everybody in it is disconnected for `reason`. Unknown names are ignored."""
        hosted = self._rooms.pop(name, None)
        if hosted is None:
            return
        if hosted.expiry is not None:
            hosted.expiry.cancel()
        members = list(hosted.members.values())
        for member in members:
            member.drop_out(reason)
        asking = asyncio.current_task()
        await asyncio.gather(*(member.leave(reason, spare=asking) for member in members))

    async def aclose(self) -> None:
        """Delete all rooms, with "server shutting down" as the reason, and stop the media tick; safe to call twice."""
        self._closed = True
        for name in tuple(self._rooms):
            await self.close(name, reason=SHUTTING_DOWN)
        current = asyncio.current_task()
        closing = [task for task in self._closing if task is not current]
        if closing:
            await asyncio.gather(*closing)
        self.tick.close()

    def forget(self, hosted: HostedRoom, member: LocalRoom) -> None:
        """Take a participant who leaves out of the room's list."""
        if hosted.members.get(member.local_participant.identity) is member:
            del hosted.members[member.local_participant.identity]
        self._expire_when_empty(hosted)

    def _expire_when_empty(self, hosted: HostedRoom) -> None:
        if hosted.members or self._rooms.get(hosted.name) is not hosted:
            return
        if hosted.expiry is not None:
            hosted.expiry.cancel()
        loop = asyncio.get_running_loop()
        hosted.expiry = loop.call_later(self.empty_timeout, self._expire, hosted)

    def _expire(self, hosted: HostedRoom) -> None:
        if not hosted.members and self._rooms.get(hosted.name) is hosted:
            del self._rooms[hosted.name]

    def _own(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name="leave a local room")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
