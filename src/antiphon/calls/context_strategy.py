"""The inbound context strategy: whom to ask about a caller while his call rings, what is sent, and what comes back.

A strategy never fails a call. Whatever goes wrong, the call goes on with the prompt as it is without context.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..models.errors import AntiphonError
from .document import SECRET, Document, Name, SecretHeaders, SigningSecret, Url

LONGEST_RESPONSE = 64 * 1024  # bytes
_DEEPEST = 20


class ContextStrategy(Document):
    """A strategy as it is stored and as the REST interface takes it.

    Attributes:
        url: where the request goes, by POST.
        headers: sent with it, as an authorisation.
        secret: signs it by the Standard Webhooks convention; null: it is not signed.
        timeout_seconds: for the whole lookup; the caller hears it ring meanwhile.
    """

    name: Name
    url: Url
    headers: Annotated[SecretHeaders, SECRET] = Field(default_factory=dict)
    secret: Annotated[SigningSecret | None, SECRET] = None
    timeout_seconds: float = Field(default=5.0, ge=0.5, le=10)


class ContextRequest(BaseModel):
    """What is sent about a call that rings. Numbers are E.164, or as the caller's network gave them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    assistant_id: str
    room_name: str
    call_type: Literal["inbound"] = "inbound"
    service: str
    inbound_id: str
    caller_number: str
    inbound_number: str
    strategy_id: str


class ContextRefused(AntiphonError):
    """An answer that cannot be used as context; says why, and nothing of what was in it."""


def read_context(body: bytes) -> dict[str, Any]:
    """The context in an answer `{"context": {...}}`; other members are ignored.

    Args:
        body: JSON in UTF-8, at most `LONGEST_RESPONSE` bytes.

    Raises:
        ContextRefused: it is anything else.
    """
    if len(body) > LONGEST_RESPONSE:
        raise ContextRefused(f"the answer is longer than {LONGEST_RESPONSE} bytes")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise ContextRefused("the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise ContextRefused('the answer is not an object; answer {"context": {...}}')
    context = answer.get("context")
    if not isinstance(context, dict):
        raise ContextRefused('the answer has no object "context"; answer {"context": {...}}')
    if _depth(context) > _DEEPEST:
        raise ContextRefused(f"the context is nested more than {_DEEPEST} levels deep")
    return context


def _depth(value: Any) -> int:
    deepest = 0
    open_values = [(value, 1)]
    while open_values:
        item, depth = open_values.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, depth)
            inner = item.values() if isinstance(item, dict) else item
            open_values += [(one, depth + 1) for one in inner]
    return deepest
