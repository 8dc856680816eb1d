"""What the store and the documents refuse, as problem details."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import Response

from ...calls.call_requests import CallOver, NotInProgress, TooManyRequests
from ...calls.document import DocumentRefused, FieldProblem
from ...calls.outbound_queue import IdempotencyKeyReused
from ...calls.recording import RecordingNotFound, RecordingNotReady, RecordingUnavailable
from ...calls.resource import InUse
from ...store import (
    AlreadyExists,
    Conflict,
    InvalidCursor,
    InvalidDocument,
    NotFound,
    SecretError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from ..api_keys import KeyRefused, ScopeExceeded
from ..problems import Problem

logger = logging.getLogger(__name__)

_NOUNS = {
    "assistants": "assistant",
    "tools": "tool",
    "trunks": "trunk",
    "inbound_sip": "number mapping",
    "inbound_context_strategies": "inbound context strategy",
    "calls": "call",
    "webhook_deliveries": "webhook delivery",
    "api_keys": "key",
    "recordings": "recording",
}


def sentence(error: BaseException | str) -> str:
    """A message of ours as a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def refused(problems: list[FieldProblem]) -> Problem:
    """422 that names the fields."""
    return Problem(
        422,
        "invalid_document",
        "; ".join(f"{one.field}: {one.message}" if one.field else one.message for one in problems),
        errors=[{"field": one.field, "message": one.message} for one in problems],
    )


def _not_found(error: Any) -> Problem:
    noun = _NOUNS.get(error.collection, "document")
    return Problem(404, "not_found", f"There is no {noun} {error.id[:100]!r}.")


def _already_exists(error: Any) -> Problem:
    return Problem(
        409,
        "already_exists",
        f"Another {_NOUNS.get(error.collection, 'document')} has the same {error.field}.",
        errors=[{"field": error.field, "message": "another one has the same"}],
    )


def _in_use(error: Any) -> Problem:
    uses = [{"kind": use.kind, "id": use.id, "name": use.name} for use in error.uses]
    return Problem(409, "in_use", sentence(error), used_by=uses)


def _unavailable(error: Any) -> Problem:
    logger.error("the store does not answer: %s", error)
    headers = {"Retry-After": "2"}
    return Problem(503, "store_unavailable", "The store does not answer now; try again.", headers=headers)


def _recording_unavailable(error: Any) -> Problem:
    logger.error("a recording cannot be read: %s", error)
    detail = "The recording is not within reach now; try again, or ask the operator."
    return Problem(503, "recording_unavailable", detail, headers={"Retry-After": "10"})


def _full(error: Any) -> Problem:
    logger.error("the store is full: %s", error)
    return Problem(507, "store_full", "There is no room left to store this; the operator has to make some.")


def _failed(error: Any) -> Problem:
    logger.error("the store failed: %s", error)
    return Problem(
        500, "store_failed", "The store failed at this; the operator finds why in the server's log."
    )


_PROBLEMS: dict[type[Exception], Callable[[Any], Problem]] = {
    NotFound: _not_found,
    AlreadyExists: _already_exists,
    Conflict: lambda error: Problem(409, "conflict", sentence(error)),
    InvalidDocument: lambda error: refused([FieldProblem(error.field, str(error))]),
    InvalidCursor: lambda error: refused([FieldProblem("cursor", str(error))]),
    SecretError: lambda error: Problem(409, "secret_key", sentence(error)),
    StoreUnavailable: _unavailable,
    StoreFull: _full,
    StoreError: _failed,
    DocumentRefused: lambda error: refused(error.problems),
    InUse: _in_use,
    CallOver: lambda error: Problem(409, "call_over", sentence(error), call_status=error.status),
    NotInProgress: lambda error: Problem(409, "not_in_progress", sentence(error), call_status=error.status),
    TooManyRequests: lambda error: Problem(
        429, "too_many_requests", sentence(error), headers={"Retry-After": "1"}
    ),
    IdempotencyKeyReused: lambda error: Problem(
        409, "idempotency_key_reused", sentence(error), call_id=error.call_id
    ),
    RecordingNotFound: lambda error: Problem(404, "no_recording", sentence(error)),
    RecordingNotReady: lambda error: Problem(409, "recording_in_progress", sentence(error)),
    RecordingUnavailable: _recording_unavailable,
    ScopeExceeded: lambda error: Problem(403, "scope_exceeded", sentence(error)),
    KeyRefused: lambda error: (
        refused([FieldProblem(error.field, str(error))])
        if error.field
        else Problem(409, "conflict", sentence(error))
    ),
}


def install(app: FastAPI) -> None:
    """Answer with a problem when the store or a document refuses something."""

    def handler(make: Callable[[Any], Problem]) -> Callable[[Request, Exception], Any]:
        async def answer(request: Request, error: Exception) -> Response:
            return make(error).response(request.url.path)

        return answer

    for kind, make in _PROBLEMS.items():
        app.add_exception_handler(kind, handler(make))
