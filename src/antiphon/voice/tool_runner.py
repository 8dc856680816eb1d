"""Runs tools as jobs of the session: a reply that is interrupted does not take its tools with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..models.chat_context import ChatMessage, ToolCall
from ..models.errors import AntiphonError, StopResponse, ToolError, describe
from ..models.tools import FunctionTool, RunContext, ToolArgumentError, tool_output_text
from ..turns import ToolFinished, ToolStarted
from .agent import Agent
from .events import ErrorOccurred, FunctionToolsExecuted, RunningToolsChanged, SessionEvent, ToolExecuted
from .speech_handle import running_tool_of

if TYPE_CHECKING:
    from .conversation import Conversation
    from .reply import Reply

logger = logging.getLogger(__name__)

FAILED = "The tool failed for an internal reason. Tell the user that this did not work."


@dataclass(frozen=True)
class ToolOutcome:
    """What came of one call.

    Attributes:
        executed: as reported to listeners.
        messages: the call and its result as they stand in the conversation.
        next_agent: whom the tool hands the conversation to.
        stop: the tool wants no reply.
    """

    executed: ToolExecuted
    messages: tuple[ChatMessage, ChatMessage]
    next_agent: Agent | None = None
    stop: bool = False


class ToolRunner:
    """The session's running tools."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    async def run(
        self, calls: Sequence[ToolCall], tools: Sequence[FunctionTool], reply: Reply
    ) -> list[ToolOutcome]:
        """Run all calls of one model answer side by side; each enters the log with its result as it ends.

        Cancelling this leaves them running, and listeners are told of them all the same.
        """
        conversation = self._conversation
        jobs = [
            conversation.scope.spawn(self._job(call, tools, reply), name=f"tool {call.name}")
            for call in calls
        ]
        for call in calls:
            conversation.driver.dispatch(ToolStarted(call.id))
        self._running_changed()
        batch = conversation.scope.spawn(self._finish(jobs, reply), name=f"tools of {reply.id}")
        return await asyncio.shield(batch)

    async def _finish(self, jobs: Sequence[asyncio.Task[ToolOutcome]], reply: Reply) -> list[ToolOutcome]:
        await asyncio.wait(jobs)
        outcomes = [job.result() for job in jobs if not job.cancelled()]
        self._conversation.emit(
            SessionEvent.FUNCTION_TOOLS_EXECUTED,
            FunctionToolsExecuted([outcome.executed for outcome in outcomes], reply.id),
        )
        return outcomes

    def _running_changed(self) -> None:
        conversation = self._conversation
        running = len(conversation.driver.state.running_tools)
        conversation.emit(SessionEvent.RUNNING_TOOLS_CHANGED, RunningToolsChanged(running))

    async def _job(self, call: ToolCall, tools: Sequence[FunctionTool], reply: Reply) -> ToolOutcome:
        conversation = self._conversation
        started = conversation.clock.now()
        running_tool_of.set(reply.handle)
        try:
            output, is_error, next_agent, stop = await self._call(call, tools, reply)
            executed = ToolExecuted(call, output, is_error, conversation.clock.now() - started, started)
            reply.open_message()
            messages = conversation.log.add_tool_result(call, output, is_error=is_error)
        finally:
            conversation.driver.dispatch(ToolFinished(call.id))
            self._running_changed()
        if next_agent is not None:
            await conversation.hand_over(next_agent)
        return ToolOutcome(executed, messages, next_agent, stop)

    async def _call(
        self, call: ToolCall, tools: Sequence[FunctionTool], reply: Reply
    ) -> tuple[str, bool, Agent | None, bool]:
        """Returns (text for the model, is it an error, agent to hand over to, no reply wanted)."""
        tool = next((tool for tool in tools if tool.name == call.name), None)
        if tool is None:
            known = ", ".join(sorted(tool.name for tool in tools)) or "none"
            return f"There is no tool named {call.name!r}. The tools are: {known}.", True, None, False
        session = reply.agent.session
        context = RunContext(
            session=session,
            speech_handle=reply.handle,
            function_call=call,
            userdata=session.userdata,
            agent=reply.agent,
        )
        limit = tool.timeout or self._conversation.options.tool_timeout
        try:
            async with asyncio.timeout(limit):
                result = await tool.call(call.arguments, context)
        except (ToolArgumentError, ToolError) as error:
            return str(error), True, None, False
        except StopResponse:
            return "", False, None, True
        except TimeoutError:
            logger.warning("tool %s did not finish within %g s", call.name, limit)
            return f"{call.name} did not finish within {limit:g} seconds.", True, None, False
        except Exception as error:
            expected = isinstance(error, AntiphonError)
            logger.error(
                "tool %s failed: %s", call.name, describe(error), exc_info=None if expected else error
            )
            self._conversation.emit(SessionEvent.ERROR, ErrorOccurred(error, source=f"tool {call.name}"))
            return FAILED, True, None, False
        return (*_read_result(result), False)


def _read_result(result: object) -> tuple[str, bool, Agent | None]:
    """A result may be, or contain beside its text, the agent to hand over to."""
    if isinstance(result, Agent):
        return "Handed over.", False, result
    if isinstance(result, tuple):
        agents = [part for part in result if isinstance(part, Agent)]
        if len(agents) == 1:
            rest = [part for part in result if not isinstance(part, Agent)]
            return " ".join(tool_output_text(part) for part in rest) or "Handed over.", False, agents[0]
    return tool_output_text(result), False, None
