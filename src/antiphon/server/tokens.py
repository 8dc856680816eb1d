"""Access tokens: JWTs with LiveKit's grant claims, for one participant of one room, for minutes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt

from ..models.errors import AntiphonError

_ALGORITHM = "HS256"


class TokenRejected(AntiphonError):
    """A token gives no access; the message says why."""


@dataclass(frozen=True)
class Grant:
    """What a token allows.

    Attributes:
        identity: who joins.
        room: the only room that may be joined.
        agent: which agent serves that room; empty: none is started.
        name: for people.
        metadata: of the participant.
        attributes: of the participant.
        agent_metadata: passed to the agent.
        expires_at: seconds since the epoch.
    """

    identity: str
    room: str
    agent: str = ""
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    agent_metadata: str = ""
    expires_at: float = 0.0


class TokenIssuer:
    """Signs and checks tokens with one key.

    Claims: https://docs.livekit.io/home/get-started/authentication/ (`iss`, `sub`, `nbf`, `exp`, `name`, `video`,
    `metadata`, `attributes`, `roomConfig`), so that the same tokens serve a LiveKit server of the same key.
    """

    def __init__(self, api_key: str, api_secret: str, lifetime: float) -> None:
        self._api_key = api_key
        self._secret = api_secret
        self.lifetime = lifetime

    def issue(self, grant: Grant) -> str:
        """Sign a token that is valid from now for `lifetime` seconds."""
        # Tokens are read by other machines' clocks, so these are times of day.
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self._api_key,
            "sub": grant.identity,
            "nbf": now,
            "exp": now + int(self.lifetime),
            "name": grant.name,
            "video": {
                "room": grant.room,
                "roomJoin": True,
                "canPublish": True,
                "canSubscribe": True,
                "canPublishData": True,
            },
            "metadata": grant.metadata,
            "attributes": dict(grant.attributes),
        }
        if grant.agent:
            agent = {"agentName": grant.agent, "metadata": grant.agent_metadata}
            claims["roomConfig"] = {"agents": [agent]}
        return jwt.encode(claims, self._secret, algorithm=_ALGORITHM)

    def verify(self, token: str) -> Grant:
        """Check a token's signature, times and grant.

        Raises:
            TokenRejected: it is forged, expired, not yet valid, or not a token to join a room.
        """
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                issuer=self._api_key,
                leeway=5,
                options={"require": ["exp", "nbf", "sub", "iss"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenRejected("the token has expired; get a new one") from error
        except jwt.InvalidTokenError as error:
            raise TokenRejected(f"the token is not valid: {error}") from error
        return _grant(claims)


def _grant(claims: dict[str, Any]) -> Grant:
    video = claims.get("video")
    room = video.get("room") if isinstance(video, dict) and video.get("roomJoin") is True else None
    if not isinstance(room, str) or not room:
        raise TokenRejected("the token does not allow to join a room")
    try:
        agents = claims.get("roomConfig", {}).get("agents") or [{}]
        return Grant(
            identity=claims["sub"],
            room=room,
            agent=str(agents[0].get("agentName", "")),
            name=str(claims.get("name", "")),
            metadata=str(claims.get("metadata", "")),
            attributes={str(key): str(value) for key, value in claims.get("attributes", {}).items()},
            agent_metadata=str(agents[0].get("metadata", "")),
            expires_at=float(claims["exp"]),
        )
    except (AttributeError, TypeError, KeyError, IndexError) as error:
        raise TokenRejected("the token's claims do not have the expected form") from error
