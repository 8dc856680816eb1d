"""`/webhook_deliveries`: what became of webhooks, and once more for those that did not arrive."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from ...calls.webhook_delivery import COLLECTION, replay
from ...store import Document
from .openapi import Answer, Id, operation
from .paging import Paged, filters
from .schemas import WebhookDelivery, page_of
from .services import rest_state, store_of

router = APIRouter()

_HIDDEN = frozenset({"lease", "claimable_at", "attempts", "completed_at", "outbox", "outbox_due", "lane"})
_EXAMPLE = {
    "id": "delivery_0199e5a1c4b7",
    "version": 3,
    "created_at": 1760000000.0,
    "updated_at": 1760000002.0,
    "event_id": "evt_0199e5a1c4b7",
    "call_id": "call_0199e5a1c4b7",
    "assistant_id": "asst_0199e5a1c4b7",
    "type": "call.ended",
    "status": "dead",
    "url": "https://crm.example.com/calls",
    "body": '{"type":"call.ended"}',
    "tries": 8,
    "history": [{"at": 1760000001.0, "status": 500, "error": "", "seconds": 0.2}],
    "replays": 0,
    "reason": "8 attempts failed",
}


@router.get(
    "/webhook_deliveries",
    **operation(
        "webhook_deliveries",
        "list_deliveries",
        "List webhooks",
        scope="webhooks:read",
        answer=Answer(200, page_of(WebhookDelivery), {"items": [_EXAMPLE], "next_cursor": None}),
        problems=(422,),
    ),
)
async def list_deliveries(
    request: Request,
    paging: Paged,
    status: Annotated[
        Literal["pending", "delivered", "dead"] | None,
        Query(description="Those that are so.", examples=["dead"]),
    ] = None,
    call_id: Annotated[
        str | None, Query(max_length=200, description="Those of a call.", examples=["call_0199e5a1c4b7"])
    ] = None,
) -> Response:
    page = await paging.find(store_of(request), COLLECTION, filters(status=status, call_id=call_id))
    return JSONResponse({"items": [_shown(item) for item in page.items], "next_cursor": page.next_cursor})


@router.get(
    "/webhook_deliveries/{id}",
    **operation(
        "webhook_deliveries",
        "read_delivery",
        "Read a webhook and its last attempts",
        scope="webhooks:read",
        answer=Answer(200, WebhookDelivery, _EXAMPLE),
        problems=(404, 422),
    ),
)
async def read(request: Request, id: Id) -> Response:
    return JSONResponse(_shown(await store_of(request).get(COLLECTION, id)))


@router.post(
    "/webhook_deliveries/{id}/replay",
    **operation(
        "webhook_deliveries",
        "replay_delivery",
        "Deliver it once more, with all attempts anew and the same webhook-id",
        scope="webhooks:write",
        answer=Answer(202, WebhookDelivery, {**_EXAMPLE, "status": "pending", "tries": 0, "replays": 1}),
        problems=(404, 409, 422),
    ),
)
async def replay_delivery(request: Request, id: Id) -> Response:
    document = await replay(store_of(request), id)
    services = rest_state(request).services
    if services.on_delivery is not None:
        services.on_delivery()
    return JSONResponse(_shown(document), 202)


def _shown(document: Document) -> Document:
    return {name: value for name, value in document.items() if name not in _HIDDEN}
