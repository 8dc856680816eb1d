"""The conversation as a model sees it: messages, tool calls and their results."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, overload

Role = Literal["system", "user", "assistant", "tool"]


def new_id(prefix: str) -> str:
    """A short unique identifier, as in `"msg_3f9a0c1d2e4b"`."""
    return f"{prefix}_{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True)
class ToolCall:
    """A model's request to run a tool; `arguments` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str = "{}"


@dataclass
class ChatMessage:
    """One entry of a conversation.

    Attributes:
        role: who speaks; `"tool"` carries the result of the call `tool_call_id`.
        content: the text. For an assistant message that was interrupted: what was heard.
        tool_calls: calls the assistant asks for with this message.
        tool_call_id: the call that a `"tool"` message answers.
        interrupted: the listener spoke over it; `content` ends where they stopped listening.
        created_at: seconds since the epoch.
    """

    role: Role
    content: str = ""
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    interrupted: bool = False
    id: str = field(default_factory=lambda: new_id("msg"))
    created_at: float = field(default_factory=time.time)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def text_content(self) -> str:
        return self.content


class ChatContext:
    """An ordered conversation.

    Iterable and indexable like a list of `ChatMessage`; `LLM.chat` takes it or a plain list.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[ChatMessage] = ()) -> None:
        self._items: list[ChatMessage] = list(items)

    @classmethod
    def empty(cls) -> ChatContext:
        return cls()

    @property
    def items(self) -> list[ChatMessage]:
        return self._items

    @property
    def messages(self) -> list[ChatMessage]:
        return self._items

    def add_message(
        self, *, role: Role, content: str, interrupted: bool = False, **fields: Any
    ) -> ChatMessage:
        """Append a message and return it."""
        message = ChatMessage(role=role, content=content, interrupted=interrupted, **fields)
        self._items.append(message)
        return message

    def append(self, message: ChatMessage) -> None:
        self._items.append(message)

    def extend(self, messages: Iterable[ChatMessage]) -> None:
        self._items.extend(messages)

    def copy(self, *, exclude_system: bool = False) -> ChatContext:
        """A new context over the same messages."""
        return ChatContext(m for m in self._items if not (exclude_system and m.role == "system"))

    def truncate(self, max_items: int) -> ChatContext:
        """Keep the system messages and the last `max_items` others, never a tool result without its call."""
        system = [m for m in self._items if m.role == "system"]
        rest = [m for m in self._items if m.role != "system"][-max_items:] if max_items else []
        while rest and rest[0].role == "tool":
            rest.pop(0)
        self._items = system + rest
        return self

    def is_equivalent(self, other: ChatContext) -> bool:
        """Whether a model would see the same conversation in both."""
        return [_visible(m) for m in self._items] == [_visible(m) for m in other._items]

    def __iter__(self) -> Iterator[ChatMessage]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> ChatMessage: ...
    @overload
    def __getitem__(self, index: slice) -> list[ChatMessage]: ...
    def __getitem__(self, index: int | slice) -> ChatMessage | list[ChatMessage]:
        return self._items[index]

    def __repr__(self) -> str:
        return f"ChatContext({len(self._items)} messages)"


def _visible(message: ChatMessage) -> tuple[object, ...]:
    calls = tuple((c.name, c.arguments) for c in message.tool_calls or ())
    return (message.role, message.content, calls, message.interrupted)
