"""`GET /api/get_token`: a token for one call with one agent."""

from __future__ import annotations

import json
import math
import re
import secrets
from typing import Any

from fastapi import APIRouter, Request

from ...store import InvalidDocument, check_value
from ..auth import check_scope
from ..dispatch import AgentInfo
from ..problems import Problem
from ..tokens import Grant
from .state import check_accepting, server_state

router = APIRouter()

MOST_VARIABLES = 4096
"""Characters of `variables`: they travel in the token, in a header."""
SCOPE = "calls:write"
AGENT = "agent"
"""Who answers, in the room: of two with one identity the first has to leave."""

_IDENTITY = re.compile(r"[\w.@+:-]{1,64}")


@router.get("/api/get_token")
@router.get("/api/getToken")
async def get_token(
    request: Request, agent: str = "", identity: str = "", name: str = "", variables: str = ""
) -> dict[str, Any]:
    """Issue a token for a fresh room.

    With an API key that may write calls, any stored assistant can be called, with variables, and nothing is counted.
    """
    state = server_state(request)
    check_accepting(state)
    private = await _may_call_any(request)
    if not private:
        _count(request)
    found = await _find(request, agent, private=private)
    if identity and (not _IDENTITY.fullmatch(identity) or identity == AGENT):
        raise Problem(
            422,
            "invalid_request",
            f"identity may have 1 to 64 letters, digits and the characters . _ @ + : -, and not be {AGENT!r}",
        )
    grant = Grant(
        identity=identity or f"user-{secrets.token_hex(4)}",
        room=f"{found.name}-{secrets.token_hex(8)}",
        agent=found.name,
        name=name[:100],
        agent_metadata=_checked_variables(variables, private=private),
    )
    return {
        "token": state.tokens.issue(grant),
        "url": str(request.base_url).rstrip("/"),
        "room": grant.room,
        "identity": grant.identity,
        "expires_in": int(state.tokens.lifetime),
        "transport": "webrtc",
    }


async def _may_call_any(request: Request) -> bool:
    """Whether an API key came along that may write calls; one that may not is an error, as it was meant to."""
    authenticator = server_state(request).authenticator
    if authenticator is None or "authorization" not in request.headers:
        return False
    check_scope(await authenticator.authenticate(request), SCOPE)
    return True


def _count(request: Request) -> None:
    """Raises Problem 429 when this address had too many tokens."""
    wait = server_state(request).token_limit.take(request.client.host if request.client else "")
    if wait:
        seconds = max(1, math.ceil(min(wait, 3600)))
        raise Problem(
            429,
            "too_many_requests",
            f"Too many tokens for this address; try again in {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )


async def _find(request: Request, agent: str, *, private: bool) -> AgentInfo:
    """Whom to call; without a name the only one that there is for everybody."""
    dispatcher = server_state(request).dispatcher
    if agent and (found := await dispatcher.find(agent, private=private)) is not None:
        return found
    public = list(await dispatcher.agents())
    if not agent and len(public) == 1:
        return public[0]
    asked = f"There is no agent {agent!r}." if agent else "Say which agent: ?agent=<name>."
    known = [info.name for info in public]
    listed = ", ".join(known) or "none"
    raise Problem(404, "unknown_agent", f"{asked} Agents here: {listed}.", agents=known)


def _checked_variables(text: str, *, private: bool) -> str:
    """The variables as they go into the token.

    What they hold becomes part of the prompt, so they are not for anybody who finds the page.
    """
    if not text:
        return ""
    if not private:
        raise Problem(
            403,
            "variables_refused",
            f"Variables need an API key with the scope {SCOPE}: send it as a bearer.",
        )
    if len(text) > MOST_VARIABLES:
        raise Problem(422, "invalid_request", f"variables may have {MOST_VARIABLES} characters at most")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Problem(422, "invalid_request", f"variables is not JSON: {error}") from None
    if not isinstance(values, dict) or not isinstance(values.get("context", {}), dict):
        raise Problem(422, "invalid_request", "variables must be a JSON object, and so must context in it")
    try:
        check_value(values, "variables")
    except InvalidDocument as error:  # the call's record could not hold it
        raise Problem(422, "invalid_request", f"{error}") from None
    return json.dumps(values, separators=(",", ":"))
