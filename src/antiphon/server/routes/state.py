"""How routes reach what the application shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastapi import Request

if TYPE_CHECKING:
    from ..app import ServerState


def server_state(request: Request) -> ServerState:
    """The `ServerState` of the application that serves `request`."""
    return cast("ServerState", request.app.state.server)
