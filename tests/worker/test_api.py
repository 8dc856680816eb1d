"""The server API over rooms of this process, access tokens, and the names of the top-level package."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
import pytest

import antiphon
from antiphon import api
from antiphon.models.errors import ConfigurationError
from antiphon.rooms import DataPacket, ParticipantKind, RoomEvent
from antiphon.rooms.local import LocalRooms
from antiphon.worker import Job, JobContext, JobProcess

SECRET = "a secret of at least thirty-two bytes"


def with_rooms(scene: Callable[[LocalRooms, api.LiveKitAPI], Awaitable[Any]]) -> None:
    async def main() -> None:
        rooms = LocalRooms()
        try:
            async with api.LiveKitAPI(api.EmbeddedHost(rooms)) as server:
                await scene(rooms, server)
        finally:
            await rooms.aclose()

    asyncio.run(main())


def test_rooms_and_participants() -> None:
    async def scene(rooms: LocalRooms, server: api.LiveKitAPI) -> None:
        made = await server.room.create_room(api.CreateRoomRequest("lobby", metadata="m"))
        assert made == api.Room("lobby", "m", 0)
        ann = await rooms.join("lobby", "ann", name="Ann", attributes={"a": "1"})
        await rooms.join("lobby", "phone", ParticipantKind.SIP)
        listed = await server.room.list_participants(api.ListParticipantsRequest("lobby"))
        assert listed.participants == [
            api.ParticipantInfo("ann", "standard", "Ann", "", {"a": "1"}),
            api.ParticipantInfo("phone", "sip"),
        ]
        assert (await server.room.list_rooms()).rooms == [api.Room("lobby", "m", 2)]
        assert (await server.room.list_rooms(api.ListRoomsRequest(["other"]))).rooms == []
        await server.room.remove_participant(api.RemoveParticipantRequest(room="lobby", identity="ann"))
        assert not ann.connected
        await server.room.delete_room(api.DeleteRoomRequest(room="lobby"))
        assert rooms.get("lobby") is None

    with_rooms(scene)


def test_data_goes_to_everybody_or_to_some() -> None:
    async def scene(rooms: LocalRooms, server: api.LiveKitAPI) -> None:
        got: list[tuple[str, DataPacket]] = []
        for name in ("ann", "bob"):
            room = await rooms.join("lobby", name)
            room.on(RoomEvent.DATA_RECEIVED, lambda packet, name=name: got.append((name, packet)))
        await server.room.send_data(api.SendDataRequest("lobby", b"all", "t"))
        await server.room.send_data(api.SendDataRequest("lobby", b"one", destination_identities=["bob"]))
        await asyncio.sleep(0.01)
        assert got == [
            ("ann", DataPacket(b"all", "t")),
            ("bob", DataPacket(b"all", "t")),
            ("bob", DataPacket(b"one")),
        ]

    with_rooms(scene)


Call = Callable[[api.LiveKitAPI], Awaitable[Any]]


def transfer(identity: str, room: str = "lobby", to: str = "tel:+15105550101") -> Call:
    request = api.TransferSIPParticipantRequest(room_name=room, participant_identity=identity, transfer_to=to)
    return lambda server: server.sip.transfer_sip_participant(request)


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (lambda s: s.room.delete_room(api.DeleteRoomRequest(room="gone")), "not_found", "no room 'gone'"),
        (lambda s: s.room.list_participants(api.ListParticipantsRequest("gone")), "not_found", "gone"),
        (lambda s: s.room.send_data(api.SendDataRequest("gone", b"")), "not_found", "gone"),
        (
            lambda s: s.room.remove_participant(api.RoomParticipantIdentity("lobby", "bob")),
            "not_found",
            "no participant 'bob' in room 'lobby'",
        ),
        (transfer("caller", room="gone"), "not_found", "no room 'gone'"),
        (transfer("caller"), "not_found", "no participant 'caller'"),
        (transfer("ann"), "failed_precondition", "'ann' in room 'lobby' is not on a telephone"),
        (transfer("phone", to="5105550101"), "invalid_argument", "tel: or sip:"),
        (transfer("phone"), "unimplemented", "no telephony"),
        (
            lambda s: s.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest("desk", "lobby")),
            "unimplemented",
            "runs no agents",
        ),
        (
            lambda s: s.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest("desk")),
            "invalid_argument",
            "name of a room",
        ),
    ],
)
def test_what_cannot_be_done_is_said_and_not_faked(call: Call, code: str, message: str) -> None:
    async def scene(rooms: LocalRooms, server: api.LiveKitAPI) -> None:
        await rooms.join("lobby", "ann")
        await rooms.join("lobby", "phone", ParticipantKind.SIP)
        with pytest.raises(api.ApiError) as caught:
            await call(server)
        assert caught.value.code == code
        assert message in str(caught.value)

    with_rooms(scene)


def test_a_telephone_is_handed_to_the_telephony_of_the_process() -> None:
    class Telephony:
        def __init__(self) -> None:
            self.transfers: list[tuple[Any, ...]] = []

        async def transfer(self, room: str, identity: str, transfer_to: str, *, play_dialtone: bool) -> None:
            self.transfers.append((room, identity, transfer_to, play_dialtone))

    async def main() -> None:
        rooms, telephony = LocalRooms(), Telephony()
        await rooms.join("lobby", "caller", ParticipantKind.SIP)
        await transfer("caller")(api.LiveKitAPI(api.EmbeddedHost(rooms, sip=telephony)))
        assert telephony.transfers == [("lobby", "caller", "tel:+15105550101", False)]
        agent = await rooms.join("lobby", "agent", ParticipantKind.AGENT)
        host = api.EmbeddedHost(rooms, sip=telephony)
        job = JobContext(Job("AJ_1", "lobby"), JobProcess(), agent, host, lambda reason: None)
        await job.transfer_sip_participant("caller", "+15105550102")
        await job.transfer_sip_participant("caller", "sip:sales@example.com")
        assert [to for *_, to, _ in telephony.transfers[1:]] == ["tel:+15105550102", "sip:sales@example.com"]
        await rooms.aclose()

    asyncio.run(main())


def test_outside_of_a_job_the_api_says_what_it_needs() -> None:
    with pytest.raises(ConfigurationError, match="inside a job"):
        api.LiveKitAPI()


def test_an_access_token_carries_the_grants() -> None:
    token = (
        api.AccessToken("key", SECRET)
        .with_identity("ann")
        .with_name("Ann")
        .with_metadata("m")
        .with_attributes({"a": "1"})
        .with_ttl(dt.timedelta(minutes=5))
        .with_grants(api.VideoGrants(room_join=True, room="lobby", can_publish=False))
        .to_jwt()
    )
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], issuer="key")
    assert claims["video"] == {"roomJoin": True, "room": "lobby", "canPublish": False}
    assert (claims["sub"], claims["name"], claims["metadata"]) == ("ann", "Ann", "m")
    assert claims["attributes"] == {"a": "1"}
    assert claims["exp"] - claims["nbf"] == 300


def test_a_token_needs_a_key_and_an_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="LIVEKIT_API_KEY"):
        api.AccessToken()
    monkeypatch.setenv("LIVEKIT_API_KEY", "key")
    monkeypatch.setenv("LIVEKIT_API_SECRET", SECRET)
    with pytest.raises(ValueError, match="identity"):
        api.AccessToken().with_grants(api.VideoGrants(room_join=True)).to_jwt()


def test_every_public_name_is_there() -> None:
    for name in antiphon.__all__:
        assert getattr(antiphon, name) is not None, name
    assert set(antiphon.__all__) <= set(dir(antiphon))
    with pytest.raises(AttributeError, match="no attribute 'Agnet'"):
        _ = antiphon.Agnet  # type: ignore[attr-defined]


def test_importing_the_package_imports_none_of_it() -> None:
    code = "import sys, antiphon; print(*(m for m in sys.modules if m.startswith(('antiphon.', 'numpy', 'asyncio'))))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.stdout.split() == []


def test_the_turn_detector_of_the_samples_knows_no_german() -> None:
    from antiphon.plugins.turn_detector.multilingual import MultilingualModel

    assert not MultilingualModel().supports_language("de")
    session = antiphon.AgentSession(turn_detection=MultilingualModel())
    assert session.options.turns.turn_detection != "manual"
