"""Messages, tools and errors in the words of OpenAI's realtime interface."""

from __future__ import annotations

from typing import Any

from websockets.exceptions import ConnectionClosed, InvalidStatus

from ...models.chat_context import ChatMessage, ToolCall
from ...models.errors import (
    ProviderConnectionError,
    ProviderError,
    ProviderStatusError,
)
from ...models.tools import FunctionTool

# Error codes with which trying again is of no use; https://platform.openai.com/docs/guides/error-codes
_FINAL = frozenset(
    {
        "invalid_api_key",
        "insufficient_quota",
        "model_not_found",
        "billing_hard_limit_reached",
        "unsupported_country",
    }
)
_STATUS_OF = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "model_not_found": 404,
}


def items_of(message: ChatMessage) -> list[dict[str, Any]]:
    """The conversation items of a message; a message may say something and call tools."""
    if message.role == "tool":
        return [
            {
                "type": "function_call_output",
                "call_id": message.tool_call_id or "",
                "output": message.content,
            }
        ]
    items: list[dict[str, Any]] = []
    if message.content:
        kind = "output_text" if message.role == "assistant" else "input_text"
        content = [{"type": kind, "text": message.content}]
        items.append({"type": "message", "role": message.role, "content": content})
    items += [
        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
        for call in message.tool_calls or ()
    ]
    return items


def tool_of(tool: FunctionTool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }


def tool_calls_of(response: Any) -> list[ToolCall]:
    """The calls that a finished response asks for."""
    return [
        ToolCall(item.call_id or item.id or "", item.name, item.arguments or "{}")
        for item in response.output or ()
        if item.type == "function_call"
    ]


def error_of(error: Any, label: str) -> ProviderError:
    """An error that the server reports, in an event or as the reason why a response failed."""
    code = getattr(error, "code", None) or getattr(error, "type", None) or ""
    message = f"{label}: {getattr(error, 'message', None) or code or 'the response failed'}"
    if code in _STATUS_OF:
        return ProviderStatusError(
            message, status=_STATUS_OF[code], provider=label, retryable=code not in _FINAL
        )
    return ProviderError(message, provider=label, retryable=code not in _FINAL)


def connection_error(error: BaseException, label: str) -> ProviderError:
    """Why a connection could not be made, or broke."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        hint = "; check OPENAI_API_KEY" if status in (401, 403) else ""
        return ProviderStatusError(
            f"{label} refused the connection with status {status}{hint}", status=status, provider=label
        )
    if isinstance(error, ConnectionClosed):
        closed = error.rcvd
        reason = f"{closed.code} {closed.reason}".strip() if closed is not None else "no closing handshake"
        return ProviderConnectionError(f"{label} closed the connection: {reason}", provider=label)
    return ProviderConnectionError(f"{label}: no connection: {error}", provider=label)
