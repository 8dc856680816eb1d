"""Messages and errors in the words of the Gemini Live API."""

from __future__ import annotations

from google.genai import errors, types
from websockets.exceptions import InvalidStatus

from ...models.chat_context import ChatMessage
from ...models.errors import ProviderConnectionError, ProviderError, ProviderStatusError

# How the server closes a connection whose setup or key it does not take; trying again is of no use.
_REFUSED = (1007, 1008)
_TEMPORARY = ("quota", "rate", "exhausted", "deadline", "session", "duration")


def turn_of(message: ChatMessage) -> types.Content | None:
    """A message as a turn of the conversation; what the API has no turn for is told as the user's text."""
    if message.role == "tool":
        return text_turn(f"[Result of {message.extra.get('name', 'a function')}: {message.content}]")
    if message.role == "system":
        return text_turn(f"[Note: {message.content}]")
    text = message.content
    for call in message.tool_calls or ():
        text = f"{text} [I called {call.name} with {call.arguments}.]".strip()
    if not text:
        return None
    role = "model" if message.role == "assistant" else "user"
    return types.Content(role=role, parts=[types.Part(text=text)])


def text_turn(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text)])


def error_of(error: BaseException, label: str) -> ProviderError:
    """Why a connection could not be made, or ended."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return ProviderStatusError(
            f"{label} refused the connection with status {status}", status=status, provider=label
        )
    if isinstance(error, errors.APIError):
        reason = str(error.message or error.status or error.details or "")
        words = f"{label} closed the connection: {error.code} {reason}".strip()
        temporary = any(word in reason.lower() for word in _TEMPORARY)
        if error.code in _REFUSED and not temporary:
            status = 401 if "api key" in reason.lower() else 400
            hint = "; check GOOGLE_API_KEY" if status == 401 else ""
            return ProviderStatusError(words + hint, status=status, provider=label)
        if "quota" in reason.lower() or "exhausted" in reason.lower():
            return ProviderStatusError(words, status=429, provider=label)
        return ProviderConnectionError(words, provider=label)
    return ProviderConnectionError(f"{label}: no connection: {error}", provider=label)
