"""The HTTP interface: tokens, offers, status, the page's files, and how each of them refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from antiphon.server import WebCall
from antiphon.server.rate_limit import RateLimit

pytestmark = pytest.mark.needs("aiortc", "fastapi", "httpx")

SECRET = "a secret of the test, long enough for HS256"


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    return {
        "iss": "antiphon",
        "sub": "someone",
        "nbf": now,
        "exp": now + 60,
        "video": {"room": "a room", "roomJoin": True},
        "roomConfig": {"agents": [{"agentName": "tone"}]},
    } | changed


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def an_offer() -> tuple[RTCPeerConnection, dict[str, str]]:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.createDataChannel("antiphon")
    peer.addTransceiver("audio", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    return peer, {"type": "offer", "sdp": peer.localDescription.sdp}


@pytest.mark.parametrize("path", ["/api/get_token", "/api/getToken"])
def test_token_has_livekits_claims(in_process: Any, run_clean: Any, path: str) -> None:
    async def scenario() -> None:
        async with in_process(api_secret=SECRET, api_key="our key") as (client, _):
            before = time.time()
            response = await client.get(path, params={"agent": "tone"})
            assert response.status_code == 200
            assert response.headers["cache-control"] == "no-store"
            answer = response.json()
            assert answer["transport"] == "webrtc"
            assert answer["expires_in"] == 600
            assert answer["url"] == "http://test"
            decoded = jwt.decode(answer["token"], SECRET, algorithms=["HS256"], issuer="our key")
            assert decoded["sub"] == answer["identity"]
            assert decoded["video"] == {
                "room": answer["room"],
                "roomJoin": True,
                "canPublish": True,
                "canSubscribe": True,
                "canPublishData": True,
            }
            assert decoded["roomConfig"]["agents"][0]["agentName"] == "tone"
            assert 595 <= decoded["exp"] - before <= 601
            assert decoded["nbf"] <= time.time()
            again = (await client.get(path, params={"agent": "tone", "identity": "me"})).json()
            assert again["identity"] == "me"
            assert again["room"] != answer["room"]

    run_clean(scenario())


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ({"agent": "nobody"}, 404, "unknown_agent"),
        ({}, 404, "unknown_agent"),
        ({"agent": "tone", "identity": "a b"}, 422, "invalid_request"),
        ({"agent": "tone", "identity": "x" * 65}, 422, "invalid_request"),
    ],
)
def test_token_is_refused(
    in_process: Any, run_clean: Any, query: dict[str, str], status: int, code: str
) -> None:
    async def scenario() -> None:
        async with in_process() as (client, _):
            response = await client.get("/api/get_token", params=query)
            assert response.status_code == status
            assert response.headers["content-type"] == "application/problem+json"
            problem = response.json()
            assert (problem["status"], problem["code"]) == (status, code)
            assert problem["instance"] == "/api/get_token"
            if code == "unknown_agent":
                assert problem["agents"] == ["tone", "second", "broken"]
                assert "tone, second, broken" in problem["detail"]

    run_clean(scenario())


def test_the_only_agent_need_not_be_named(in_process: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with in_process(names=("tone",)) as (client, _):
            assert (await client.get("/api/get_token")).json()["room"].startswith("tone-")

    run_clean(scenario())


def test_tokens_are_limited_for_each_address(in_process: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with in_process(token_burst=3, tokens_per_minute=6) as (client, _):
            statuses = [(await client.get("/api/get_token?agent=tone")).status_code for _ in range(4)]
            assert statuses == [200, 200, 200, 429]
            refused = await client.get("/api/get_token?agent=tone")
            assert 1 <= int(refused.headers["retry-after"]) <= 10
            assert refused.json()["code"] == "too_many_requests"

    run_clean(scenario())


class TestRateLimit:
    def test_average_and_burst(self) -> None:
        now = [0.0]
        limit = RateLimit(60, 2, clock=lambda: now[0])
        assert [limit.take("192.0.2.1") for _ in range(3)] == [0, 0, 1.0]
        now[0] = 0.5
        assert limit.take("192.0.2.1") == pytest.approx(0.5)
        now[0] = 1.0
        assert limit.take("192.0.2.1") == 0
        now[0] = 1000.0
        assert [limit.take("192.0.2.1") > 0 for _ in range(3)] == [False, False, True]

    @pytest.mark.parametrize(
        ("one", "other", "shared"),
        [
            ("192.0.2.1", "192.0.2.2", False),
            ("2001:db8::1", "2001:db8::2", True),
            ("2001:db8::1", "2001:db8:0:1::1", False),
            ("a name", "another", False),
        ],
    )
    def test_who_shares_a_bucket(self, one: str, other: str, shared: bool) -> None:
        limit = RateLimit(60, 1, clock=lambda: 0.0)
        assert limit.take(one) == 0
        assert (limit.take(other) > 0) is shared

    def test_memory_is_bounded(self) -> None:
        limit = RateLimit(60, 1, clock=lambda: 0.0)
        for number in range(10_500):
            limit.take(f"10.0.{number // 256}.{number % 256}")
        assert len(limit._buckets) == 10_000


UNAUTHORISED: dict[str, Callable[[], dict[str, str]]] = {
    "missing": dict,
    "not bearer": lambda: {"Authorization": "Basic abc"},
    "empty": lambda: {"Authorization": "Bearer "},
    "garbage": lambda: bearer("abc.def.ghi"),
    "forged": lambda: bearer(jwt.encode(claims(), "another secret that is long enough", "HS256")),
    "unsigned": lambda: bearer(jwt.encode(claims(), None, "none")),
    "expired": lambda: bearer(jwt.encode(claims(exp=int(time.time()) - 60), SECRET, "HS256")),
    "not yet valid": lambda: bearer(jwt.encode(claims(nbf=int(time.time()) + 60), SECRET, "HS256")),
    "other issuer": lambda: bearer(jwt.encode(claims(iss="someone else"), SECRET, "HS256")),
    "no join": lambda: bearer(jwt.encode(claims(video={"room": "r", "roomJoin": False}), SECRET, "HS256")),
    "no room": lambda: bearer(jwt.encode(claims(video={"roomJoin": True}), SECRET, "HS256")),
    "no video": lambda: bearer(jwt.encode(claims(video="all"), SECRET, "HS256")),
    "odd attributes": lambda: bearer(jwt.encode(claims(attributes=[1]), SECRET, "HS256")),
    "odd agents": lambda: bearer(jwt.encode(claims(roomConfig={"agents": ["tone"]}), SECRET, "HS256")),
}


@pytest.mark.parametrize("name", UNAUTHORISED)
def test_offer_needs_a_good_token(in_process: Any, run_clean: Any, name: str) -> None:
    async def scenario() -> None:
        async with in_process(api_secret=SECRET) as (client, served):
            response = await client.post(
                "/api/rtc/offer", headers=UNAUTHORISED[name](), json={"type": "offer", "sdp": "v=0"}
            )
            assert response.status_code == 401
            assert response.json()["code"] == "unauthorised"
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert not served.rooms.rooms

    run_clean(scenario())


BAD_BODIES: dict[str, tuple[bytes, int, str]] = {
    "not JSON": (b"v=0", 400, "not JSON"),
    "not UTF-8": (b"\xff\xfe{", 400, "not JSON"),
    "a list": (b"[]", 400, "JSON object"),
    "empty": (b"", 400, "not JSON"),
    "an answer": (b'{"type": "answer", "sdp": "v=0"}', 400, '"type": "offer"'),
    "no SDP": (b'{"type": "offer"}', 400, '"sdp"'),
    "bad SDP": (b'{"type": "offer", "sdp": "hello"}', 400, "not SDP"),
    "no audio": (
        b'{"type": "offer", "sdp": "v=0\\r\\no=- 1 1 IN IP4 0.0.0.0\\r\\ns=-\\r\\nt=0 0"}',
        400,
        "no audio",
    ),
    "too large": (b'{"type": "offer", "sdp": "' + b"x" * 70_000 + b'"}', 413, "64 KiB"),
    "another room": (b'{"type": "offer", "sdp": "v=0", "room": "other"}', 401, "another room"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_offers_are_refused_and_do_not_use_up_the_token(
    in_process: Any, run_clean: Any, name: str
) -> None:
    body, status, words = BAD_BODIES[name]

    async def scenario() -> None:
        async with in_process(api_secret=SECRET) as (client, served):
            token = jwt.encode(claims(), SECRET, "HS256")
            response = await client.post("/api/rtc/offer", headers=bearer(token), content=body)
            assert response.status_code == status
            assert response.headers["content-type"] == "application/problem+json"
            assert words in response.json()["detail"]
            assert not served.rooms.rooms
            peer, offer = await an_offer()
            assert (await client.post("/api/rtc/offer", headers=bearer(token), json=offer)).status_code == 200
            await peer.close()

    run_clean(scenario())


def test_offer_is_answered_and_starts_the_agent_once(in_process: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with in_process() as (client, served):
            issued = (await client.get("/api/get_token?agent=tone&identity=me")).json()
            peer, offer = await an_offer()
            response = await client.post("/api/rtc/offer", headers=bearer(issued["token"]), json=offer)
            assert response.status_code == 200
            answer = response.json()
            assert answer["type"] == "answer"
            assert answer["sdp"].startswith("v=0")
            assert served.dispatcher.started == [("tone", issued["room"], "")]
            assert set(served.rooms.rooms[issued["room"]].members) == {"me", "agent"}

            again = await client.post("/api/rtc/offer", headers=bearer(issued["token"]), json=offer)
            assert again.status_code == 409
            assert again.json()["code"] == "token_used"
            assert len(served.dispatcher.started) == 1
            await served.rooms.remove(issued["room"], "me")
            afterwards = await client.post("/api/rtc/offer", headers=bearer(issued["token"]), json=offer)
            assert afterwards.status_code == 409
            await peer.close()

    run_clean(scenario())


def test_a_second_participant_starts_no_second_agent(in_process: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with in_process(api_secret=SECRET) as (client, served):
            for identity in ("one", "two"):
                peer, offer = await an_offer()
                token = jwt.encode(claims(sub=identity), SECRET, "HS256")
                response = await client.post("/api/rtc/offer", headers=bearer(token), json=offer)
                assert response.status_code == 200
                await peer.close()
            assert len(served.dispatcher.started) == 1
            assert set(served.rooms.rooms["a room"].members) == {"one", "two", "agent"}

    run_clean(scenario())


def test_an_agent_that_does_not_start_is_a_clear_503(in_process: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with in_process() as (client, served):
            issued = (await client.get("/api/get_token?agent=broken")).json()
            peer, offer = await an_offer()
            response = await client.post("/api/rtc/offer", headers=bearer(issued["token"]), json=offer)
            assert response.status_code == 503
            assert response.json()["code"] == "agent_not_started"
            assert response.json()["detail"] == "Its model is not installed: run antiphon doctor."
            assert not served.rooms.rooms
            assert (await client.get("/healthz")).json()["calls"] == 0
            await peer.close()

    run_clean(scenario())


def test_an_agent_that_never_starts_is_given_up(
    in_process: Any, run_clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.server.calls.AGENT_START_DEADLINE", 0.05)

    async def scenario() -> None:
        async with in_process() as (client, served):

            async def hang(call: WebCall) -> None:
                await asyncio.Event().wait()

            served.dispatcher.start = hang
            issued = (await client.get("/api/get_token?agent=tone")).json()
            peer, offer = await an_offer()
            response = await client.post("/api/rtc/offer", headers=bearer(issued["token"]), json=offer)
            assert response.status_code == 503
            assert "did not start within" in response.json()["detail"]
            await peer.close()

    run_clean(scenario())


def test_health_and_config(in_process: Any, run_clean: Any) -> None:
    from antiphon.rooms.local.ice import IceServer

    servers = (
        IceServer(("stun:stun.example.org",)),
        IceServer(("turn:turn.example.org?transport=udp",), "user", "password"),
    )

    async def scenario() -> None:
        async with in_process(ice_servers=servers) as (client, _):
            health = (await client.get("/healthz")).json()
            assert health["status"] == "ok"
            assert health["rooms"] == health["calls"] == 0
            assert health["uptime_seconds"] >= 0
            assert health["version"]
            config = (await client.get("/api/config")).json()
            assert config["version"] == health["version"]
            assert [agent["name"] for agent in config["agents"]] == ["tone", "second", "broken"]
            assert config["agents"][0]["examples"] == ["What is my balance?", "Block my card"]
            assert config["ice_servers"] == [
                {"urls": ["stun:stun.example.org"]},
                {
                    "urls": ["turn:turn.example.org?transport=udp"],
                    "username": "user",
                    "credential": "password",
                },
            ]

    run_clean(scenario())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/static/nothing.js", 404, "not_found"),
        ("GET", "/static/../app.py", 404, "not_found"),
        ("GET", "/static/%2e%2e/app.py", 404, "not_found"),
        ("GET", "/static/", 404, "not_found"),
        ("GET", "/api/rtc/offer", 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
    ],
)
def test_framework_errors_are_problems_too(
    in_process: Any, run_clean: Any, method: str, path: str, status: int, code: str
) -> None:
    async def scenario() -> None:
        async with in_process() as (client, _):
            response = await client.request(method, path)
            assert response.status_code == status
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["code"] == code
            assert response.json()["detail"]

    run_clean(scenario())


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/static/js/main.js", "text/javascript; charset=utf-8"),
        ("/static/css/base.css", "text/css; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
        ("/favicon.ico", "image/svg+xml"),
    ],
)
def test_files_come_with_type_validator_and_security_headers(
    in_process: Any, run_clean: Any, path: str, media_type: str
) -> None:
    async def scenario() -> None:
        async with in_process() as (client, _):
            response = await client.get(path)
            assert response.status_code == 200
            headers = response.headers
            assert headers["content-type"] == media_type
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "microphone=(self)" in headers["permissions-policy"]
            policy = headers["content-security-policy"]
            assert "script-src 'self'" in policy
            assert "unsafe" not in policy
            assert headers["cache-control"] == "no-cache"
            unchanged = await client.get(path, headers={"If-None-Match": headers["etag"]})
            assert unchanged.status_code == 304
            assert unchanged.content == b""
            changed = await client.get(path, headers={"If-None-Match": '"other"'})
            assert changed.status_code == 200
            assert (await client.head(path)).status_code == 200

    run_clean(scenario())


def test_every_file_that_the_page_names_exists(in_process: Any, run_clean: Any) -> None:
    import re

    async def scenario() -> None:
        async with in_process() as (client, served):
            html = (await client.get("/")).text
            named = re.findall(r'(?:href|src)="(/static/[^"]+)"', html)
            assert named
            assert "<script>" not in html
            assert " style=" not in html
            assert " onclick=" not in html
            files = dict(served.app.state.server.static._files)
            for name, file in files.items():
                if name.endswith(".js"):
                    imported = re.findall(r'from "\./([^"]+)"', file.content.decode())
                    folder = name.rpartition("/")[0]
                    named += [f"/static/{folder}/{other}".replace("//", "/") for other in imported]
            for path in named:
                assert (await client.get(path)).status_code == 200, path

    run_clean(scenario())


def test_shutdown_closes_browsers_then_agents_then_rooms(in_process: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with in_process() as (client, served):
            issued = (await client.get("/api/get_token?agent=tone")).json()
            peer, offer = await an_offer()
            await client.post("/api/rtc/offer", headers=bearer(issued["token"]), json=offer)
            left: list[str] = []
            served.dispatcher.running[issued["room"]].room.on(
                "participant_left", lambda who: left.append(who.identity)
            )
            await asyncio.sleep(0)
        assert left == [issued["identity"]]
        assert served.dispatcher.closed
        assert not served.rooms.rooms
        await peer.close()

    run_clean(scenario())
