"""The server API for applications: rooms, agent dispatch, telephone transfers and access tokens.

Names and fields are those of `livekit.api`; the calls act on the rooms that this process hosts. Inside a job it is there
as `ctx.api`.
"""

from .access_token import AccessToken, VideoGrants
from .errors import ApiError
from .host import AgentDispatches, EmbeddedHost, SipTransfers, embedded_host
from .livekit_api import LiveKitAPI
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
    RemoveParticipantRequest,
    Room,
    RoomParticipantIdentity,
    SendDataRequest,
    TransferSIPParticipantRequest,
)

__all__ = [
    "AccessToken",
    "AgentDispatch",
    "AgentDispatches",
    "ApiError",
    "CreateAgentDispatchRequest",
    "CreateRoomRequest",
    "DeleteRoomRequest",
    "EmbeddedHost",
    "ListParticipantsRequest",
    "ListParticipantsResponse",
    "ListRoomsRequest",
    "ListRoomsResponse",
    "LiveKitAPI",
    "ParticipantInfo",
    "RemoveParticipantRequest",
    "Room",
    "RoomParticipantIdentity",
    "SendDataRequest",
    "SipTransfers",
    "TransferSIPParticipantRequest",
    "VideoGrants",
    "embedded_host",
]
