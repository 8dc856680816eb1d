"""`POST /api/rtc/offer`: a browser's WebRTC offer in, our answer out."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request

from ...rooms.local.webrtc import OfferRejected, check_offer
from ..calls import TokenUsed
from ..dispatch import AgentStartError
from ..problems import Problem
from ..request_body import read_body
from ..tokens import Grant, TokenRejected
from .state import check_accepting, server_state

router = APIRouter()

MAX_BODY = 64 * 1024


@router.post("/api/rtc/offer")
async def offer(request: Request) -> dict[str, str]:
    """Connect the bearer of a token to its room.

    The body is `{"type": "offer", "sdp": "…"}`, as a browser's `RTCSessionDescription` serialises, with all candidates
    gathered; `room` may be added and must then be the token's.
    """
    state = server_state(request)
    check_accepting(state)
    grant = _authorise(request)
    body = await _read_json(request)
    if "room" in body and body["room"] != grant.room:
        raise _unauthorised(f"The token is for another room than {str(body['room'])[:100]!r}.")
    sdp = body.get("sdp")
    if body.get("type") != "offer" or not isinstance(sdp, str):
        raise Problem(400, "invalid_offer", 'The body must be {"type": "offer", "sdp": "…"}.')
    try:
        answer = await state.calls.open(grant, check_offer(sdp))
    except OfferRejected as error:
        raise Problem(400, "invalid_offer", _sentence(error)) from error
    except TokenUsed as error:
        raise Problem(409, "token_used", _sentence(error)) from error
    except AgentStartError as error:
        raise Problem(503, "agent_not_started", _sentence(error)) from error
    except TimeoutError as error:
        detail = "No candidates could be gathered in time; check the STUN and TURN servers in the settings."
        raise Problem(503, "gathering_failed", detail) from error
    return {"type": "answer", "sdp": answer}


def _authorise(request: Request) -> Grant:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _unauthorised("Send the token of /api/get_token as 'Authorization: Bearer <token>'.")
    try:
        return server_state(request).tokens.verify(token.strip())
    except TokenRejected as error:
        raise _unauthorised(_sentence(error)) from error


def _unauthorised(detail: str) -> Problem:
    return Problem(401, "unauthorised", detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


async def _read_json(request: Request) -> dict[str, Any]:
    body = await read_body(request, MAX_BODY)
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "invalid_json", "The body is not JSON.") from error
    if not isinstance(content, dict):
        raise Problem(400, "invalid_json", "The body must be a JSON object.")
    return content


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
