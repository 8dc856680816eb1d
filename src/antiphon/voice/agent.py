"""An agent: instructions, tools, and what happens around a turn."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..audio import AudioFrame
from ..models.chat_context import ChatContext, ChatMessage
from ..models.errors import ConfigurationError
from ..models.llm import LLM, ChatChunk, ToolChoice
from ..models.stt import SpeechEvent
from ..models.tools import FunctionTool, find_function_tools, function_tool
from ..models.tts import TTS, SynthesizedAudio
from . import nodes

if TYPE_CHECKING:
    from .agent_session import AgentSession


@dataclass(frozen=True)
class ModelSettings:
    """What a node is asked for beyond its input."""

    tool_choice: ToolChoice = "auto"


class Agent:
    """Who the caller talks with.

    Subclass it to add tools (methods with `@function_tool`), hooks (`on_enter`, `on_exit`, `on_user_turn_completed`) and
    nodes: the four steps of the pipeline, each an async generator that may be replaced or may wrap its default in
    `Agent.default`. A tool that returns another agent hands the conversation over to it.
    """

    def __init__(
        self,
        *,
        instructions: str = "",
        tools: Sequence[FunctionTool | Any] | None = None,
        chat_ctx: ChatContext | None = None,
        llm: LLM | str | None = None,
        tts: TTS | str | None = None,
    ) -> None:
        """Describe the agent.

        Args:
            instructions: the system prompt.
            tools: more tools than the methods of the class; plain functions are wrapped.
            chat_ctx: messages that come before the conversation, as examples.
            llm: a model of its own, or its name; None: the session's.
            tts: a voice of its own, or its name; None: the session's.

        Raises:
            ConfigurationError: a model's name is unknown or its package or key is missing.
        """
        self._instructions = instructions
        self._chat_ctx = chat_ctx or ChatContext.empty()
        given = [tool if isinstance(tool, FunctionTool) else function_tool(tool) for tool in tools or ()]
        self._tools = [*find_function_tools(self), *given]
        self._session: AgentSession[Any] | None = None
        self.llm = nodes.resolve_llm(llm)
        self.tts = nodes.resolve_tts(tts)

    @property
    def instructions(self) -> str:
        return self._instructions

    async def update_instructions(self, instructions: str) -> None:
        """Change the system prompt from the next reply on."""
        self._instructions = instructions

    @property
    def tools(self) -> list[FunctionTool]:
        return list(self._tools)

    async def update_tools(self, tools: Sequence[FunctionTool]) -> None:
        """Change the tools from the next reply on."""
        self._tools = list(tools)

    @property
    def chat_ctx(self) -> ChatContext:
        """The messages given at the start; the conversation itself is `session.history`."""
        return self._chat_ctx

    @property
    def session(self) -> AgentSession[Any]:
        """The session that the agent is in charge of.

        Raises:
            ConfigurationError: it is in none.
        """
        if self._session is None:
            raise ConfigurationError(
                f"{type(self).__name__} is in no session; start one with AgentSession(...).start(agent)"
            )
        return self._session

    def attach(self, session: AgentSession[Any] | None) -> None:
        """Tell the agent which session it is in charge of; the session calls this."""
        self._session = session

    # -- hooks -----------------------------------------------------------------------------------------------------

    async def on_enter(self) -> None:
        """The agent takes charge of the conversation."""

    async def on_exit(self) -> None:
        """The agent hands over, or the session ends."""

    async def on_user_turn_completed(self, turn_ctx: ChatContext, new_message: ChatMessage) -> None:
        """The user's turn is over and logged; the reply has not been asked for yet.

        Args:
            turn_ctx: the conversation as the model will see it, for this reply only; add to it what it should know.
            new_message: the user's message; changing its content changes the conversation.

        Raises:
            StopResponse: no reply is wanted.
        """

    # -- nodes -----------------------------------------------------------------------------------------------------

    def stt_node(
        self, audio: AsyncIterable[AudioFrame], model_settings: ModelSettings
    ) -> AsyncIterator[SpeechEvent]:
        """Caller's audio (16 kHz mono) to transcripts."""
        return nodes.stt_node(self, audio, model_settings)

    def llm_node(
        self, chat_ctx: ChatContext, tools: list[FunctionTool], model_settings: ModelSettings
    ) -> AsyncIterator[ChatChunk | str] | Awaitable[str | None]:
        """Conversation to text and tool calls. May also be a coroutine that returns the whole text."""
        return nodes.llm_node(self, chat_ctx, tools, model_settings)

    def tts_node(
        self, text: AsyncIterable[str], model_settings: ModelSettings
    ) -> AsyncIterator[AudioFrame | SynthesizedAudio]:
        """Text as it is written to audio."""
        return nodes.tts_node(self, text, model_settings)

    def transcription_node(
        self, text: AsyncIterable[str], model_settings: ModelSettings
    ) -> AsyncIterator[str]:
        """Text as it is written to text as it is shown and logged."""
        return nodes.transcription_node(self, text, model_settings)

    class default:  # noqa: N801 - reads as Agent.default.llm_node
        """The nodes as they are when nothing is overridden: `Agent.default.llm_node(self, ...)`."""

        stt_node = staticmethod(nodes.stt_node)
        llm_node = staticmethod(nodes.llm_node)
        tts_node = staticmethod(nodes.tts_node)
        transcription_node = staticmethod(nodes.transcription_node)


def overrides(agent: Agent, method: str) -> bool:
    """Whether the agent's class, or the agent itself, replaces one of the methods above."""
    return method in vars(agent) or getattr(type(agent), method) is not getattr(Agent, method)
