"""The page at `/` and its files under `/static/`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..problems import Problem
from .state import server_state

router = APIRouter()


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def index(request: Request) -> Response:
    """The page."""
    return _file("index.html", request)


@router.api_route("/static/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def static(request: Request, path: str) -> Response:
    """One file of the page."""
    return _file(path, request)


@router.api_route("/favicon.ico", methods=["GET", "HEAD"], include_in_schema=False)
async def favicon(request: Request) -> Response:
    """For browsers that ask before they read the page."""
    return _file("icon.svg", request)


def _file(path: str, request: Request) -> Response:
    response = server_state(request).static.response(path, request)
    if response is None:
        raise Problem(404, "not_found", f"There is nothing at {request.url.path}.")
    return response
