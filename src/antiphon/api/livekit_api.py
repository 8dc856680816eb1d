"""The services of the server API: `room`, `sip` and `agent_dispatch`."""

from __future__ import annotations

import asyncio

from ..models.errors import ConfigurationError
from ..rooms.local import HostedRoom
from .errors import ApiError
from .host import EmbeddedHost, embedded_host
from .requests import (
    AgentDispatch,
    CreateAgentDispatchRequest,
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    ListParticipantsResponse,
    ListRoomsRequest,
    ListRoomsResponse,
    ParticipantInfo,
    Room,
    RoomParticipantIdentity,
    SendDataRequest,
    TransferSIPParticipantRequest,
)


class LiveKitAPI:
    """The server API of this process; `ctx.api` inside a job.

    May be used as an async context manager.
    """

    def __init__(self, host: EmbeddedHost | None = None) -> None:
        """Connect to the server of this process.

        Args:
            host: what to act on; None: the host of the running job.

        Raises:
            ConfigurationError: no host is given and no job is running here.
        """
        host = host or embedded_host.get()
        if host is None:
            raise ConfigurationError(
                "LiveKitAPI() acts on the rooms of this process and found none: use it inside a job (ctx.api), "
                "or pass the host"
            )
        self.room = RoomService(host)
        self.sip = SipService(host)
        self.agent_dispatch = AgentDispatchService(host)

    async def aclose(self) -> None:
        """Nothing is held open; here so that programs that close their API object run unchanged."""

    async def __aenter__(self) -> LiveKitAPI:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class RoomService:
    """Rooms and who is in them."""

    def __init__(self, host: EmbeddedHost) -> None:
        self._rooms = host.rooms
        self._closing: set[asyncio.Task[None]] = set()

    async def create_room(self, create: CreateRoomRequest) -> Room:
        """Make a room, or find the one of that name."""
        return _describe(self._rooms.create(create.name, metadata=create.metadata))

    async def list_rooms(self, list: ListRoomsRequest | None = None) -> ListRoomsResponse:
        wanted = list.names if list is not None else []
        rooms = self._rooms.rooms.values()
        return ListRoomsResponse([_describe(room) for room in rooms if not wanted or room.name in wanted])

    async def delete_room(self, delete: DeleteRoomRequest) -> None:
        """Disconnect everybody and delete the room.

        Once asked for it goes on even if the caller is cancelled, as happens to the tool of an agent that hangs up.

        Raises:
            ApiError: there is no such room.
        """
        self._find(delete.room)
        closing = asyncio.get_running_loop().create_task(
            self._rooms.close(delete.room), name=f"delete room {delete.room}"
        )
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def list_participants(self, list: ListParticipantsRequest) -> ListParticipantsResponse:
        """Who is in a room. Raises ApiError when there is no such room."""
        return ListParticipantsResponse(
            [
                ParticipantInfo(p.identity, str(p.kind), p.name, p.metadata, dict(p.attributes))
                for p in self._find(list.room).participants
            ]
        )

    async def remove_participant(self, remove: RoomParticipantIdentity) -> None:
        """Disconnect somebody.

        Raises:
            ApiError: the room does not exist or they are not in it.
        """
        self._find(remove.room)
        if not await self._rooms.remove(remove.room, remove.identity):
            raise _not_there(remove.room, remove.identity)

    async def send_data(self, send: SendDataRequest) -> None:
        """Send bytes to a room, in nobody's name. Raises ApiError when there is no such room."""
        self._find(send.room).send_data(
            send.data, topic=send.topic, destination_identities=send.destination_identities or None
        )

    def _find(self, name: str) -> HostedRoom:
        room = self._rooms.get(name)
        if room is None:
            raise _no_room(name)
        return room


class SipService:
    """Telephone callers."""

    def __init__(self, host: EmbeddedHost) -> None:
        self._host = host

    async def transfer_sip_participant(self, transfer: TransferSIPParticipantRequest) -> None:
        """Hand a caller over to another number or SIP address; returns when the other side has accepted.

        Raises:
            ApiError: the room or the participant does not exist, is not a telephone, or the transfer was refused.
        """
        name, identity = transfer.room_name, transfer.participant_identity
        room = self._host.rooms.get(name)
        if room is None:
            raise _no_room(name)
        caller = next((p for p in room.participants if p.identity == identity), None)
        if caller is None:
            raise _not_there(name, identity)
        if not caller.is_sip:
            raise ApiError(
                f"{identity!r} in room {name!r} is not on a telephone ({caller.kind}); only SIP calls can be transferred",
                code="failed_precondition",
            )
        if not transfer.transfer_to.startswith(("tel:", "sip:", "sips:")):
            raise ApiError(
                f"transfer_to is a tel: or sip: URI, as in tel:+15105550100, not {transfer.transfer_to!r}",
                code="invalid_argument",
            )
        if self._host.sip is None:
            raise ApiError(
                f"{identity!r} cannot be transferred: this process has no telephony", code="unimplemented"
            )
        await self._host.sip.transfer(
            name, identity, transfer.transfer_to, play_dialtone=transfer.play_dialtone
        )


class AgentDispatchService:
    """Which agents are in which rooms."""

    def __init__(self, host: EmbeddedHost) -> None:
        self._dispatches = host.dispatches

    async def create_dispatch(self, req: CreateAgentDispatchRequest) -> AgentDispatch:
        """Send an agent to a room.

        Raises:
            ApiError: no room is named, there is no such agent, or it refused.
        """
        if not req.room:
            raise ApiError("create_dispatch needs the name of a room", code="invalid_argument")
        if self._dispatches is None:
            raise ApiError("this process runs no agents that could be dispatched", code="unimplemented")
        return await self._dispatches.create_dispatch(req.agent_name, req.room, req.metadata)

    async def list_dispatch(self, room_name: str) -> list[AgentDispatch]:
        """The agents that are in the room or on their way."""
        return self._dispatches.list_dispatches(room_name) if self._dispatches is not None else []


def _describe(room: HostedRoom) -> Room:
    return Room(room.name, room.metadata, len(room.participants))


def _no_room(name: str) -> ApiError:
    return ApiError(f"there is no room {name!r}", code="not_found")


def _not_there(room: str, identity: str) -> ApiError:
    return ApiError(f"there is no participant {identity!r} in room {room!r}", code="not_found")
