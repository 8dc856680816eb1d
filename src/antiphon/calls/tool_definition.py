"""The tool document: a web service, a fixed answer, or a Python function that the operator installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from ..assistants.function_tools import check_function_tool
from ..models.errors import ConfigurationError
from .document import SECRET, Document, SecretHeaders, SigningSecret, Url

_TYPES = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
_DEEPEST = 10


def schema_problems(schema: Any, path: str = "", depth: int = 0) -> Iterator[str]:
    """What keeps a JSON Schema from describing arguments to a model, in sentences that name the place.

    Source: JSON Schema 2020-12, as far as language models understand it; `$ref` is not among that.
    """
    where = path or "the schema"
    if not isinstance(schema, Mapping):
        yield f"{where} must be an object"
        return
    if depth > _DEEPEST:
        yield f"{where} is nested more than {_DEEPEST} levels deep"
        return
    if "$ref" in schema:
        yield f"{where} uses $ref; write the schema out where it is used"
    kind = schema.get("type")
    kinds = kind if isinstance(kind, list) else [kind] if kind is not None else []
    for name in kinds:
        if not isinstance(name, str) or name not in _TYPES:
            yield f"{where} has the type {name!r}; types are {', '.join(sorted(_TYPES))}"
    if "enum" in schema and (not isinstance(schema["enum"], list) or not schema["enum"]):
        yield f"{where} has an enum that is not a list of values"
    yield from _object_problems(schema, path, where, depth)
    if "items" in schema:
        yield from schema_problems(schema["items"], f"{path}[]", depth + 1)
    for keyword in ("anyOf", "oneOf", "allOf"):
        options = schema.get(keyword, ())
        if keyword in schema and (not isinstance(options, list) or not options):
            yield f"{where} has {keyword} without a list of schemas"
            continue
        for index, option in enumerate(options):
            yield from schema_problems(option, f"{path}({keyword} {index})", depth + 1)


def _object_problems(schema: Mapping[str, Any], path: str, where: str, depth: int) -> Iterator[str]:
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        yield f"{where} has properties that are not an object"
        return
    for name, inner in properties.items():
        yield from schema_problems(inner, f"{path}.{name}" if path else str(name), depth + 1)
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield f"{where} has a required that is not a list of names"
        return
    for name in required:
        if name not in properties:
            yield f"{where} requires {name!r}, which is not among its properties"


def _check_parameters(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("type", "object") != "object":
        raise ValueError('must be a JSON Schema of "type": "object": arguments have names')
    if problems := list(schema_problems(schema)):
        raise ValueError("; ".join(problems))
    return {"type": "object", "properties": {}, **schema}


class WebhookExecution(Document):
    """The tool asks a web service, by POST.

    Attributes:
        secret: signs the requests by the Standard Webhooks convention; null: they are not signed.
        timeout_seconds: for one attempt.
        idempotent: the service may be asked twice, so a failed attempt is repeated once.
    """

    url: Url
    headers: Annotated[SecretHeaders, SECRET] = Field(default_factory=dict)
    secret: Annotated[SigningSecret | None, SECRET] = None
    timeout_seconds: float = Field(default=10.0, ge=0.5, le=60)
    idempotent: bool = False


class StaticExecution(Document):
    """The tool always gives the same answer: a text, or any JSON value."""

    value: Any = Field()


def _check_function(name: str) -> str:
    try:
        check_function_tool(name)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return name


class FunctionExecution(Document):
    """The tool is a Python function of this installation, as `"bank/get_balance"`; it brings its own parameters."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}/[A-Za-z0-9_-]{1,64}$"), AfterValidator(_check_function)
    ]


class ToolDefinition(Document):
    """A tool as it is stored and as the REST interface takes it: exactly one of `webhook`, `static` and `function`."""

    name: str = Field(pattern=r"^[a-z_][a-z0-9_]{0,63}$")
    description: str = Field(min_length=1, max_length=1024, pattern=r"\S")
    parameters: Annotated[dict[str, Any], AfterValidator(_check_parameters)] = Field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    webhook: WebhookExecution | None = None
    static: StaticExecution | None = None
    function: FunctionExecution | None = None

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if sum(kind is not None for kind in (self.webhook, self.static, self.function)) != 1:
            raise ValueError("give exactly one of webhook, static and function")
        if self.function is not None and self.parameters.get("properties"):
            raise ValueError("parameters belong to the function; leave them out")
        return self
