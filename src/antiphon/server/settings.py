"""How the server listens, whom it trusts, and what it tells browsers about the network."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..models.errors import ConfigurationError
from ..rooms.local.ice import IceServer


def _secret() -> str:
    return os.environ.get("ANTIPHON_API_SECRET") or secrets.token_urlsafe(32)


@dataclass(frozen=True)
class ServerSettings:
    """Settings of `create_app` and `serve`.

    Attributes:
        host: address to listen on; anything but this machine itself makes https the default.
        port: TCP port; 0 takes a free one.
        ice_servers: STUN and TURN servers, for our side and for the browser's.
        api_key: the issuer in tokens.
        api_secret: signs tokens; `ANTIPHON_API_SECRET`, or random for each process.
        token_lifetime: seconds that a token can be used after it was issued.
        tokens_per_minute: how many tokens one client address gets, on average.
        token_burst: how many of them at once.
        tls_cert: certificate chain, PEM.
        tls_key: its private key, PEM.
        tls: False never, True always; None: when a certificate is given, or when listening beyond this machine.
        shutdown_deadline: seconds that calls in progress get to close.
        port_option: how another port is chosen, for who is told that this one cannot be used.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    ice_servers: tuple[IceServer, ...] = ()
    api_key: str = "antiphon"
    api_secret: str = field(default_factory=_secret, repr=False)
    token_lifetime: float = 600.0
    tokens_per_minute: float = 60.0
    token_burst: int = 30
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls: bool | None = None
    shutdown_deadline: float = 10.0
    port_option: str = "--port"

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigurationError(f"port {self.port} does not exist: choose 0 to 65535")
        if (self.tls_cert is None) != (self.tls_key is None):
            missing, given = ("--tls-key", "--tls-cert") if self.tls_cert else ("--tls-cert", "--tls-key")
            raise ConfigurationError(
                f"{given} needs {missing} too: a certificate and its private key go together"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **explicit: Any) -> ServerSettings:
        """Settings from `ANTIPHON_API_KEY`, `ANTIPHON_API_SECRET` and `ANTIPHON_ICE_SERVERS`, under explicit ones.

        `ANTIPHON_ICE_SERVERS` is JSON, the list that a browser takes:
        `[{"urls": "turn:turn.example.org:3478", "username": "…", "credential": "…"}]`.

        Raises:
            ConfigurationError: a variable cannot be understood.
        """
        found: dict[str, Any] = {}
        if environment.get("ANTIPHON_API_KEY"):
            found["api_key"] = environment["ANTIPHON_API_KEY"]
        if environment.get("ANTIPHON_API_SECRET"):
            found["api_secret"] = environment["ANTIPHON_API_SECRET"]
        if environment.get("ANTIPHON_ICE_SERVERS"):
            found["ice_servers"] = parse_ice_servers(environment["ANTIPHON_ICE_SERVERS"])
        return cls(**(found | explicit))


def parse_ice_servers(text: str) -> tuple[IceServer, ...]:
    """Read a browser's `iceServers` list from JSON.

    Raises:
        ConfigurationError: it is not such a list.
    """
    try:
        entries = json.loads(text)
        return tuple(_ice_server(entry) for entry in entries)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigurationError(
            "ANTIPHON_ICE_SERVERS must be a JSON list of objects with urls, and for TURN username and credential; "
            f"it cannot be read: {error}"
        ) from error


def _ice_server(entry: Mapping[str, Any]) -> IceServer:
    urls = entry["urls"]
    urls = (urls,) if isinstance(urls, str) else tuple(urls)
    for url in urls:
        if not url.startswith(("stun:", "stuns:", "turn:", "turns:")):
            raise ValueError(f"{url!r} is neither a stun: nor a turn: address")
    return IceServer(urls, entry.get("username", ""), entry.get("credential", ""))
