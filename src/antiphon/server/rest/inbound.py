"""`/inbound`: which assistant answers which number."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from ...calls.document import parse
from ...calls.number_mapping import NumberMapping
from ...calls.numbers import NUMBERS
from .openapi import Answer, Body, Id, operation
from .requests import read_object
from .resource_routes import IF_MATCH, ResourceRoutes
from .schemas import AttachRequest, StoredNumber

_NEW = {"number": "+14155550199"}
_STORED = {
    **NumberMapping.model_validate(_NEW).model_dump(mode="json"),
    "id": "in_0199e5a1c4b7",
    "version": 1,
    "created_at": 1760000000.0,
    "updated_at": 1760000000.0,
}
_FILTERS = {
    "number": ("The number, in E.164.", "+14155550199"),
    "assistant_id": ("Those that this assistant answers.", "asst_0199e5a1c4b7"),
    "trunk_id": ("Those of this trunk.", "trunk_0199e5a1c4b7"),
    "inbound_context_strategy_id": ("Those that use this strategy.", "strategy_0199e5a1c4b7"),
}

_routes = ResourceRoutes(
    NUMBERS,
    StoredNumber,
    "/inbound",
    "inbound",
    _FILTERS,
    {"number": _NEW},
    {"closed": {"active": False}},
    _STORED,
)
router = _routes.router()


@router.post(
    "/inbound/{id}/attach",
    **operation(
        "inbound",
        "attach_number",
        "Have an assistant answer a number",
        scope="inbound:write",
        body=Body(AttachRequest, {"an assistant": {"assistant_id": "asst_0199e5a1c4b7"}}),
        answer=Answer(200, StoredNumber, {**_STORED, "assistant_id": "asst_0199e5a1c4b7"}),
        problems=(404, 409, 412),
        headers=IF_MATCH,
    ),
)
async def attach(request: Request, id: Id) -> Response:
    wanted = parse(AttachRequest, await read_object(request))
    return await _routes.change(request, id, {"assistant_id": wanted.assistant_id})


@router.post(
    "/inbound/{id}/detach",
    **operation(
        "inbound",
        "detach_number",
        "Have nobody answer a number: its calls are refused with 480",
        scope="inbound:write",
        answer=Answer(200, StoredNumber, _STORED),
        problems=(404, 409, 412, 422),
        headers=IF_MATCH,
    ),
)
async def detach(request: Request, id: Id) -> Response:
    return await _routes.change(request, id, {"assistant_id": None})
