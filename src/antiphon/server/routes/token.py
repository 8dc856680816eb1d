"""`GET /api/get_token`: a token for one call with one agent."""

from __future__ import annotations

import math
import re
import secrets
from typing import Any

from fastapi import APIRouter, Request

from ..problems import Problem
from ..tokens import Grant
from .state import server_state

router = APIRouter()

_IDENTITY = re.compile(r"[\w.@+:-]{1,64}")


@router.get("/api/get_token")
@router.get("/api/getToken", include_in_schema=False)
async def get_token(request: Request, agent: str = "", identity: str = "", name: str = "") -> dict[str, Any]:
    """Issue a token for a fresh room.

    Args:
        request: its client's address is what the rate limit counts.
        agent: who answers in that room; may be left out when there is only one.
        identity: who calls; made up when not given.
        name: the caller's name for people.
    """
    state = server_state(request)
    wait = state.token_limit.take(request.client.host if request.client else "")
    if wait:
        seconds = max(1, math.ceil(min(wait, 3600)))
        raise Problem(
            429,
            "too_many_requests",
            f"Too many tokens for this address; try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )
    known = [info.name for info in state.dispatcher.agents()]
    if not agent and len(known) == 1:
        agent = known[0]
    if agent not in known:
        asked = f"There is no agent {agent!r}." if agent else "Say which agent: ?agent=<name>."
        listed = ", ".join(known) or "none"
        raise Problem(404, "unknown_agent", f"{asked} Agents here: {listed}.", agents=known)
    if identity and not _IDENTITY.fullmatch(identity):
        raise Problem(
            422, "invalid_request", "identity may have 1 to 64 letters, digits and the characters . _ @ + : -"
        )
    grant = Grant(
        identity=identity or f"user-{secrets.token_hex(4)}",
        room=f"{agent}-{secrets.token_hex(8)}",
        agent=agent,
        name=name[:100],
    )
    return {
        "token": state.tokens.issue(grant),
        "url": str(request.base_url).rstrip("/"),
        "room": grant.room,
        "identity": grant.identity,
        "expires_in": int(state.tokens.lifetime),
        "transport": "webrtc",
    }
