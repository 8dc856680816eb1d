"""Access tokens: who may join which room, signed. Claims as in LiveKit's documentation, "Access tokens"."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import asdict, dataclass
from typing import Any

from ..models.errors import ConfigurationError

DEFAULT_TTL = dt.timedelta(hours=6)
KEY_VARIABLE = "LIVEKIT_API_KEY"
SECRET_VARIABLE = "LIVEKIT_API_SECRET"


@dataclass(frozen=True)
class VideoGrants:
    """What the bearer may do; None leaves it to the server's default."""

    room_join: bool | None = None
    room: str = ""
    room_create: bool | None = None
    room_list: bool | None = None
    room_admin: bool | None = None
    can_publish: bool | None = None
    can_subscribe: bool | None = None
    can_publish_data: bool | None = None
    can_update_own_metadata: bool | None = None
    hidden: bool | None = None
    agent: bool | None = None

    def claims(self) -> dict[str, Any]:
        """The `video` claim, with LiveKit's names."""
        return {_camel(name): value for name, value in asdict(self).items() if value not in (None, "")}


class AccessToken:
    """Builds a token: `AccessToken(key, secret).with_identity("ann").with_grants(VideoGrants(...)).to_jwt()`."""

    def __init__(self, api_key: str | None = None, api_secret: str | None = None) -> None:
        """Prepare a token without an identity or grants.

        Args:
            api_key: the issuer; None: `LIVEKIT_API_KEY` of the environment.
            api_secret: what it is signed with, HS256; None: `LIVEKIT_API_SECRET` of the environment.

        Raises:
            ConfigurationError: one of them is given nowhere.
        """
        self._key = api_key or os.environ.get(KEY_VARIABLE, "")
        self._secret = api_secret or os.environ.get(SECRET_VARIABLE, "")
        if not self._key or not self._secret:
            raise ConfigurationError(
                f"AccessToken needs a key and a secret: pass them, or set {KEY_VARIABLE} and {SECRET_VARIABLE}"
            )
        self._claims: dict[str, Any] = {}
        self._ttl = DEFAULT_TTL

    def with_identity(self, identity: str) -> AccessToken:
        return self._with(sub=identity)

    def with_name(self, name: str) -> AccessToken:
        return self._with(name=name)

    def with_metadata(self, metadata: str) -> AccessToken:
        return self._with(metadata=metadata)

    def with_attributes(self, attributes: dict[str, str]) -> AccessToken:
        return self._with(attributes=dict(attributes))

    def with_grants(self, grants: VideoGrants) -> AccessToken:
        return self._with(video=grants.claims())

    def with_ttl(self, ttl: dt.timedelta) -> AccessToken:
        """How long it is valid; 6 hours unless told otherwise."""
        self._ttl = ttl
        return self

    def to_jwt(self) -> str:
        """The signed token (RFC 7519).

        Raises:
            ValueError: it lets somebody join a room without naming who.
        """
        if self._claims.get("video", {}).get("roomJoin") and not self._claims.get("sub"):
            raise ValueError("a token to join a room needs an identity: call with_identity")
        import jwt

        now = dt.datetime.now(dt.UTC)
        return jwt.encode(
            {**self._claims, "iss": self._key, "nbf": now, "exp": now + self._ttl},
            self._secret,
            algorithm="HS256",
        )

    def _with(self, **claims: Any) -> AccessToken:
        self._claims.update(claims)
        return self


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
