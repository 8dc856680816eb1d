"""How routes reach what the application shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fastapi import Request

from ..problems import Problem

if TYPE_CHECKING:
    from ..app import ServerState


def check_accepting(state: ServerState) -> None:
    """Raises Problem 503 once this server takes no new calls."""
    if state.draining:
        raise Problem(
            503,
            "shutting_down",
            "This server is shutting down and takes no new calls; try again in a moment.",
            headers={"Retry-After": "5"},
        )


def server_state(request: Request) -> ServerState:
    """The `ServerState` of the application that serves `request`."""
    return cast("ServerState", request.app.state.server)
