"""`/calls`: what calls there are, how they went, and what can be asked of one that runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from ...calls.call_requests import CallOver, RequestType, end_call, submit
from ...calls.call_view import show_call
from ...calls.document import parse
from ...calls.status import CallDirection, CallStatus
from ...store import Document, OneOf, Range
from .openapi import Answer, Body, Id, operation
from .paging import Paged, filters
from .requests import read_object
from .schemas import (
    Call,
    CallAccepted,
    DtmfRequest,
    RequestAccepted,
    SayRequest,
    TranscriptEntry,
    TransferRequest,
    page_of,
)
from .services import rest_state, store_of

logger = logging.getLogger(__name__)

router = APIRouter()

CALL = {
    "id": "call_0199e5a1c4b7",
    "status": "completed",
    "direction": "inbound",
    "created_at": 1760000000.0,
    "assistant_id": "asst_0199e5a1c4b7",
    "assistant_name": "Bank",
    "service": "exotel",
    "room": "call_0199e5a1c4b7",
    "trunk_id": "trunk_0199e5a1c4b7",
    "inbound_id": "in_0199e5a1c4b7",
    "caller_number": "+14155550123",
    "called_number": "+14155550199",
    "context": {"name": "Ann"},
    "ringing_at": 1760000000.0,
    "answered_at": 1760000002.1,
    "ended_at": 1760000065.0,
    "end_reason": "caller_hangup",
    "billed_seconds": 63,
    "recording": {
        "id": "rec_0199e5a1c4b7",
        "state": "stored",
        "seconds": 62.9,
        "bytes": 377000,
        "error": None,
    },
}
_ENTRY = {
    "seq": 1,
    "role": "assistant",
    "text": "Good morning, Ann. How can I help?",
    "at": 1760000005.2,
    "interrupted": False,
    "started_at": 1760000002.6,
    "ended_at": 1760000005.2,
}
_OF_THE_STORE = frozenset(
    {"id", "version", "created_at", "updated_at", "call_id", "expires_at", "deleted_at"}
)
_Time = Query(ge=0, le=1e11, allow_inf_nan=False)


@router.get(
    "/calls",
    **operation(
        "calls",
        "list_calls",
        "List calls",
        scope="calls:read",
        answer=Answer(200, page_of(Call), {"items": [CALL], "next_cursor": None}),
        problems=(422,),
    ),
)
async def list_calls(
    request: Request,
    paging: Paged,
    status: Annotated[
        list[CallStatus] | None,
        Query(description="Those that are so; several may be given.", examples=[["queued", "dialing"]]),
    ] = None,
    assistant_id: Annotated[
        str | None, Query(max_length=200, description="Of an assistant.", examples=["asst_0199e5a1c4b7"])
    ] = None,
    direction: Annotated[
        CallDirection | None, Query(description="Those that began so.", examples=["inbound"])
    ] = None,
    created_from: Annotated[
        float | None, _Time, Query(description="In seconds since 1970.", examples=[1760000000])
    ] = None,
    created_to: Annotated[
        float | None, _Time, Query(description="Up to, without, this time.", examples=[1760086400])
    ] = None,
) -> Response:
    created = Range(gte=created_from, lt=created_to)
    where = filters(
        status=OneOf(tuple(str(one) for one in status)) if status else None,
        assistant_id=assistant_id,
        direction=None if direction is None else str(direction),
        created_at=created if created.limits() else None,
    )
    page = await paging.find(store_of(request), "calls", where)
    return JSONResponse({"items": [show_call(item) for item in page.items], "next_cursor": page.next_cursor})


@router.get(
    "/calls/{id}",
    **operation(
        "calls",
        "read_call",
        "Read a call",
        scope="calls:read",
        answer=Answer(200, Call, CALL),
        problems=(404, 422),
    ),
)
async def read(request: Request, id: Id) -> Response:
    return JSONResponse(show_call(await store_of(request).get("calls", id)))


@router.get(
    "/calls/{id}/transcript",
    **operation(
        "calls",
        "read_transcript",
        "Read what was said, as far as the call has come",
        scope="calls:read",
        answer=Answer(200, page_of(TranscriptEntry), {"items": [_ENTRY], "next_cursor": None}),
        problems=(404, 422),
    ),
)
async def transcript(
    request: Request,
    id: Id,
    limit: Annotated[int, Query(ge=1, le=500, description="How many on a page.", examples=[200])] = 200,
    cursor: Annotated[
        str | None, Query(max_length=500, description="`next_cursor` of the page before.", examples=["WyJ…"])
    ] = None,
) -> Response:
    store = store_of(request)
    await store.get("calls", id)
    page = await store.find("transcripts", {"call_id": id}, limit=limit, cursor=cursor)
    entries = [_without(entry, _OF_THE_STORE) for entry in page.items]
    return JSONResponse({"items": entries, "next_cursor": page.next_cursor})


@router.delete(
    "/calls/{id}",
    **operation(
        "calls",
        "end_call",
        "Cancel a call, or hang it up; one that is over stays as it is",
        scope="calls:write",
        answer=Answer(
            202,
            CallAccepted,
            {"call_id": "call_0199e5a1c4b7", "status": "answered"},
            description="It is being hung up; the record tells when it has ended.",
        ),
        more_answers=[
            Answer(
                200,
                CallAccepted,
                {"call_id": "call_0199e5a1c4b7", "status": "cancelled"},
                description="It is over.",
            )
        ],
        problems=(404, 409, 422),
    ),
)
async def end(request: Request, id: Id) -> Response:
    state = rest_state(request)
    try:
        call = await end_call(state.store, id)
    except CallOver as error:
        return JSONResponse({"call_id": id, "status": str(error.status)})
    _look(request, id)
    over = call["status"] == CallStatus.CANCELLED
    return JSONResponse({"call_id": id, "status": call["status"]}, 200 if over else 202)


_ASKED = Answer(
    202,
    RequestAccepted,
    {"call_id": "call_0199e5a1c4b7", "request_id": "req_0199e5a1c4b7"},
    description="It was asked; the call's events tell how it went.",
)


def _steering(name: str, summary: str, model: type[BaseModel], example: Mapping[str, Any]) -> dict[str, Any]:
    return operation(
        "calls",
        f"{name}_call",
        summary,
        scope="calls:write",
        body=Body(model, {name: example}),
        answer=_ASKED,
        problems=(404, 409),
    )


@router.post(
    "/calls/{id}/transfer",
    **_steering(
        "transfer", "Pass the caller on to somebody else", TransferRequest, {"target": "+14155550142"}
    ),
)
async def transfer(request: Request, id: Id) -> Response:
    wanted = parse(TransferRequest, await read_object(request))
    return await _ask(request, id, RequestType.TRANSFER, {"target": wanted.target})


@router.post("/calls/{id}/dtmf", **_steering("dtmf", "Press keys", DtmfRequest, {"digits": "1w23#"}))
async def dtmf(request: Request, id: Id) -> Response:
    wanted = parse(DtmfRequest, await read_object(request))
    return await _ask(request, id, RequestType.DTMF, {"digits": wanted.digits})


@router.post(
    "/calls/{id}/say",
    **_steering(
        "say", "Have the agent say something, word by word", SayRequest, {"text": "One moment, please."}
    ),
)
async def say(request: Request, id: Id) -> Response:
    wanted = parse(SayRequest, await read_object(request))
    return await _ask(request, id, RequestType.SAY, wanted.model_dump())


async def _ask(request: Request, call_id: str, kind: RequestType, args: Mapping[str, Any]) -> Response:
    request_id = await submit(store_of(request), call_id, kind, args)
    _look(request, call_id)
    return JSONResponse({"call_id": call_id, "request_id": request_id}, 202)


def _look(request: Request, call_id: str) -> None:
    """Have what runs here look at the call at once rather than at the next poll."""
    services = rest_state(request).services
    if services.host is not None:
        services.host.poke(call_id)
    if services.on_event is not None:
        services.on_event()


def _without(document: Document, names: frozenset[str]) -> Document:
    return {name: value for name, value in document.items() if name not in names}
