"""STUN and TURN servers, for our side of a WebRTC connection and for the browser's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IceServer:
    """One entry of a browser's `RTCConfiguration.iceServers`.

    Attributes:
        urls: `stun:host:port`, `turn:host:port?transport=udp`, `turns:…` (RFC 7064, RFC 7065).
        username: for TURN.
        credential: for TURN.
    """

    urls: tuple[str, ...]
    username: str = ""
    credential: str = ""

    def as_browser_config(self) -> dict[str, object]:
        """The dictionary that a browser takes."""
        config: dict[str, object] = {"urls": list(self.urls)}
        if self.username:
            config |= {"username": self.username, "credential": self.credential}
        return config
