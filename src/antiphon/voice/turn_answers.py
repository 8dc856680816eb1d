"""From the end of the user's turn to the reply that answers it, begun in advance where that is safe."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..models.chat_context import ChatContext, ChatMessage
from ..models.errors import StopResponse
from ..turns import CommitTurn, ReplyEnded
from .agent import Agent, overrides
from .end_of_turn import EndOfTurn
from .interjections import Interjections
from .reply import Reply
from .speculation import Speculation
from .speech_handle import SpeechHandle
from .turn_detection import AnyTurnDetector

if TYPE_CHECKING:
    from .conversation import Conversation

logger = logging.getLogger(__name__)


class TurnAnswers:
    """Speculates on and answers the user's turns.

    Attributes:
        marks: when the stages of the turn in progress ended, for its latency.
        end_of_turn: asks the detector whether the pending turn is finished.
        interjections: weighs what is said over the agent.
    """

    def __init__(self, conversation: Conversation, detector: AnyTurnDetector | None) -> None:
        self.marks: dict[str, float] = {}
        self.end_of_turn = EndOfTurn(conversation, detector, conversation.options.language)
        self.interjections = Interjections(conversation, self.end_of_turn)
        self._conversation = conversation
        self._speculation: Speculation | None = None
        self._hooks = asyncio.Lock()

    # -- before the end of the turn --------------------------------------------------------------------------------

    def speculate(self, text: str) -> None:
        """Begin a reply to `text` that has no side effect until it is adopted."""
        conversation = self._conversation
        agent = conversation.session.current_agent
        if not conversation.has_model(agent):
            return
        context = conversation.build_context(agent)
        context.add_message(role="user", content=text)
        handle = conversation.new_handle(conversation.options.turns.allow_interruptions)
        reply = Reply(conversation, id="", agent=agent, handle=handle, source="turn", context=context.copy())
        self._speculation = Speculation(reply, agent, context, agent.tools)
        conversation.start(reply)

    def synthesise_speculation(self) -> None:
        if self._speculation is not None:
            self._speculation.reply.may_synthesise.set()

    def cancel_speculation(self) -> None:
        _discard(self._take_speculation())

    def _take_speculation(self) -> Speculation | None:
        speculation, self._speculation = self._speculation, None
        return speculation

    # -- its end ---------------------------------------------------------------------------------------------------

    def words_of(self, text: str) -> str:
        """What the machine's text says."""
        return text

    def log_turn(self, turn: CommitTurn) -> ChatMessage:
        """Put a turn into the conversation."""
        return self._conversation.log_user(turn.text)

    def commit(self, turn: CommitTurn) -> None:
        """Log the turn and answer it, after the agent's hook if it has one."""
        conversation = self._conversation
        message = self.log_turn(turn)
        marks, self.marks = self.marks, {}
        if turn.spoken_end is None:
            marks = {}
        else:
            self.end_of_turn.turn_over()
        marks["end_of_turn"] = conversation.clock.now()
        agent = conversation.session.current_agent
        speculation = self._take_speculation()
        handle = conversation.new_handle(conversation.options.turns.allow_interruptions)
        placeholder = Reply(conversation, id=turn.reply, agent=agent, handle=handle, source="turn")
        conversation.register(placeholder)
        if overrides(agent, "on_user_turn_completed"):
            conversation.scope.spawn(
                self._answer_after_hook(turn, message, agent, speculation, placeholder, marks),
                name=f"{turn.reply} hook",
            )
        else:
            self._answer(turn, speculation, marks, conversation.build_context(agent), handle)

    async def _answer_after_hook(
        self,
        turn: CommitTurn,
        message: ChatMessage,
        agent: Agent,
        speculation: Speculation | None,
        placeholder: Reply,
        marks: dict[str, float],
    ) -> None:
        """Run the agent's hook, one turn at a time, then answer unless a newer turn took over."""
        conversation = self._conversation
        context = conversation.build_context(agent)
        declined = False
        async with self._hooks:
            try:
                await agent.on_user_turn_completed(context, message)
            except StopResponse:
                declined = True
            except Exception as error:
                logger.exception("on_user_turn_completed failed; the turn is answered without it")
                conversation.health.report("on_user_turn_completed", error)
        if not conversation.is_registered(placeholder):
            _discard(speculation)
        elif declined:
            _discard(speculation)
            self._decline(placeholder, "declined")
        else:
            self._answer(turn, speculation, marks, context, placeholder.handle)

    def _decline(self, reply: Reply, reason: str) -> None:
        self._conversation.drop(reply, reason)
        self._conversation.driver.dispatch(ReplyEnded(reply.id, reason))

    def _answer(
        self,
        turn: CommitTurn,
        speculation: Speculation | None,
        marks: dict[str, float],
        context: ChatContext,
        handle: SpeechHandle,
    ) -> None:
        """Adopt the speculative reply if it answers the very same conversation; otherwise begin one."""
        conversation = self._conversation
        agent = conversation.session.current_agent
        if speculation is not None and speculation.matches(agent, context):
            reply = speculation.reply
            reply.handle = handle
        else:
            _discard(speculation)
            reply = Reply(
                conversation, id=turn.reply, agent=agent, handle=handle, source="turn", context=context
            )
        reply.id = reply.latency.reply = turn.reply
        reply.latency.end_of_speech = turn.spoken_end
        reply.latency.answers_turn = True
        for stage, at in marks.items():
            reply.latency.mark(stage, at)
        conversation.register(reply)
        if conversation.has_model(agent):
            conversation.begin(reply)
        else:
            self._decline(reply, "no language model")


def _discard(speculation: Speculation | None) -> None:
    if speculation is not None:
        speculation.reply.cancel()
        speculation.reply.handle.finish("cancelled")
