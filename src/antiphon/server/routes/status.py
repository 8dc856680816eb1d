"""`GET /healthz` for those who watch the server, `GET /api/config` for the page."""

from __future__ import annotations

import time
from functools import cache
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request

from .state import server_state

router = APIRouter()


@cache
def _version() -> str:
    return version("antiphon")


@router.get("/healthz")
async def healthz(request: Request) -> dict[str, Any]:
    """Whether the server is up, and how busy."""
    state = server_state(request)
    return {
        "status": "ok",
        "version": _version(),
        "uptime_seconds": round(time.monotonic() - state.started_at, 3),
        "rooms": len(state.rooms.rooms),
        "calls": state.calls.count,
    }


@router.get("/api/config")
async def config(request: Request) -> dict[str, Any]:
    """What the page needs before it calls: the agents, and STUN and TURN servers."""
    state = server_state(request)
    return {
        "version": _version(),
        "ice_servers": [server.as_browser_config() for server in state.settings.ice_servers],
        "agents": [
            {
                "name": info.name,
                "title": info.title or info.name,
                "description": info.description,
                "examples": list(info.examples),
            }
            for info in await state.dispatcher.agents()
        ],
    }
