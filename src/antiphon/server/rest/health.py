"""`/readyz` for load balancers, `/metrics` for Prometheus."""

from __future__ import annotations

import asyncio
import logging

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from ...store import StoreError
from ..problems import Problem
from .openapi import Answer, operation
from .schemas import Readiness
from .services import rest_state

logger = logging.getLogger(__name__)

router = APIRouter()

_STORE_ANSWERS_WITHIN = 3.0  # seconds


@router.get(
    "/readyz",
    **operation(
        "operation",
        "readyz",
        "Whether calls can be taken: the store answers and the models are loaded",
        scope=None,
        answer=Answer(200, Readiness, {"status": "ready", "missing": []}),
        more_answers=[
            Answer(503, Readiness, {"status": "not_ready", "missing": ["the store does not answer"]})
        ],
    ),
)
async def readyz(request: Request) -> Response:
    services = rest_state(request).services
    missing = list(services.ready())
    try:
        async with asyncio.timeout(_STORE_ANSWERS_WITHIN):
            await services.store.ping()
    except (StoreError, TimeoutError) as error:
        logger.warning("not ready: the store does not answer: %s", error)
        missing.append("the store does not answer")
    status = "not_ready" if missing else "ready"
    return JSONResponse({"status": status, "missing": missing}, 503 if missing else 200)


@router.get(
    "/metrics",
    **operation(
        "operation",
        "metrics",
        "Metrics in the text format of Prometheus",
        scope="metrics:read",
        answer=Answer(200, media="text/plain", example='antiphon_calls_active{direction="inbound"} 3\n'),
        problems=(404,),
        remembered_key=True,
    ),
)
async def metrics(request: Request) -> Response:
    source = rest_state(request).services.metrics
    if source is None:
        raise Problem(404, "not_found", "This server keeps no metrics.")
    body, content_type = await source(request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": content_type})
