"""Carries out what the turn-taking machine decides: the session's replies, log, tools and playout in one place.

The machine names replies; here each name has its `Reply`, from its request until it was heard, interrupted or dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Callable
from typing import TYPE_CHECKING, Any

from ..audio import AudioFrame
from ..models.chat_context import ChatContext, ChatMessage, new_id
from ..models.errors import ConfigurationError
from ..models.llm import LLM, ToolChoice
from ..models.tools import FunctionTool
from ..models.tts import TTS
from ..turns import (
    CancelSpeculation,
    CommitTurn,
    DropReply,
    DropTurn,
    Effect,
    InterruptionsAllowed,
    InterruptPlayout,
    LogBackchannel,
    PausePlayout,
    PlayoutFinished,
    PlayoutStarted,
    ReleaseReply,
    ReplyEnded,
    ReplyQueued,
    ReplyReady,
    ResumePlayout,
    ScoreEndOfTurn,
    Speculate,
    StateChanged,
    SynthesizeSpeculation,
)
from .agent import Agent, overrides
from .events import (
    Backchannel,
    ConversationItemAdded,
    FalseInterruption,
    MetricsCollected,
    SessionEvent,
    SpeechCreated,
)
from .options import SessionOptions
from .playout import Playout
from .provider_health import ProviderHealth
from .realtime_listener import RealtimeAnswers
from .reply import Reply
from .session_clock import SessionClock
from .speech_handle import SpeechHandle
from .speech_segment import SpeechSegment
from .task_scope import TaskScope
from .tool_runner import ToolRunner
from .turn_answers import TurnAnswers
from .turn_detection import AnyTurnDetector
from .turn_driver import TurnDriver
from .turn_log import TurnLog

if TYPE_CHECKING:
    from .agent_session import AgentSession

logger = logging.getLogger(__name__)


class Conversation:
    """Owner of the turn log, the running replies and what is heard of them."""

    def __init__(
        self,
        session: AgentSession[Any],
        *,
        options: SessionOptions,
        clock: SessionClock,
        scope: TaskScope,
        emit: Callable[..., None],
        detector: AnyTurnDetector | None,
        history: ChatContext | None = None,
    ) -> None:
        self.session = session
        self.options = options
        self.clock = clock
        self.scope = scope
        self.emit = emit
        self.log = TurnLog(history or ())
        self.driver = TurnDriver(options.turns, clock, self._carry_out)
        self.playout = Playout(self._playout_started, self._playout_finished)
        self.tools = ToolRunner(self)
        self.health = ProviderHealth(options, emit, self._give_up)
        self.answers = (
            TurnAnswers(self, detector) if session.realtime is None else RealtimeAnswers(self, detector)
        )
        self._replies: dict[str, Reply] = {}
        self._audible: tuple[Reply, SpeechSegment] | None = None
        self._states = (self.driver.state.agent, self.driver.state.user)
        self._when_quiet: Callable[[], None] | None = None
        self._handing_over = asyncio.Lock()

    # -- what replies need to know ---------------------------------------------------------------------------------

    @property
    def llm(self) -> LLM | None:
        return self.session.llm

    @property
    def tts(self) -> TTS | None:
        return self.session.tts

    @property
    def session_tools(self) -> list[FunctionTool]:
        return self.session.tools

    def has_model(self, agent: Agent) -> bool:
        """Whether there is something that writes replies; otherwise the session only listens."""
        return (agent.llm or self.llm) is not None or overrides(agent, "llm_node")

    def can_speak(self, agent: Agent) -> bool:
        """Whether there is a voice and somewhere to play it; otherwise replies are text."""
        has_voice = (agent.tts or self.tts) is not None or overrides(agent, "tts_node")
        return has_voice and self.playout.output is not None

    def build_context(self, agent: Agent, *, instructions: str | None = None) -> ChatContext:
        """The conversation as `agent`'s model sees it now."""
        for reply in self._replies.values():
            reply.refresh_messages()
        context = ChatContext()
        if agent.instructions:
            context.add_message(role="system", content=agent.instructions)
        context.extend(agent.chat_ctx)
        context.extend(self.log.context)
        if instructions:
            context.add_message(role="system", content=instructions, extra={"kind": "reply_instructions"})
        return context

    def audible_text(self) -> tuple[str, str] | None:
        """The message being heard, by its identifier, and its words heard so far."""
        if self._audible is None:
            return None
        segment = self._audible[1]
        name = segment.message.id if segment.message is not None else self._audible[0].id
        return name, segment.heard_text(self.playout.position)

    @property
    def audible_whole(self) -> str:
        """The text of what is being heard, as far as it is written; empty while nothing is."""
        return self._audible[1].text if self._audible is not None else ""

    @property
    def audible_speech(self) -> SpeechHandle | None:
        return self._audible[0].handle if self._audible is not None else None

    async def hand_over(self, agent: Agent) -> None:
        async with self._handing_over:
            await self.session.change_agent(agent)

    def log_user(self, text: str) -> ChatMessage:
        """Put a user's message into the conversation."""
        message = self.log.add_user(text)
        self.emit(SessionEvent.CONVERSATION_ITEM_ADDED, ConversationItemAdded(message))
        return message

    # -- speech that the application asks for ----------------------------------------------------------------------

    def say(
        self,
        script: str | AsyncIterable[str] | None,
        *,
        audio: AsyncIterable[AudioFrame] | None,
        allow_interruptions: bool,
        log: bool,
        stopgap: bool = False,
    ) -> SpeechHandle:
        """Queue a given text."""
        handle = self.new_handle(allow_interruptions)
        reply = Reply(
            self,
            id=handle.id,
            agent=self.session.current_agent,
            handle=handle,
            source="say",
            script=script,
            audio=audio,
            log=log,
        )
        self._enqueue(reply, stopgap=stopgap)
        return handle

    def generate(
        self, *, instructions: str | None, allow_interruptions: bool, tool_choice: ToolChoice
    ) -> SpeechHandle:
        """Queue a reply that the model writes."""
        agent = self.session.current_agent
        handle = self.new_handle(allow_interruptions)
        reply = Reply(
            self,
            id=handle.id,
            agent=agent,
            handle=handle,
            source="generate_reply",
            context=self.build_context(agent, instructions=instructions),
            tool_choice=tool_choice,
        )
        self._enqueue(reply)
        return handle

    def new_handle(self, allow_interruptions: bool) -> SpeechHandle:
        return SpeechHandle(
            new_id("speech"),
            allow_interruptions=allow_interruptions,
            interrupt=self._interrupt_handle,
            on_allowed=self._interruptions_allowed,
        )

    def _enqueue(self, reply: Reply, *, stopgap: bool = False) -> None:
        self.register(reply)
        reply.latency.mark("end_of_turn", self.clock.now())
        self.emit(SessionEvent.SPEECH_CREATED, SpeechCreated(reply.handle, reply.source, reply.latency))
        self.driver.dispatch(ReplyQueued(reply.id, reply.handle.allow_interruptions, stopgap))
        if reply.id in self._replies:
            reply.authorise()
            self.start(reply)

    def register(self, reply: Reply) -> None:
        """From now on the machine's name for it means this reply."""
        self._replies[reply.id] = reply

    def is_registered(self, reply: Reply) -> bool:
        """Whether it was neither dropped nor replaced."""
        return self._replies.get(reply.id) is reply

    def begin(self, reply: Reply) -> None:
        """Let a registered reply be generated, if it is not already, and heard."""
        self.emit(SessionEvent.SPEECH_CREATED, SpeechCreated(reply.handle, reply.source, reply.latency))
        reply.authorise()
        if reply.task is None:
            self.start(reply)
        elif reply.next_segment is not None:
            self.driver.dispatch(ReplyReady(reply.id))

    def start(self, reply: Reply) -> None:
        """Generate a reply."""
        reply.task = self.scope.spawn(reply.run(), name=f"{reply.handle.id} reply")

    def _interrupt_handle(self, handle: SpeechHandle, force: bool) -> None:
        reply = next((r for r in self._replies.values() if r.handle is handle), None)
        if reply is None:
            return
        if self._is_audible(reply):
            self.session.interrupt(force=force)
        else:
            self.drop(reply, "interrupted")
            self.driver.dispatch(ReplyEnded(reply.id, "interrupted"))

    def _interruptions_allowed(self, handle: SpeechHandle, allowed: bool) -> None:
        for reply in self._replies.values():
            if reply.handle is handle:
                self.driver.dispatch(InterruptionsAllowed(reply.id, allowed))

    # -- effects ---------------------------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case CommitTurn():
                self.answers.commit(effect)
            case Speculate(text):
                self.answers.speculate(text)
            case SynthesizeSpeculation():
                self.answers.synthesise_speculation()
            case CancelSpeculation():
                self.answers.cancel_speculation()
            case ScoreEndOfTurn(text):
                self.answers.end_of_turn.ask(text)
            case ReleaseReply(name):
                if (reply := self._replies.get(name)) is not None:
                    self._release(reply)
            case DropReply(name, reason):
                if (reply := self._replies.get(name)) is not None:
                    self.drop(reply, reason)
            case InterruptPlayout(name):
                if (reply := self._replies.get(name)) is not None:
                    self._interrupt(reply)
            case PausePlayout():
                self.playout.pause()
            case ResumePlayout():
                self.playout.resume()
                self.emit(SessionEvent.FALSE_INTERRUPTION, FalseInterruption())
            case LogBackchannel(text):
                self.emit(SessionEvent.BACKCHANNEL, Backchannel(self.answers.words_of(text)))
            case DropTurn(text, reason):
                logger.info("a turn got no reply: %s", reason)
                self.emit(SessionEvent.BACKCHANNEL, Backchannel(self.answers.words_of(text)))
            case StateChanged(agent, user):
                self._state_changed(agent, user)

    def _state_changed(self, agent: Any, user: Any) -> None:
        (old_agent, old_user), self._states = self._states, (agent, user)
        self.session.state_changed(old_agent, agent, old_user, user)
        self._check_quiet()

    # -- replies on their way --------------------------------------------------------------------------------------

    def segment_ready(self, reply: Reply) -> None:
        """A part of a reply could be heard now."""
        if self.is_registered(reply):
            self.driver.dispatch(ReplyReady(reply.id))

    def reply_generated(self, reply: Reply) -> None:
        """A reply's model and voice are done."""
        if not self.is_registered(reply) or self._is_audible(reply):
            return
        if reply.next_segment is None:
            outcome = "finished" if reply.handle.chat_items else "empty"
            self._retire(reply, outcome)
            self.driver.dispatch(ReplyEnded(reply.id, outcome))

    def _is_audible(self, reply: Reply) -> bool:
        return self._audible is not None and self._audible[0] is reply

    def _release(self, reply: Reply) -> None:
        segment = reply.next_segment
        if segment is None:  # withdrawn since it was announced
            self.driver.dispatch(PlayoutFinished(reply.id, 0.0, more=True))
            return
        self._audible = (reply, segment)
        reply.handle.part_started()
        reply.open_message()
        self.playout.play(segment)

    def _playout_started(self) -> None:
        if self._audible is None:
            return
        reply, _ = self._audible
        first = "first_audio_out" not in reply.latency.marks
        reply.latency.mark("first_audio_out", self.clock.now())
        self.driver.dispatch(PlayoutStarted(reply.id))
        if first:
            self.emit(SessionEvent.METRICS_COLLECTED, MetricsCollected(reply.latency))

    def _playout_finished(self, position: float) -> None:
        if self._audible is None:
            return
        (reply, segment), self._audible = self._audible, None
        segment.on_cut = None
        self._seal(reply, segment, segment.heard_text(), interrupted=False)
        reply.handle.part_ended()
        more = reply.more_to_come
        if not more:
            self._retire(reply, "finished")
        self.driver.dispatch(PlayoutFinished(reply.id, position, more))
        if more:
            self._continue(reply)

    def _continue(self, reply: Reply) -> None:
        """The next part may be ready already, or the reply may have nothing more to say after all."""
        if not self.is_registered(reply):
            return
        if reply.next_segment is not None:
            self.driver.dispatch(ReplyReady(reply.id))
        elif reply.task is not None and reply.task.done():
            self.reply_generated(reply)

    def _interrupt(self, reply: Reply) -> None:
        reply.latency.interrupted = True
        self._silence()
        self.drop(reply, "interrupted")

    def _silence(self) -> None:
        """Stop what is being heard; the words heard of it stay in the conversation."""
        position = self.playout.stop()
        if self._audible is not None:
            (reply, segment), self._audible = self._audible, None
            heard = segment.heard_text(position)
            segment.cut(position, heard)
            self._seal(reply, segment, heard, interrupted=True)

    def drop(self, reply: Reply, reason: str) -> None:
        """Give up a reply that is not being heard."""
        reply.cancel()
        self._seal_unheard(reply)
        self._retire(reply, reason, interrupted=reason == "interrupted")

    def _retire(self, reply: Reply, outcome: str, *, interrupted: bool = False) -> None:
        self._replies.pop(reply.id, None)
        reply.handle.finish(outcome, interrupted=interrupted)
        self._soon(self._check_quiet)

    def _soon(self, function: Callable[[], None]) -> None:
        if not self.scope.closed:
            asyncio.get_running_loop().call_soon(function)

    def _seal(self, reply: Reply, segment: SpeechSegment, heard: str, *, interrupted: bool) -> None:
        """Fix what was heard of a segment as its entry in the conversation."""
        message = segment.message
        if message is None or not self.log.is_open(message):
            return
        if self.log.seal(message, heard, interrupted=interrupted):
            reply.handle.chat_items.append(message)
            self.emit(SessionEvent.CONVERSATION_ITEM_ADDED, ConversationItemAdded(message))

    def _seal_unheard(self, reply: Reply) -> None:
        for segment in reply.segments:
            segment.cut(0.0, "")
            self._seal(reply, segment, "", interrupted=True)

    # -- trouble and the end ---------------------------------------------------------------------------------------

    def _give_up(self, error: BaseException) -> None:
        self.session.fail(error)

    def when_quiet(self, function: Callable[[], None]) -> None:
        """Call `function` once nothing is being said or about to be."""
        self._when_quiet = function
        self._soon(self._check_quiet)

    def _check_quiet(self) -> None:
        if self._when_quiet is not None and not self._replies:
            function, self._when_quiet = self._when_quiet, None
            function()

    def close(self) -> None:
        """End all speech; nothing starts after this."""
        self._when_quiet = None
        self.answers.cancel_speculation()
        self.driver.close()
        self._silence()
        for reply in tuple(self._replies.values()):
            self.drop(reply, "closed")


def require_llm(session: AgentSession[Any]) -> None:
    """Raises ConfigurationError when nothing can write a reply."""
    if not session.conversation.has_model(session.current_agent):
        raise ConfigurationError(
            "generate_reply needs a language model: give AgentSession(llm=...) one, or use say(text)"
        )
