"""What the documents of the platform have in common: strict fields, secrets, partial updates, and problems by field."""

from __future__ import annotations

import copy
import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..models.errors import AntiphonError, ConfigurationError
from ..models.outbound_http import TargetRefused, parse_url, signing_key

DocumentT = TypeVar("DocumentT", bound="Document")

MASK = "********"  # what readers see of a secret; the store shows the end of long ones behind it


class Document(BaseModel):
    """A document, or a part of one: an unknown field is refused, and so is null where a value must be."""

    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Logs and tracebacks show no secret either."""
        fields = type(self).model_fields
        for name, value in super().__repr_args__():
            secret = name in fields and value and any(marker is _SECRET for marker in fields[name].metadata)
            yield name, MASK if secret else value


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing that is wrong with a document.

    Attributes:
        field: its path, as `"interaction.silence.count"`; empty for the document as a whole.
        message: what is wrong and what to do, in a sentence.
    """

    field: str
    message: str


class DocumentRefused(AntiphonError):
    """A document cannot be saved as it is; `problems` says why, field by field."""

    def __init__(self, problems: list[FieldProblem]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


def parse(model: type[DocumentT], data: object) -> DocumentT:
    """Read a document that somebody wrote, as JSON: `"5"` is no number, and 1 is not true.

    Raises:
        DocumentRefused: with one problem for each field that does not do. No value is repeated in it.
    """
    try:
        text = json.dumps(data)
    except (TypeError, ValueError, RecursionError):
        raise DocumentRefused([FieldProblem("", "this is not JSON")]) from None
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = [
            FieldProblem(".".join(str(part) for part in found["loc"]), _words(found))
            for found in error.errors(include_url=False)
        ]
        raise DocumentRefused(problems) from None


def merge(model: type[Document], current: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a partial update, by the rules of JSON Merge Patch where they do no harm.

    Objects that are documents are merged field by field. In free objects (`options`, `headers`) null removes a key. Lists
    are replaced. Null for any other field is kept, so that `parse` refuses it where a value must be. Changing the
    `provider` of a model replaces the whole choice: model, voice, options and key belonged to the old one.

    Args:
        model: what `current` is an instance of, as JSON.
        current: the document as it is; stays as it was.
        patch: what to change.

    Returns:
        The whole new document, not yet checked.

    Source: RFC 7396 section 2.
    """
    merged = copy.deepcopy(dict(current))
    for name, value in patch.items():
        before = merged.get(name)
        inner = _document_in(model.model_fields[name].annotation) if name in model.model_fields else None
        if not isinstance(value, Mapping):
            merged[name] = copy.deepcopy(value)
        elif inner is None:
            merged[name] = _merge_free(before if isinstance(before, Mapping) else {}, value)
        elif isinstance(before, Mapping) and before.get("provider") == value.get(
            "provider", before.get("provider")
        ):
            merged[name] = merge(inner, before, value)
        else:
            merged[name] = copy.deepcopy(dict(value))
    return merged


def masked(document: Document) -> dict[str, Any]:
    """A document as JSON with masks in place of its secrets."""
    shown = document.model_dump(mode="json")
    for name, info in type(document).model_fields.items():
        value = getattr(document, name)
        if isinstance(value, Document):
            shown[name] = masked(value)
        elif value and any(marker is _SECRET for marker in info.metadata):
            shown[name] = dict.fromkeys(value, MASK) if isinstance(value, Mapping) else MASK
    return shown


def _merge_free(before: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(dict(before))
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            inner = merged.get(key)
            merged[key] = _merge_free(inner if isinstance(inner, Mapping) else {}, value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _document_in(annotation: Any) -> type[Document] | None:
    """The document type of a field, also of one that may be null."""
    if get_origin(annotation) in (Union, types.UnionType):
        found = [inner for option in get_args(annotation) if (inner := _document_in(option))]
        return found[0] if found else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, Document) else None


def _words(found: Any) -> str:
    match found["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "missing":
            return "this field is required"
        case "too_short":
            return "must not be empty"
        case _ if found["input"] is None:
            return "null is not a value here; leave the field out for its default"
        case _:
            text = str(found["msg"]).removeprefix("Value error, ")
            return text.replace("Input should", "must").replace("String should", "must")


class _SecretMarker:
    """Marks a field whose value is never shown."""


_SECRET = _SecretMarker()


def _refuse_mask(value: Any) -> Any:
    values = value.values() if isinstance(value, Mapping) else [value]
    if any(isinstance(text, str) and MASK in text for text in values):
        raise ValueError("this is the mask that reading shows; leave the field out to keep the secret")
    return value


def _check_url(text: str) -> str:
    """http or https with a host. Where it may lead is checked when it is resolved, at each request."""
    try:
        parts = urlsplit(text)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        port_is_fine = False
    if not port_is_fine or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http or https address with a host, as https://example.com/hook")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password; put an Authorization header into headers")
    if any(character.isspace() or ord(character) < 32 for character in text):
        raise ValueError("must not contain spaces or line breaks")
    try:
        parse_url(text)
    except TargetRefused as error:
        raise ValueError(f"cannot be called: {error}") from None
    return text


def _check_signing_secret(secret: str) -> str:
    try:
        signing_key(secret)
    except ConfigurationError:
        raise ValueError("begins with whsec_, so base64 must follow; any other text does too") from None
    return secret


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not name or not all(character.isalnum() or character in "!#$%&'*+-.^_`|~" for character in name):
            raise ValueError(f"{name!r} is not the name of an HTTP header")
        # RFC 9110 section 5.5, without what is not ASCII: nobody agrees on how that is read.
        plain = value == value.strip() and all(
            " " <= character <= "~" or character == "\t" for character in value
        )
        if not name.isascii() or not plain:
            raise ValueError(f"the header {name!r} has characters that HTTP does not allow")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError(
            "two names differ in capital letters only; HTTP takes them for one (null removes one)"
        )
    return headers


Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S")]
Url = Annotated[str, Field(max_length=2048), AfterValidator(_check_url)]
Secret = Annotated[str, Field(min_length=1, max_length=4096), BeforeValidator(_refuse_mask)]
SigningSecret = Annotated[Secret, AfterValidator(_check_signing_secret)]
SECRET = _SECRET
SecretHeaders = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(max_length=50),
    AfterValidator(_check_headers),
    BeforeValidator(_refuse_mask),
]


def secret_paths(model: type[Document], prefix: str = "") -> Iterator[str]:
    """The paths of the secrets in a kind of document, as the store must know them."""
    for name, info in model.model_fields.items():
        inner = _document_in(info.annotation)
        if inner is not None:
            yield from secret_paths(inner, f"{prefix}{name}.")
        elif any(marker is _SECRET for marker in info.metadata):
            yield f"{prefix}{name}"
