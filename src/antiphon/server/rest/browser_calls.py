"""What the OpenAPI document says of the routes for browsers and of `/healthz`, which are there without a store too."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .openapi import Answer, Body, describe


class CallToken(BaseModel):
    """A token for one call: the bearer of `POST /api/rtc/offer`."""

    token: str
    url: str
    room: str
    identity: str
    expires_in: Annotated[int, Field(description="seconds")]
    transport: Literal["webrtc", "livekit"]


class SessionDescription(BaseModel):
    """As a browser's `RTCSessionDescription` serialises, with all candidates gathered."""

    type: Literal["offer", "answer"]
    sdp: str
    room: str | None = None


class PageConfig(BaseModel):
    """What the page needs before it calls."""

    version: str
    ice_servers: list[dict[str, Any]]
    agents: list[dict[str, Any]]


class Health(BaseModel):
    """That the server is up, and how busy it is."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ok"]
    version: str
    uptime_seconds: float
    rooms: int
    calls: int


_TOKEN = {
    "token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9…",
    "url": "https://voice.example.com",
    "room": "bank-5f0c0a527d5e4a61",
    "identity": "user-9f0c0d8a",
    "expires_in": 600,
    "transport": "webrtc",
}
_QUERY = {
    "agent": ("Who is called; may be left out when there is only one.", "bank"),
    "identity": ("Who calls; made up when not given.", "ann"),
    "name": ("The caller's name for people.", "Ann"),
    "variables": ("JSON for the assistant's placeholders; needs an API key.", '{"context": {"name": "Ann"}}'),
}
_SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"


def add(document: dict[str, Any]) -> None:
    """Describe those of them that the application has."""
    for path, operation_id in (
        ("/api/get_token", "get_token"),
        ("/api/getToken", "get_token_by_its_other_name"),
    ):
        describe(
            document,
            (path, "get"),
            tag="browser",
            operation_id=operation_id,
            summary="A token for a call from a browser; without a key to public assistants only",
            answer=Answer(200, CallToken, _TOKEN),
            problems=(401, 403, 404, 422, 429, 503),
            query=_QUERY,
        )
    describe(
        document,
        ("/api/rtc/offer", "post"),
        tag="browser",
        operation_id="offer",
        summary="Connect a browser to its room: its WebRTC offer in, our answer out",
        body=Body(SessionDescription, {"an offer": {"type": "offer", "sdp": _SDP}}),
        answer=Answer(200, SessionDescription, {"type": "answer", "sdp": _SDP}),
        problems=(400, 401, 409, 413, 503),
        security="call_token",
    )
    describe(
        document,
        ("/api/config", "get"),
        tag="browser",
        operation_id="page_config",
        summary="What the page needs before it calls",
        answer=Answer(
            200,
            PageConfig,
            {
                "version": "0.1.0",
                "ice_servers": [{"urls": ["stun:stun.example.com:3478"]}],
                "agents": [{"name": "bank", "title": "Bank", "description": "", "examples": []}],
            },
        ),
        problems=(503,),
    )
    describe(
        document,
        ("/healthz", "get"),
        tag="operation",
        operation_id="healthz",
        summary="Whether the server is up, and how busy",
        answer=Answer(
            200,
            Health,
            {"status": "ok", "version": "0.1.0", "uptime_seconds": 12.5, "rooms": 2, "calls": 2},
        ),
    )
