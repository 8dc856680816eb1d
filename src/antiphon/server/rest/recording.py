"""`GET /calls/{id}/recording`: the recording of a call, whole or in part."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from email.utils import formatdate

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from ...calls.recording import RecordingUnavailable, StoredRecording
from ..problems import Problem
from .openapi import Answer, Id, needs, operation
from .services import rest_state

logger = logging.getLogger(__name__)

router = APIRouter()

_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))")
_HEADERS = {
    "ETag": "It names the file, which never changes.",
    "Accept-Ranges": "`bytes`.",
    "Content-Disposition": "A name to save it under.",
}
_SOUND = "audio/ogg"


@router.get(
    "/calls/{id}/recording",
    **operation(
        "calls",
        "read_recording",
        "Read the recording: Ogg with Opus, the caller on the left, the agent on the right",
        scope="calls:read",
        answer=Answer(200, media=_SOUND, example="OggS…", headers=_HEADERS),
        more_answers=[
            Answer(206, media=_SOUND, example="OggS…", headers={**_HEADERS, "Content-Range": "Which part."})
        ],
        problems=(404, 409, 416, 422),
        headers={
            "Range": ("One range of bytes.", "bytes=0-1023"),
            "If-Range": ("The range only of this `ETag`; else the whole.", '"rec_0199e5a1c4b7-377000"'),
        },
    ),
)
@router.head("/calls/{id}/recording", include_in_schema=False, dependencies=[needs("calls:read")])
async def recording(request: Request, id: Id) -> Response:
    services = rest_state(request).services
    await services.store.get("calls", id)
    if services.recordings is None:
        raise Problem(404, "no_recording", "This server has no recordings.")
    found = await services.recordings.open(id)
    headers = {
        "Content-Type": found.media_type,
        "Accept-Ranges": "bytes",
        "ETag": found.etag,
        "Last-Modified": formatdate(found.modified_at, usegmt=True),
        "Content-Disposition": f'attachment; filename="{found.filename}"',
        "Cache-Control": "private, no-store",
    }
    start, end, status = 0, found.size, 200
    if (part := _part(request, found)) is not None:
        start, end = part
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_pieces(found, start, end), status, headers)


def _part(request: Request, found: StoredRecording) -> tuple[int, int] | None:
    """The range that is asked for, without its end; None: the whole.

    Source: RFC 9110 section 14.2. Several ranges, and what is no range of bytes, may be ignored; so they are.
    """
    asked = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if asked is None or request.headers.get("if-range", found.etag) != found.etag:
        return None
    first, last, suffix = asked.groups()
    if suffix is not None:
        start, end = max(0, found.size - int(suffix)), found.size
    else:
        start = int(first)
        end = min(int(last) + 1, found.size) if last else found.size
        if last and int(last) < start:
            return None
    if start >= end:
        raise Problem(
            416,
            "range_not_satisfiable",
            f"The recording has {found.size} bytes.",
            headers={"Content-Range": f"bytes */{found.size}"},
        )
    return start, end


async def _pieces(found: StoredRecording, start: int, end: int) -> AsyncIterator[bytes]:
    try:
        async for piece in found.read(start, end):
            yield piece
    except RecordingUnavailable as error:
        # The answer has begun: cutting it off is the only way to tell.
        logger.error("the recording of call %s breaks off: %s", found.call_id, error)
        raise
