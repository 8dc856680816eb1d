"""Language models: a conversation in, text and tool calls out, token by token."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .chat_context import ChatContext, ChatMessage, ToolCall

if TYPE_CHECKING:
    from .tools import FunctionTool

ToolChoice = Literal["auto", "required", "none"]


@dataclass(frozen=True)
class LLMCapabilities:
    streaming: bool = True
    function_calling: bool = False
    vision: bool = False


@dataclass(frozen=True)
class Usage:
    """Tokens that a request cost."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class ChatChunk:
    """A piece of a streamed reply. Tool calls arrive whole, never in parts."""

    delta: str = ""
    tool_calls: list[ToolCall] | None = None
    finish_reason: str | None = None
    usage: Usage | None = None


class LLM(ABC):
    """A language model."""

    @property
    @abstractmethod
    def capabilities(self) -> LLMCapabilities: ...

    @property
    def label(self) -> str:
        """The name shown in errors and metrics, as in `"openai/gpt-4o-mini"`."""
        return f"{type(self).__module__.split('.')[-2]}/{type(self).__name__}"

    @abstractmethod
    def chat(
        self,
        chat_ctx: ChatContext | list[ChatMessage],
        tools: Sequence[FunctionTool] | None = None,
        temperature: float = 0.7,
        *,
        tool_choice: ToolChoice = "auto",
    ) -> LLMStream:
        """Ask for a reply. The request starts when the stream is first iterated.

        Args:
            chat_ctx: the conversation, oldest first; system messages carry the instructions.
            tools: what the model may call.
            temperature: 0 (same answer each time) to 2.
            tool_choice: `"none"` forbids tool calls, `"required"` forces one.
        """

    async def prewarm(self) -> None:
        """Open the connection, so that the first reply is as fast as the next."""

    async def aclose(self) -> None:
        """Free what the model holds; safe to call twice."""


class LLMStream(ABC):
    """A running reply. Iterate it once for chunks."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[ChatChunk]:
        """Raises `ProviderError` out of the iteration when the provider fails."""

    async def aclose(self) -> None:
        """Cancel the request and free; safe to call twice."""
