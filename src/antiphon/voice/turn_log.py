"""What was said and done in a session, in order.

Append-only. A user's turn stands at its commit, an assistant message from the moment the listener may hear it: its
content is what was generated until it is sealed with what was heard. A tool call and its result are one entry, so
that no model ever sees a call without its result.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..models.chat_context import ChatContext, ChatMessage, ToolCall

# Marks in `ChatMessage.extra`, for models that keep the conversation themselves.
HEARD_BY_MODEL = "heard_by_model"  # the user said it into the model's ear
SAID = "said"  # the application's words, not the model's


class TurnLog:
    """The session's conversation."""

    def __init__(self, initial: Iterable[ChatMessage] = ()) -> None:
        self._context = ChatContext(initial)
        self._open: set[str] = set()

    @property
    def context(self) -> ChatContext:
        """The conversation so far, without instructions; treat it as read-only."""
        return self._context

    def snapshot(self) -> ChatContext:
        """A copy for a model to read; later entries do not show in it."""
        return self._context.copy()

    def add_user(self, text: str) -> ChatMessage:
        return self._context.add_message(role="user", content=text)

    def open_assistant(self) -> ChatMessage:
        """Begin an assistant message at this place."""
        message = self._context.add_message(role="assistant", content="")
        self._open.add(message.id)
        return message

    def is_open(self, message: ChatMessage) -> bool:
        return message.id in self._open

    def seal(self, message: ChatMessage, heard: str, *, interrupted: bool) -> bool:
        """End an assistant message with what was heard of it.

        Returns:
            False when nothing was heard: then there is no message.
        """
        self._open.discard(message.id)
        heard = heard.strip()
        if not heard:
            self._context.items[:] = [item for item in self._context.items if item is not message]
            return False
        message.content = heard
        message.interrupted = interrupted
        return True

    def add_tool_result(
        self, call: ToolCall, output: str, *, is_error: bool
    ) -> tuple[ChatMessage, ChatMessage]:
        """Log a call with its result."""
        asked = ChatMessage(role="assistant", tool_calls=[call])
        answered = ChatMessage(
            role="tool", content=output, tool_call_id=call.id, extra={"name": call.name, "is_error": is_error}
        )
        self._context.extend((asked, answered))
        return asked, answered
