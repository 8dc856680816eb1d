"""Tools without Python: one that asks a web service, and one that always gives the same answer."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from .chat_context import new_id
from .errors import ToolError
from .outbound_http import (
    OutboundError,
    OutboundPolicy,
    OutboundResponse,
    TargetRefused,
    signing_key,
)
from .tool_types import JsonSchema
from .tools import FunctionTool
from .webhook_message import post_message

logger = logging.getLogger(__name__)

NO_PARAMETERS: JsonSchema = {"type": "object", "properties": {}}
_RETRIED = frozenset({408, 425, 429})
_SLACK = 1.0  # seconds beyond the attempts themselves before the tool as a whole is given up


def webhook_tool(
    name: str,
    description: str,
    parameters: JsonSchema | None = None,
    *,
    url: str,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10.0,
    secret: str | None = None,
    idempotent: bool = False,
    context_provider: Callable[[], Mapping[str, Any]] | None = None,
    policy: OutboundPolicy | None = None,
) -> FunctionTool:
    """Offer a web service to the model.

    It is sent `{"tool": name, "arguments": {...}, "call": {...}}` as JSON by POST. Its JSON or text becomes the tool's
    result; when it fails, the model learns so in words that give nothing of the service away, and the log says why.

    Args:
        name: what the model calls it.
        description: what it does and when to use it, for the model.
        parameters: JSON Schema of an object; none: it takes no arguments.
        url: the service; see `outbound_http` for where it may be.
        headers: sent with each request, as an authorisation; those of the convention cannot be replaced.
        timeout: seconds for one attempt.
        secret: signs requests by the Standard Webhooks convention; None: they are not signed.
        idempotent: the service may be asked twice: a failed attempt is repeated once, with the same `webhook-id`.
        context_provider: gives `call`, what the service may know of the conversation.
        policy: where requests may go and how long answers may be.

    Raises:
        ConfigurationError: the secret cannot be one.
        ToolDefinitionError: the name or the schema does not do.
    """
    if secret is not None:
        signing_key(secret)  # a bad one is told now, not in a call
    attempts = 2 if idempotent else 1

    async def ask(arguments: dict[str, Any], _context: Any) -> Any:
        call = dict(context_provider()) if context_provider is not None else {}
        message = {"tool": name, "arguments": arguments, "call": call}
        body = json.dumps(message, ensure_ascii=False, default=str).encode()
        send = functools.partial(
            post_message,
            url,
            body,
            message_id=new_id("msg"),
            headers=headers,
            secret=secret,
            timeout=timeout,
            policy=policy,
        )
        return await _ask(name, send, attempts)

    return FunctionTool.from_schema(
        name, description, parameters or NO_PARAMETERS, ask, timeout=attempts * timeout + _SLACK
    )


def static_tool(
    name: str, description: str, value: Any, parameters: JsonSchema | None = None
) -> FunctionTool:
    """Offer a fixed answer to the model, such as opening hours: a text, or anything that JSON can say.

    Raises:
        ToolDefinitionError: the name or the schema does not do.
    """

    async def answer(_arguments: dict[str, Any], _context: Any) -> Any:
        return value

    return FunctionTool.from_schema(name, description, parameters or NO_PARAMETERS, answer)


async def _ask(name: str, send: Callable[[], Awaitable[OutboundResponse]], attempts: int) -> Any:
    """What the service answers, in up to so many attempts; raises ToolError when it does not."""
    for attempt in range(1, attempts + 1):
        try:
            response = await send()
        except OutboundError as error:
            logger.warning("tool %s, attempt %d of %d: %s", name, attempt, attempts, error)
            if error.retryable and attempt < attempts:
                continue
            raise ToolError(_explain(name, error)) from error
        if response.ok:
            return _result(name, response)
        logger.warning("tool %s, attempt %d of %d: status %d", name, attempt, attempts, response.status)
        if not (response.status in _RETRIED or response.status >= 500):
            break
    raise ToolError(f"{name} did not work: the service refused the request. Tell the user.")


def _explain(name: str, error: OutboundError) -> str:
    if isinstance(error, TargetRefused):
        return f"{name} is not set up correctly and cannot be used. Tell the user."
    return f"{name} did not work: the service gave no usable answer. Tell the user."


def _result(name: str, response: OutboundResponse) -> Any:
    if not response.body.strip():
        return None
    text = response.body.decode("utf-8", errors="replace")
    if "json" not in response.headers.get("content-type", ""):
        return text
    try:
        return json.loads(text)
    except ValueError:
        logger.warning("tool %s: the answer says it is JSON and is not", name)
        return text
