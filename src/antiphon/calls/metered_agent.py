"""An agent that counts what its models are asked for, so that a call's record can tell what it cost."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..audio import AudioFrame
from ..models.chat_context import ChatContext
from ..models.llm import ChatChunk
from ..models.tools import FunctionTool
from ..models.tts import SynthesizedAudio
from ..voice import Agent, ModelSettings


@dataclass
class ModelUsage:
    """What was used so far; replies that nobody heard count, because they cost too.

    Attributes:
        llm_requests: how often the language model was asked.
        prompt_tokens: as the model reports them; 0 if it does not.
        completion_tokens: likewise.
        llm_characters: how much text the model wrote.
        tts_characters: how much text the voice was given.
    """

    llm_requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    llm_characters: int = 0
    tts_characters: int = 0


class MeteredAgent(Agent):
    """An agent as its assistant document describes it, with a meter at the models.

    Attributes:
        usage: what it used so far.
    """

    def __init__(self, *, instructions: str, tools: Sequence[FunctionTool]) -> None:
        super().__init__(instructions=instructions, tools=tools)
        self.usage = ModelUsage()

    async def llm_node(
        self, chat_ctx: ChatContext, tools: list[FunctionTool], model_settings: ModelSettings
    ) -> AsyncIterator[ChatChunk | str]:
        usage = self.usage
        usage.llm_requests += 1
        node: Any = Agent.default.llm_node(self, chat_ctx, tools, model_settings)
        try:
            async for piece in node:
                if isinstance(piece, str):
                    usage.llm_characters += len(piece)
                else:
                    usage.llm_characters += len(piece.delta)
                    if piece.usage is not None:
                        usage.prompt_tokens += piece.usage.prompt_tokens
                        usage.completion_tokens += piece.usage.completion_tokens
                yield piece
        finally:
            await node.aclose()

    async def tts_node(
        self, text: AsyncIterable[str], model_settings: ModelSettings
    ) -> AsyncIterator[AudioFrame | SynthesizedAudio]:
        node: Any = Agent.default.tts_node(self, self._counted(text), model_settings)
        try:
            async for piece in node:
                yield piece
        finally:
            await node.aclose()

    async def _counted(self, text: AsyncIterable[str]) -> AsyncIterator[str]:
        async for piece in text:
            self.usage.tts_characters += len(piece)
            yield piece
