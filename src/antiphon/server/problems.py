"""Errors as problem details (RFC 9457), for every failure including those of the framework."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match

from .head_requests import head_is_get


class Problem(Exception):
    """Ends a request with an error.

    Attributes:
        status: HTTP status.
        code: for programs, stable: `unknown_agent`.
        detail: for people: what is wrong and what to do.
        headers: to send along.
        more: further members of the problem object.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    def response(self, path: str) -> Response:
        """The problem as an HTTP response for a request to `path`."""
        content = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "instance": path,
            **self.more,
        }
        return JSONResponse(content, self.status, self.headers, media_type="application/problem+json")


_FRAMEWORK_ERRORS = {
    404: ("not_found", "There is nothing at {path}."),
    405: ("method_not_allowed", "{path} does not answer to {method}."),
}


def _methods(app: FastAPI, request: Request) -> set[str]:
    """What this path answers to. The framework names the methods of one route only, and each route has its own."""
    matching = [route for route in _flat(app.routes) if route.matches(request.scope)[0] is not Match.NONE]
    path = getattr(matching[0], "path", None) if matching else None
    methods = {
        method
        for route in matching
        if getattr(route, "path", None) == path
        for method in getattr(route, "methods", None) or ()
    }
    return methods | {"HEAD"} if "GET" in methods and head_is_get(request.url.path) else methods


def _flat(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """All routes, also those of included routers, which newer versions of the framework keep as they are."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from _flat(inner.routes)


def install(app: FastAPI) -> None:
    """Turn everything that can go wrong in a request into a problem."""

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response(request.url.path)

    async def framework(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code, text = _FRAMEWORK_ERRORS.get(error.status_code, ("error", str(error.detail)))
        detail = text.format(path=request.url.path, method=request.method)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return Problem(error.status_code, code, detail, headers=headers).response(request.url.path)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # The first part of a place is "query", "path" or "header".
        faults = [
            {"field": ".".join(str(part) for part in fault["loc"][1:]), "message": fault["msg"]}
            for fault in error.errors()
        ]
        detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
        return Problem(422, "invalid_request", detail, errors=faults).response(request.url.path)

    async def unexpected(request: Request, error: Exception) -> Response:
        # The framework raises it again after this answer, so that it is logged.
        detail = "The server failed at this request; its log says why."
        return Problem(500, "internal_error", detail).response(request.url.path)

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(HTTPException, framework)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(Exception, unexpected)
