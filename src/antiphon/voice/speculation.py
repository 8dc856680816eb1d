"""A reply begun before the user's turn is surely over."""

from __future__ import annotations

from dataclasses import dataclass

from ..models.chat_context import ChatContext
from ..models.tools import FunctionTool
from .agent import Agent
from .reply import Reply


@dataclass
class Speculation:
    """A speculative reply and all that it depends on: it is heard only if nothing of that has changed."""

    reply: Reply
    agent: Agent
    context: ChatContext
    tools: list[FunctionTool]

    def matches(self, agent: Agent, context: ChatContext) -> bool:
        """Whether this reply answers the conversation as it is now."""
        return (
            not self.reply.failed
            and agent is self.agent
            and agent.tools == self.tools
            and context.is_equivalent(self.context)
        )
