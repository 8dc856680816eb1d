"""A text conversation with the bank assistant: the scripted model and the real tools, without voice."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any

from antiphon.assistants.bank import Bank, BankTools
from antiphon.models.chat_context import ChatContext, ChatMessage, ToolCall
from antiphon.models.errors import ToolError
from antiphon.models.tools import FunctionTool, RunContext, find_function_tools, tool_output_text
from antiphon.plugins.local.scripted import ScriptedLLM

SATURDAY_NOON = dt.datetime(2026, 11, 21, 12, 0)


class Session:
    """What the tools need of a session."""

    def __init__(self) -> None:
        self.closed_because: str | None = None

    def shutdown(self, *, reason: str) -> None:
        self.closed_because = reason


@dataclass
class Conversation:
    """A chat with the assistant, kept in a log as a session would."""

    bank: Bank = field(default_factory=lambda: Bank(now=lambda: SATURDAY_NOON))
    tools: list[FunctionTool] = field(default_factory=list)
    log: ChatContext = field(default_factory=ChatContext)
    session: Session = field(default_factory=Session)
    userdata: dict[str, Any] = field(default_factory=dict)
    called: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tools = self.tools or find_function_tools(BankTools(self.bank))
        self.llm = ScriptedLLM.from_name("bank")

    def says(self, text: str) -> str:
        """The caller says something; returns all that the assistant says to it."""
        self.log.add_message(role="user", content=text)
        return asyncio.run(self._reply())

    def greets(self) -> str:
        return asyncio.run(self._reply())

    def interrupted_after(self, words: int) -> None:
        """The caller spoke over the last reply: only so many words of it were heard."""
        message = next(m for m in reversed(self.log.items) if m.role == "assistant" and m.content)
        if words == 0:
            self.log.items.remove(message)
        message.content = " ".join(message.content.split()[:words])
        message.interrupted = True

    def drop_reply(self, text: str) -> None:
        """The caller says something and goes on before any of the reply is heard or done."""
        self.log.add_message(role="user", content=text)

    async def _reply(self) -> str:
        said: list[str] = []
        for _ in range(4):
            text, calls = "", []
            async for chunk in self.llm.chat(self.log, self.tools):
                text += chunk.delta
                calls += chunk.tool_calls or []
            if text.strip():
                self.log.add_message(role="assistant", content=text.strip())
                said.append(text.strip())
            if not calls:
                return " ".join(said)
            for call in calls:
                await self._run(call)
        raise AssertionError("the model does not stop calling tools")

    async def _run(self, call: ToolCall) -> None:
        tool = next(tool for tool in self.tools if tool.name == call.name)
        self.called.append((call.name, json.loads(call.arguments)))
        failed = False
        try:
            context = RunContext(self.session, None, call, self.userdata)
            output = tool_output_text(await tool.call(call.arguments, context))
        except ToolError as error:
            output, failed = str(error), True
        self.log.append(ChatMessage(role="assistant", tool_calls=[call]))
        extra = {"name": call.name, "is_error": failed}
        self.log.append(ChatMessage(role="tool", content=output, tool_call_id=call.id, extra=extra))


def has(reply: str, expected: str) -> None:
    """Check words of a reply: `a | b` both, `a ? b` one of them, `!a` not."""
    for part in expected.split(" | "):
        part = part.strip()
        if part.startswith("!"):
            assert part[1:].lower() not in reply.lower(), reply
        else:
            assert any(option.strip().lower() in reply.lower() for option in part.split(" ? ")), (part, reply)
