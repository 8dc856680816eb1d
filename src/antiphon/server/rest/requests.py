"""What routes read from a request by hand: JSON objects of bounded size, and the version that a client expects."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from fastapi import Request

from ..problems import Problem
from ..request_body import read_body

MOST_BYTES = 1024 * 1024
IDEMPOTENCY_KEY = r"^[\x21-\x7e]{1,255}$"

_JSON = re.compile(r"application/([a-z0-9!#$&^_.-]+\+)?json", re.IGNORECASE)
_ETAG = re.compile(r'"([0-9]{1,18})"')


async def read_object(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """The JSON object in the body.

    Args:
        optional: an empty body is an empty object.

    Raises:
        Problem: 400 not a JSON object, 408 too slow, 413 too long, 415 another type of content.
    """
    body = await read_body(request, MOST_BYTES)
    if optional and not body:
        return {}
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if not _JSON.fullmatch(kind):
        raise Problem(415, "not_json", "Send JSON, with the header 'Content-Type: application/json'.")
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
        # Half a surrogate pair is JSON, but no text that could be stored or sent on.
        json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else "it is not valid text"
        raise Problem(400, "invalid_json", f"The body cannot be read as JSON: {reason}.") from None
    if not isinstance(content, dict):
        raise Problem(400, "invalid_json", "The body must be a JSON object.")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def etag(document: dict[str, Any]) -> dict[str, str]:
    """The header that says which version of a document is sent."""
    return {"ETag": f'"{document["version"]}"'}


def expected_version(request: Request) -> int | None:
    """The version in `If-Match`; None: any will do. Raises Problem 412 for what can match no version (RFC 9110 section 13.1.1)."""
    text = request.headers.get("if-match")
    if text is None or text.strip() == "*":
        return None
    found = _ETAG.fullmatch(text.strip())
    if found is None:
        raise Problem(
            412,
            "version_mismatch",
            'If-Match must be the ETag of this document, as "3", or * for any version.',
        )
    return int(found[1])
