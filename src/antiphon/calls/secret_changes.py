"""What a partial update must not do to secrets that its author does not give: lose them, or have them sent elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ..store import SecretError
from .document import DocumentRefused, FieldProblem

Fields = Mapping[str, Any]

# Options of a model by which it is reached at another server.
ELSEWHERE = re.compile(r"(^|_)(url|uri|endpoint|host|proxy)$", re.IGNORECASE)

_MODELS = ("stt", "llm", "tts", "realtime")
_WEB_SERVICES = ("", "webhook.", "end_call_webhook.")


def keep_unreadable(paths: Sequence[str], current: Fields, fields: Fields, patch: Fields) -> None:
    """A secret that cannot be read stays where it is, until something else is given.

    Args:
        paths: of the secrets that cannot be read; they are missing in the others.
        current: the document as it is.
        fields: as it is to be.
        patch: what was given.

    Raises:
        SecretError: the secret would be lost.
    """
    for path in paths:
        field = path.partition(".")[0]
        if fields.get(field) != current.get(field) and not _given(patch, path):
            nothing = "{}" if path.endswith("headers") else "null"
            raise SecretError(
                f"{path} cannot be read with the keys at hand, so {field} cannot be changed around it: give {path} anew "
                f"({nothing} for none), or bring the key back"
            )


def keep_secrets_at_home(current: Fields, fields: Fields, patch: Fields) -> None:
    """Headers and keys were meant for one host: who may not read them must not have them sent to another.

    Raises:
        DocumentRefused: they would be.
    """
    if problems := [
        *_headers_sent_elsewhere(current, fields, patch),
        *_keys_sent_elsewhere(current, fields, patch),
    ]:
        raise DocumentRefused(problems)


def _headers_sent_elsewhere(current: Fields, fields: Fields, patch: Fields) -> Iterator[FieldProblem]:
    for at in _WEB_SERVICES:
        before, after = urlsplit(_at(current, f"{at}url") or ""), urlsplit(_at(fields, f"{at}url") or "")
        if before.hostname == after.hostname and (before.scheme, after.scheme) != ("https", "http"):
            continue
        given = _at(patch, f"{at}headers")
        known = _at(current, f"{at}headers") or {}
        kept = set(known) & set(_at(fields, f"{at}headers") or {}) - set(
            given if isinstance(given, Mapping) else {}
        )
        if kept:
            yield FieldProblem(
                f"{at}headers",
                f"the url leads to another host now, or is not encrypted any more: give {', '.join(sorted(kept))} anew, "
                "or null",
            )


def _keys_sent_elsewhere(current: Fields, fields: Fields, patch: Fields) -> Iterator[FieldProblem]:
    for kind in _MODELS:
        before, after = _places(current, kind), _places(fields, kind)
        if (
            after
            and before != after
            and _at(fields, f"{kind}.api_key")
            and not _given(patch, f"{kind}.api_key")
        ):
            yield FieldProblem(
                f"{kind}.api_key", f"{kind} is reached at another place now: give the key anew"
            )


def _places(fields: Fields, kind: str) -> dict[str, Any]:
    options = _at(fields, f"{kind}.options") or {}
    return {name: value for name, value in options.items() if ELSEWHERE.search(name)}


def _at(fields: Fields, path: str) -> Any:
    """The value at a path; None if there is none."""
    value: Any = fields
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _given(patch: Fields, path: str) -> bool:
    """Whether a patch says what the value at a path is from now on."""
    value: Any = patch
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return True  # it replaces what the path leads through
        if name not in value:
            return False
        value = value[name]
    return True
