"""Language models: a conversation in, text and tool calls out, token by token."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..audio import AudioFrame
from .chat_context import ChatContext, ChatMessage, ToolCall
from .label import label_of

if TYPE_CHECKING:
    from .tools import FunctionTool

ToolChoice = Literal["auto", "required", "none"]


@dataclass(frozen=True)
class LLMCapabilities:
    """`audio`: the model speaks its replies itself: each chunk may carry audio, and no voice is asked."""

    streaming: bool = True
    function_calling: bool = False
    vision: bool = False
    audio: bool = False


@dataclass(frozen=True)
class Usage:
    """Tokens that a request cost."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class ChatChunk:
    """A piece of a streamed reply. Tool calls arrive whole, never in parts.

    Attributes:
        audio: what is heard of it, from a model that speaks.
        on_cut: a model that keeps the conversation itself wants this called, with the seconds and the words that were
            heard, if the reply is cut short.
    """

    delta: str = ""
    tool_calls: list[ToolCall] | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    audio: AudioFrame | None = None
    on_cut: Callable[[float, str], None] | None = None


class LLM(ABC):
    """A language model."""

    @property
    @abstractmethod
    def capabilities(self) -> LLMCapabilities: ...

    @property
    def label(self) -> str:
        """The name shown in errors and metrics, as in `"openai/gpt-4o-mini"`."""
        return label_of(self)

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


def ask(
    llm: LLM,
    chat_ctx: ChatContext | list[ChatMessage],
    tools: Sequence[FunctionTool] | None,
    *,
    temperature: float | None = None,
    tool_choice: ToolChoice = "auto",
) -> LLMStream:
    """Ask a model, also one whose `chat` knows no `tool_choice`: where tools are forbidden it is offered none.

    Args:
        temperature: None: the model's own default.
    """
    options: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    if tool_choice != "auto":
        if _knows_tool_choice(llm):
            options["tool_choice"] = tool_choice
        elif tool_choice == "none":
            tools = None
    return llm.chat(chat_ctx, tools, **options)


def _knows_tool_choice(llm: LLM) -> bool:
    parameters = inspect.signature(llm.chat).parameters
    return "tool_choice" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


class LLMStream(ABC):
    """A running reply. Iterate it once for chunks."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[ChatChunk]:
        """Raises `ProviderError` out of the iteration when the provider fails."""

    async def aclose(self) -> None:
        """Cancel the request and free; safe to call twice."""
