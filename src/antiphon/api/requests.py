"""Requests and answers of the server API, with the field names of LiveKit's protocol."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Room:
    """A room as the server sees it."""

    name: str
    metadata: str = ""
    num_participants: int = 0


@dataclass(frozen=True)
class ParticipantInfo:
    """Someone in a room; `kind` is `"standard"`, `"agent"` or `"sip"`."""

    identity: str
    kind: str = "standard"
    name: str = ""
    metadata: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentDispatch:
    """An agent that was sent to a room; `id` names its job."""

    id: str
    agent_name: str
    room: str
    metadata: str = ""


@dataclass(frozen=True)
class CreateRoomRequest:
    name: str
    metadata: str = ""


@dataclass(frozen=True)
class ListRoomsRequest:
    """Rooms by name; without names all of them."""

    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ListRoomsResponse:
    rooms: list[Room]


@dataclass(frozen=True)
class DeleteRoomRequest:
    room: str


@dataclass(frozen=True)
class ListParticipantsRequest:
    room: str


@dataclass(frozen=True)
class ListParticipantsResponse:
    participants: list[ParticipantInfo]


@dataclass(frozen=True)
class RoomParticipantIdentity:
    room: str
    identity: str


RemoveParticipantRequest = RoomParticipantIdentity


@dataclass(frozen=True)
class SendDataRequest:
    """Bytes for everybody in a room, or for `destination_identities`."""

    room: str
    data: bytes
    topic: str = ""
    destination_identities: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CreateAgentDispatchRequest:
    """Send the agent called `agent_name` to a room, which is created when there is none; its job gets `metadata`."""

    agent_name: str = ""
    room: str = ""
    metadata: str = ""


@dataclass(frozen=True)
class TransferSIPParticipantRequest:
    """Hand a telephone caller over; `transfer_to` is a `tel:` or `sip:` URI."""

    participant_identity: str
    room_name: str
    transfer_to: str
    play_dialtone: bool = False
