"""`/assistants`: who answers calls, and what they would be told."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import JSONResponse, Response

from ...calls.assistant import Assistant
from ...calls.assistants import ASSISTANTS, preview_assistant
from ...calls.document import parse
from .openapi import Answer, Body, Id, operation
from .requests import read_object
from .resource_routes import ResourceRoutes
from .schemas import PreviewRequest, PreviewResult, StoredAssistant
from .services import store_of

_NEW = {
    "name": "Bank",
    "prompt": "You are the telephone assistant of Example Bank. The caller is {{context.name}}.",
    "stt": {"provider": "local", "model": "moonshine-tiny"},
    "llm": {"provider": "local", "model": "scripted:bank"},
    "tts": {"provider": "local", "model": "espeak", "voice": "en-gb"},
    "assistant_start_instruction": "Greet {{context.name}} and ask how you can help.",
}
_STORED = {
    **Assistant.model_validate(_NEW).model_dump(mode="json"),
    "id": "asst_0199e5a1c4b7",
    "version": 1,
    "created_at": 1760000000.0,
    "updated_at": 1760000000.0,
}

_routes = ResourceRoutes(
    ASSISTANTS,
    StoredAssistant,
    "/assistants",
    "assistants",
    {"name": ("Those with exactly this name.", "Bank")},
    {"bank": _NEW},
    {
        "prompt": {"prompt": "You are the telephone assistant of Example Bank."},
        "manners": {"interaction": {"silence": {"interval_seconds": 15}}, "public": True},
    },
    _STORED,
)
router = _routes.router()


@router.post(
    "/assistants/{id}/preview",
    **operation(
        "assistants",
        "preview_assistant",
        "Render prompt and start instruction for given variables",
        scope="assistants:read",
        body=Body(PreviewRequest, {"a caller": {"variables": {"context": {"name": "Ann"}}}}, optional=True),
        answer=Answer(
            200,
            PreviewResult,
            {
                "prompt": "You are the telephone assistant of Example Bank. The caller is Ann.",
                "start_instruction": "Greet Ann and ask how you can help.",
                "missing": [],
            },
        ),
        problems=(404,),
    ),
)
async def preview(request: Request, id: Id) -> Response:
    wanted = parse(PreviewRequest, await read_object(request, optional=True))
    found = await preview_assistant(store_of(request), id, wanted.variables)
    return JSONResponse(
        {
            "prompt": found.prompt,
            "start_instruction": found.start_instruction,
            "missing": list(found.missing),
        }
    )
