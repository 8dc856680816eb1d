"""The OpenAPI document: each route says what it takes, gives and refuses, with examples; the schemas are those of the documents."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Path, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import JSONResponse, Response

from ..auth import check_scope
from .schemas import ProblemDetails
from .services import rest_state

JSON = "application/json"
PROBLEM = "application/problem+json"
SECURITY_SCHEME = "api_key"
_SCHEMAS = "#/components/schemas/"

Id = Annotated[str, Path(description="The id of the document.", max_length=200)]
_ID_BEGINS_WITH = {
    "assistants": "asst",
    "tools": "tool",
    "trunks": "trunk",
    "inbound": "in",
    "inbound_context_strategy": "strategy",
    "calls": "call",
    "keys": "key",
    "webhook_deliveries": "delivery",
}

TAGS = {
    "assistants": "Who answers calls: prompt, models, voice, manners.",
    "tools": "What assistants can do beside talking: web services, fixed answers, functions of the installation.",
    "trunks": "How calls reach the telephone network.",
    "inbound": "Which assistant answers which number.",
    "inbound_context_strategy": "What is asked about a caller while the call rings.",
    "calls": "Calls: place, watch, steer, read.",
    "keys": "API keys.",
    "webhook_deliveries": "Webhooks on their way, and those that did not arrive.",
    "browser": "Calls from browsers.",
    "operation": "For those who run the server.",
}

_WHY = {
    400: "The body is no JSON object.",
    401: "No API key, or one that is not valid.",
    403: "The key lacks the scope.",
    404: "There is no such document.",
    409: "It cannot be done as things stand.",
    412: "The document is at another version than `If-Match` says.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    416: "The range is beyond the end.",
    422: "Fields that do not do, by name.",
    429: "Too many; `Retry-After` says when to come again.",
    503: "The store does not answer.",
}
_CODES = {
    400: "invalid_json",
    401: "invalid_key",
    403: "scope_missing",
    404: "not_found",
    409: "conflict",
    412: "version_mismatch",
    413: "too_large",
    415: "not_json",
    416: "range_not_satisfiable",
    422: "invalid_document",
    429: "too_many_failures",
    503: "store_unavailable",
}
_models: dict[str, type[BaseModel]] = {"ProblemDetails": ProblemDetails}
_partial: set[str] = set()
_operations: dict[str, tuple[tuple[Answer, ...], Body | None]] = {}


@dataclass(frozen=True)
class Body:
    """What a route takes.

    Attributes:
        examples: by name, at least one.
        partial: a change of the document: nothing is required.
        optional: it may be left out.
    """

    model: type[BaseModel]
    examples: Mapping[str, Any]
    partial: bool = False
    optional: bool = False


@dataclass(frozen=True)
class Answer:
    """What a route gives when all is well.

    Attributes:
        model: of the JSON; None: there is no body, or `media` says what it is.
        example: of it.
        headers: that are sent along, with what they mean.
        media: the type of a body that is not JSON.
    """

    status: int = 200
    model: type[BaseModel] | None = None
    example: Any = None
    headers: Mapping[str, str] | None = None
    media: str | None = None
    description: str = ""


def needs(scope: str, *, remembered: bool = False) -> Any:
    """A dependency that refuses requests without a key that has `scope`; `remembered` as for `Authenticator.authenticate`."""

    async def authenticated(request: Request) -> None:
        principal = await rest_state(request).authenticator.authenticate(request, remembered=remembered)
        check_scope(principal, scope)
        request.state.principal = principal

    return Depends(authenticated)


def operation(
    tag: str,
    operation_id: str,
    summary: str,
    *,
    scope: str | None,
    answer: Answer,
    body: Body | None = None,
    problems: Sequence[int] = (),
    headers: Mapping[str, tuple[str, Any]] | None = None,
    query: Mapping[str, tuple[str, Any]] | None = None,
    more_answers: Sequence[Answer] = (),
    remembered_key: bool = False,
) -> dict[str, Any]:
    """The arguments of a route decorator.

    Args:
        scope: that the key needs; None: everybody may.
        answer: the usual one.
        body: what the route takes.
        problems: statuses it may refuse with, beside those of every route that needs a key or has a body.
        headers: it looks at by hand: description and example, by name.
        query: the same for the query.
        more_answers: other good answers.
        remembered_key: a key that was right before will do when the store does not answer.
    """
    statuses = {*problems}
    if scope is not None:
        statuses |= {401, 403, 429, 503}
    if body is not None:
        statuses |= {400, 413, 415, 422}
    responses: dict[int | str, Any] = {one.status: _answer(one) for one in (answer, *more_answers)}
    responses |= {status: _problem(status) for status in sorted(statuses)}
    extra: dict[str, Any] = {}
    if body is not None:
        extra["requestBody"] = _body(body)
    extra["parameters"] = [*_parameters("header", headers or {}), *_parameters("query", query or {})]
    if scope is not None:
        extra |= {"security": [{SECURITY_SCHEME: []}], "x-required-scope": scope}
    plain = answer.model is None
    _operations[operation_id] = ((answer, *more_answers), body)
    return {
        "tags": [tag],
        "operation_id": operation_id,
        "summary": summary,
        "status_code": answer.status,
        "response_model": None,
        "response_class": Response if plain else JSONResponse,
        "responses": responses,
        "openapi_extra": extra,
        "dependencies": [] if scope is None else [needs(scope, remembered=remembered_key)],
    }


def _parameters(place: str, described: Mapping[str, tuple[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": place,
            "required": False,
            "description": description,
            "schema": {"type": "string"},
            "example": example,
        }
        for name, (description, example) in described.items()
    ]


def describe(
    document: dict[str, Any],
    place: tuple[str, str],
    *,
    tag: str,
    operation_id: str,
    summary: str,
    answer: Answer,
    body: Body | None = None,
    problems: Sequence[int] = (),
    query: Mapping[str, tuple[str, Any]] | None = None,
    security: str | None = None,
) -> None:
    """Say of a route of another module what `operation` says of those here, if the document has it.

    Args:
        place: path and method.
        query: descriptions and examples of its parameters.
        security: the scheme that it needs.
    """
    path, method = place
    shown = document["paths"].get(path, {}).get(method)
    if shown is None:
        return
    shown |= {"tags": [tag], "operationId": operation_id, "summary": summary}
    shown["responses"] = {
        str(answer.status): _answer(answer),
        **{str(status): _problem(status) for status in problems},
    }
    if body is not None:
        shown["requestBody"] = _body(body)
    for parameter in shown.get("parameters", ()):
        parameter["description"], parameter["example"] = (query or {})[parameter["name"]]
    if security is not None:
        shown["security"] = [{security: []}]


def install(app: FastAPI, public_url: str, more: Sequence[Callable[[dict[str, Any]], None]] = ()) -> None:
    """Have `app.openapi()` give the whole document; `more` as for `build`."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = build(app, public_url, more)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def build(
    app: FastAPI, public_url: str, more: Sequence[Callable[[dict[str, Any]], None]] = ()
) -> dict[str, Any]:
    """The document; `more` describe routes of other modules in it."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.0",
        description="The REST interface of Antiphon. Errors are problem details (RFC 9457).",
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        servers=[{"url": public_url.rstrip("/")}] if public_url else None,
    )
    for add in more:
        add(document)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    _, definitions = models_json_schema(
        [(model, "validation") for model in _models.values()], ref_template=_SCHEMAS + "{model}"
    )
    schemas.update(definitions["$defs"])
    for name in sorted(_partial):
        _add_partial(schemas, name)
    _restore_examples(document)
    components["securitySchemes"] = {
        SECURITY_SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "ak_…",
            "description": "An API key, as `antiphon keys create` or `POST /keys` makes it. "
            "`x-required-scope` of a route is the scope that it needs.",
        },
        "call_token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The token of `GET /api/get_token`.",
        },
    }
    return document


def _reference(model: type[BaseModel], *, partial: bool = False) -> dict[str, str]:
    name = model.__name__
    assert _models.setdefault(name, model) is model, f"two schemas are called {name}"
    if partial:
        _partial.add(name)
        name += "Patch"
    return {"$ref": _SCHEMAS + name}


def _body(body: Body) -> dict[str, Any]:
    return {
        "required": not body.optional,
        "content": {
            JSON: {
                "schema": _reference(body.model, partial=body.partial),
                "examples": {name: {"value": value} for name, value in body.examples.items()},
            }
        },
    }


def _answer(answer: Answer) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": answer.description or HTTPStatus(answer.status).phrase}
    if answer.model is not None:
        shown["content"] = {JSON: {"schema": _reference(answer.model), "example": answer.example}}
    elif answer.media is not None:
        schema = {"type": "string"} if answer.media.startswith("text/") else {}
        shown["content"] = {answer.media: {"schema": schema, "example": answer.example}}
    if answer.headers:
        shown["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()
        }
    return shown


def _problem(status: int) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": _CODES[status],
        "detail": _WHY[status],
        "instance": "/path",
    }
    if status == 422:
        example["errors"] = [{"field": "name", "message": "this field is required"}]
    return {
        "description": _WHY[status],
        "content": {PROBLEM: {"schema": {"$ref": _SCHEMAS + "ProblemDetails"}, "example": example}},
    }


def _restore_examples(document: dict[str, Any]) -> None:
    """Put the examples in once more: the framework has dropped the nulls in them. And an id of its own into each path."""
    for path, item in document["paths"].items():
        for shown in item.values():
            if not isinstance(shown, dict) or shown.get("operationId") not in _operations:
                continue
            for parameter in shown.get("parameters", ()):
                if parameter["name"] == "id":
                    parameter["example"] = f"{_ID_BEGINS_WITH[path.split('/')[1]]}_0199e5a1c4b7"
            answers, body = _operations[shown["operationId"]]
            for answer in answers:
                if answer.model is not None:
                    shown["responses"][str(answer.status)]["content"][JSON]["example"] = answer.example
            if body is not None:
                shown["requestBody"]["content"][JSON]["examples"] = _body(body)["content"][JSON]["examples"]


def _add_partial(schemas: dict[str, Any], name: str) -> None:
    """Add `<name>Patch`: the schema of a partial update, of this and of the documents inside."""
    patch = f"{name}Patch"
    if patch in schemas:
        return
    schema = copy.deepcopy(schemas[name])
    schema.pop("required", None)
    schema["title"] = patch
    schemas[patch] = schema
    _point_to_partials(schemas, schema)


def _point_to_partials(schemas: dict[str, Any], node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _point_to_partials(schemas, item)
    elif isinstance(node, dict):
        reference = node.get("$ref")
        node.pop("default", None)
        if isinstance(reference, str):
            name = reference.removeprefix(_SCHEMAS)
            if schemas[name].get("type") == "object":
                node["$ref"] = f"{_SCHEMAS}{name}Patch"
                _add_partial(schemas, name)
        for value in node.values():
            _point_to_partials(schemas, value)
