"""A small application for whoever watches a process: `/healthz`, `/readyz` and `/metrics`, whatever roles it has."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from .. import problems
from ..auth import Authenticator
from ..head_requests import HeadRequests
from ..rest import RestServices, errors, health
from ..rest.services import RestState
from ..security_headers import SecurityHeaders


def create_health_app(services: RestServices, calls: Callable[[], int]) -> FastAPI:
    """Build it.

    Args:
        services: the store, what is not ready, and the metrics.
        calls: how many there are in this process.
    """
    app = FastAPI(title="Antiphon", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.rest = RestState(services, Authenticator(services.store))
    problems.install(app)
    errors.install(app)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(HeadRequests)
    began = time.monotonic()

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {
            "status": "ok",
            "version": version("antiphon"),
            "uptime_seconds": round(time.monotonic() - began, 3),
            "calls": calls(),
        }

    app.include_router(health.router)
    return app
