"""`POST /calls/outbound`: place a call."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from ...calls.document import DocumentRefused, FieldProblem, parse
from ...calls.outbound_queue import OutboundCall, enqueue
from .openapi import Answer, Body, operation
from .requests import read_object
from .schemas import CallAccepted
from .services import principal_of, rest_state

router = APIRouter()

_EXAMPLE = {
    "assistant_id": "asst_0199e5a1c4b7",
    "trunk_id": "trunk_0199e5a1c4b7",
    "to_number": "+14155550123",
}


@router.post(
    "/calls/outbound",
    **operation(
        "calls",
        "place_call",
        "Place a call; it is queued, and how it goes is told by its record, its events and the webhook",
        scope="calls:write",
        body=Body(
            OutboundCall,
            {
                "now": _EXAMPLE,
                "later": {
                    **_EXAMPLE,
                    "variables": {"context": {"name": "Ann"}},
                    "metadata": {"campaign": "spring"},
                    "scheduled_at": 1790000000,
                },
            },
        ),
        answer=Answer(
            202,
            CallAccepted,
            {"call_id": "call_0199e5a1c4b7", "status": "queued"},
            {"Location": "Where the call is."},
        ),
        problems=(409,),
        headers={
            "Idempotency-Key": (
                "The same request with the same key is the same call. Another request with it is refused with 409.",
                "5f0c0a52-7d5e-4a61-9f0c-0d8a4b6f1c11",
            )
        },
    ),
)
async def place(request: Request) -> Response:
    state = rest_state(request)
    wanted = parse(OutboundCall, await read_object(request))
    call = await enqueue(
        state.store,
        wanted,
        api_key_id=principal_of(request).lineage,
        idempotency_key=_idempotency_key(request),
        wake=state.services.on_enqueued,
    )
    if state.services.on_event is not None:
        state.services.on_event()
    headers = {"Location": f"/calls/{call['id']}"}
    return JSONResponse({"call_id": call["id"], "status": call["status"]}, 202, headers)


def _idempotency_key(request: Request) -> str | None:
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1:  # which of them counts, nobody could say
        raise DocumentRefused([FieldProblem("Idempotency-Key", "must be sent once")])
    return keys[0] if keys else None
