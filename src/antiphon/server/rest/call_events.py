"""`GET /calls/{id}/events`: what happens to a call, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ..problems import Problem
from .event_streams import TooManyStreams
from .openapi import Answer, Id, operation
from .services import principal_of, rest_state

router = APIRouter()

_EXAMPLE = (
    "retry: 2000\n\n"
    "id: evt_0199e5a1c4b7\n"
    "event: call.answered\n"
    'data: {"event_id":"evt_0199e5a1c4b7","call_id":"call_0199e5a1c4b7","type":"call.answered",'
    '"at":1760000002.1,"data":{"status":"answered","answered_at":1760000002.1}}\n\n'
)


@router.get(
    "/calls/{id}/events",
    **operation(
        "calls",
        "follow_call",
        "Follow what happens to a call: all events so far, then those that come, until it has ended",
        scope="calls:read",
        answer=Answer(200, media="text/event-stream", example=_EXAMPLE),
        problems=(404, 422),
        headers={"Last-Event-ID": ("Go on after this event.", "evt_0199e5a1c4b7")},
    ),
)
async def events(request: Request, id: Id) -> Response:
    state = rest_state(request)
    await state.store.get("calls", id)
    try:
        release = state.events.reserve(principal_of(request).key_id)
    except TooManyStreams:
        raise Problem(
            429,
            "too_many_streams",
            "Too many event streams are open; close one.",
            headers={"Retry-After": "30"},
        ) from None
    stream = state.events.follow(
        state.store,
        id,
        request.headers.get("last-event-id"),
        partial(state.authenticator.still_valid, principal_of(request)),
    )
    # Proxies such as nginx hold back what is not whole unless they are told.
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return _Stream(stream, release, headers)


class _Stream(StreamingResponse):
    """Gives its place back when it is over, also when the client is gone before the first word."""

    def __init__(
        self, content: AsyncIterator[str], release: Callable[[], None], headers: dict[str, str]
    ) -> None:
        super().__init__(content, headers=headers)
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()
