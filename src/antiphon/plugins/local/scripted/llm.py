"""A language model without a network: intents, slots and tool calls from a script, or from the tools alone."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ....models.chat_context import ChatContext, ChatMessage, ToolCall, new_id
from ....models.llm import LLM, ChatChunk, LLMCapabilities, LLMStream, ToolChoice, Usage
from .dialogue import Dialogue
from .dialogue_state import Turn
from .replay import next_turn
from .script import Script
from .script_file import find_script, load_script
from .tool_script import script_for_tools

if TYPE_CHECKING:
    from ....models.tools import FunctionTool


class ScriptedLLM(LLM):
    """Answers from a script, without weights, keys or a network.

    It keeps nothing of a conversation: every reply is derived from the chat context alone. So one instance serves any
    number of conversations.

    Args:
        script: what it knows, or the path of a script file; None makes do with the tools that each request offers.
        token_delay: seconds between words, to see how an application takes a slow model.
        today: the date that "tomorrow" counts from.

    Raises:
        ScriptError: the script file has a mistake.
    """

    def __init__(
        self,
        script: Script | str | Path | None = None,
        *,
        token_delay: float = 0.0,
        today: Callable[[], dt.date] = dt.date.today,
    ) -> None:
        self._script = load_script(script) if isinstance(script, str | Path) else script
        self._token_delay = token_delay
        self._today = today

    @classmethod
    def from_name(cls, name: str | None = None) -> ScriptedLLM:
        """The model `local/scripted:<name>`: a built-in assistant's script, or the path of a script file.

        Raises:
            ScriptError: there is no such script, or it has a mistake.
        """
        return cls(_load_once(str(find_script(name))) if name else None)

    @property
    def capabilities(self) -> LLMCapabilities:
        return LLMCapabilities(streaming=True, function_calling=True, vision=False)

    @property
    def label(self) -> str:
        return f"local/scripted:{self._script.name}" if self._script else "local/scripted"

    async def prewarm(self) -> None:
        """Weigh the script's phrases, which takes some milliseconds."""
        if self._script:
            self._script.matcher.rank("hello")

    def chat(
        self,
        chat_ctx: ChatContext | list[ChatMessage],
        tools: Sequence[FunctionTool] | None = None,
        temperature: float = 0.7,
        *,
        tool_choice: ToolChoice = "auto",
    ) -> LLMStream:
        """See `LLM.chat`. The temperature changes nothing, and `"required"` asks for no more than `"auto"`: a tool is
        called when the caller wants what it does."""
        messages = list(chat_ctx)
        offered = list(tools or ())
        return _ScriptedStream(
            lambda: self._reply(messages, offered, tool_choice), self._token_delay, messages
        )

    def _reply(self, messages: list[ChatMessage], tools: list[FunctionTool], tool_choice: ToolChoice) -> Turn:
        script = self._script or script_for_tools(tools)
        dialogue = Dialogue(script, today=self._today, offered={tool.name for tool in tools})
        turn = next_turn(dialogue, messages)
        if turn.call is not None and tool_choice == "none":
            return Turn(turn.state, dialogue.phrasing.pick(script.replies.unavailable, turn.state.turns))
        return turn


class _ScriptedStream(LLMStream):
    def __init__(self, reply: Callable[[], Turn], token_delay: float, messages: list[ChatMessage]) -> None:
        self._reply = reply
        self._token_delay = token_delay
        self._messages = messages
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[ChatChunk]:
        turn = self._reply()
        pieces = re.findall(r"\S+\s*", turn.say)
        for piece in pieces:
            await asyncio.sleep(self._token_delay)
            if self._closed:
                return
            yield ChatChunk(delta=piece)
        calls = None
        if turn.call is not None:
            arguments = json.dumps(turn.call.arguments, ensure_ascii=False)
            calls = [ToolCall(new_id("call"), turn.call.tool, arguments)]
        prompt = sum(len(message.content.split()) for message in self._messages)
        yield ChatChunk(
            tool_calls=calls,
            finish_reason="tool_calls" if calls else "stop",
            usage=Usage(prompt_tokens=prompt, completion_tokens=len(pieces)),
        )

    async def aclose(self) -> None:
        self._closed = True


@lru_cache(maxsize=32)
def _load_once(path: str) -> Script:
    """Sessions of one process share a built-in script and its matcher."""
    return load_script(path)
