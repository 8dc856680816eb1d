"""One thing the agent says: from its request, through the model, its tools and the voice, to the listener."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from ..audio import AudioFrame
from ..models.chat_context import ChatContext, ChatMessage, ToolCall
from ..models.errors import ProviderError, ProviderTimeout
from ..models.llm import ChatChunk, ToolChoice
from ..models.tools import FunctionTool
from .agent import Agent, ModelSettings, overrides
from .audio_feed import AudioFeed
from .latency import TurnLatency
from .speech_handle import SpeechHandle
from .speech_segment import SpeechSegment
from .synthesis import Synthesis
from .text_feed import TextFeed
from .turn_log import SAID

if TYPE_CHECKING:
    from .conversation import Conversation

Source = Literal["turn", "say", "generate_reply"]


class Reply:
    """A running reply. `run` is its task; its segments wait here until they are heard.

    Attributes:
        id: its name in the turn-taking machine; empty while it is speculative.
        authorised: set once it is more than speculation: from then on tools may run.
        may_synthesise: set once its text may go to the voice.
        last_step_done: the model has said all it will.
        failed: it was speculative and its model failed; nobody was told.
        agent: who speaks.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        id: str,
        agent: Agent,
        handle: SpeechHandle,
        source: Source,
        context: ChatContext | None = None,
        script: str | AsyncIterable[str] | None = None,
        audio: AsyncIterable[AudioFrame] | None = None,
        tool_choice: ToolChoice = "auto",
        log: bool = True,
    ) -> None:
        self.id = id
        self.agent = agent
        self.handle = handle
        self.source: Source = source
        self.latency = TurnLatency(reply=id)
        self.authorised = asyncio.Event()
        self.may_synthesise = asyncio.Event()
        self.last_step_done = False
        self.failed = False
        self.task: asyncio.Task[None] | None = None
        self.context = context
        self._conversation = conversation
        self._script = script
        self._audio = audio
        self._tool_choice: ToolChoice = tool_choice
        self._log = log
        self.segments: list[SpeechSegment] = []
        self._helpers: list[asyncio.Task[None]] = []

    # -- what the conversation asks --------------------------------------------------------------------------------

    def authorise(self) -> None:
        self.authorised.set()
        self.may_synthesise.set()

    @property
    def next_segment(self) -> SpeechSegment | None:
        """The first part that was not heard yet, if it is ready."""
        for segment in self.segments:
            if not segment.over:
                return segment if segment.ready else None
        return None

    @property
    def more_to_come(self) -> bool:
        """Whether it goes on after the part that just ended."""
        return not self.last_step_done or any(not segment.over for segment in self.segments)

    def refresh_messages(self) -> None:
        """Show what was written so far in messages that are still being heard."""
        for segment in self.segments:
            if segment.message is not None and not segment.over:
                segment.message.content = segment.text

    def open_message(self) -> None:
        """Give what is said so far its place in the conversation, before what follows from it."""
        for segment in self.segments:
            if segment.log and segment.message is None and not segment.over and segment.text:
                segment.message = self._conversation.log.open_assistant()
                if self.context is None:
                    segment.message.extra[SAID] = True

    def cancel(self) -> None:
        """Stop generating; its tools go on. What is being heard must have been stopped before."""
        for segment in self.segments:
            segment.close()
        for task in (self.task, *self._helpers):
            if task is not None and not task.done() and task is not asyncio.current_task():
                task.cancel()

    # -- generation ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Generate until there is nothing more to say. Whatever fails, the conversation hears of the end."""
        try:
            if self.context is None:
                self._recite()
            else:
                await self._converse(self.context)
            self.last_step_done = True
            await asyncio.gather(*self._helpers)
        except Exception as error:
            self.last_step_done = True
            for segment in self.segments:
                segment.feed.close()
            if self.failed:
                return  # speculation only: the committed turn is asked anew
            self._conversation.health.report("reply", error)
        self._conversation.reply_generated(self)

    def _recite(self) -> None:
        """Say a text, or play audio with its text, that the application gives."""
        feed = self._new_segment().feed
        self.last_step_done = True
        if isinstance(self._script, AsyncIterable):
            self._spawn(_copy(self._script, feed), "script")
        else:
            feed.put(self._script or "")
            feed.close()

    async def _converse(self, context: ChatContext) -> None:
        conversation = self._conversation
        for steps in range(conversation.options.max_tool_steps + 1):
            last = steps == conversation.options.max_tool_steps
            tools = self.tools
            text, calls = await self._answer(context, "none" if last else self._tool_choice)
            if text:
                context.append(ChatMessage(role="assistant", content=text))
            if not calls or last:
                return
            await self.authorised.wait()
            if text:
                self.handle.part_started()
            outcomes = await conversation.tools.run(calls, tools, self)
            for outcome in outcomes:
                context.extend(outcome.messages)
            if any(outcome.stop for outcome in outcomes):
                return
            successor = next((outcome.next_agent for outcome in outcomes if outcome.next_agent), None)
            if successor is not None:
                if overrides(successor, "on_enter"):
                    return  # the new agent begins by itself
                self.agent = successor
                context = conversation.build_context(successor)

    @property
    def tools(self) -> list[FunctionTool]:
        return [*self.agent.tools, *self._conversation.session_tools]

    async def _answer(self, context: ChatContext, tool_choice: ToolChoice) -> tuple[str, list[ToolCall]]:
        """Let the model speak once. Returns what it said and the tools it wants."""
        conversation = self._conversation
        audio = AudioFeed() if self._model_speaks else None
        segment = self._new_segment(audio)
        feed = segment.feed
        calls: list[ToolCall] = []
        try:
            await self._ask_model(context, tool_choice, segment, calls, audio)
            conversation.health.worked("llm")
        except Exception as error:
            if not self.authorised.is_set():
                self.failed = True
                raise
            calls = []
            apology = conversation.health.failed("llm", error)
            if audio is not None:  # a model that failed does not speak: the voice does
                feed.close()
                feed = self._new_segment().feed
            feed.put(f" {apology}" if feed.text else apology)
        finally:
            if not calls:
                self.last_step_done = True
            feed.close()
            if audio is not None:
                audio.close()
        return feed.text, calls

    @property
    def _model_speaks(self) -> bool:
        llm = self.agent.llm or self._conversation.llm
        return llm is not None and llm.capabilities.audio

    async def _ask_model(
        self,
        context: ChatContext,
        tool_choice: ToolChoice,
        segment: SpeechSegment,
        calls: list[ToolCall],
        audio: AudioFeed | None,
    ) -> None:
        """Pass on what comes of the llm node, each piece within its deadline.

        Raises:
            ProviderError: the model stalled or said nothing at all.
        """
        options, clock = self._conversation.options, self._conversation.clock
        node = self.agent.llm_node(context.copy(), self.tools, ModelSettings(tool_choice))
        request = self.latency.request("llm", self._llm_label, clock.now())
        limit = options.llm_first_token_timeout
        deadline = asyncio.timeout(limit)
        try:
            async with deadline, aclosing(_pieces(node)) as pieces:
                async for piece in pieces:
                    limit = options.llm_stall_timeout
                    deadline.reschedule(clock.loop_time(clock.now() + limit))
                    if request.first is None:
                        request.first = clock.now()
                    if isinstance(piece, ChatChunk):
                        calls.extend(piece.tool_calls or ())
                        segment.on_cut = piece.on_cut or segment.on_cut
                        if piece.audio is not None and audio is not None:
                            audio.put(piece.audio)
                        if piece.usage is not None:
                            request.prompt_tokens = piece.usage.prompt_tokens
                            request.completion_tokens = piece.usage.completion_tokens
                        piece = piece.delta
                    if piece:
                        self.latency.mark("llm_first_token", clock.now())
                        segment.feed.put(piece)
        except Exception as error:
            request.error = type(error).__name__
            if not isinstance(error, TimeoutError) or not deadline.expired():
                raise
            raise ProviderTimeout(
                f"{self._llm_label} sent nothing for {limit:g} seconds", provider=self._llm_label
            ) from error
        finally:
            request.ended = clock.now()
        if not calls and not any(segment.text for segment in self.segments):
            raise ProviderError(f"{self._llm_label} gave an empty answer", provider=self._llm_label)

    @property
    def _llm_label(self) -> str:
        llm = self.agent.llm or self._conversation.llm
        return llm.label if llm is not None else type(self.agent).__name__

    def _new_segment(self, audio: AudioFeed | None = None) -> SpeechSegment:
        """A new part, whose text goes to the voice as it is written, unless its audio comes with it."""
        segment = SpeechSegment(TextFeed(), log=self._log)
        self.segments.append(segment)
        synthesis = Synthesis(self._conversation, self, segment, audio or self._audio)
        self._spawn(synthesis.run(), "speech")
        return segment

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        self._helpers.append(self._conversation.scope.spawn(coroutine, name=f"{self.handle.id} {name}"))


async def _pieces(
    node: AsyncIterator[ChatChunk | str] | Awaitable[str | None],
) -> AsyncGenerator[ChatChunk | str, None]:
    """What an llm node gives, be it a stream or one whole text."""
    if isinstance(node, AsyncIterator):
        try:
            async for piece in node:
                yield piece
        finally:
            if isinstance(node, AsyncGenerator):
                await node.aclose()
    elif whole := await node:
        yield whole


async def _copy(source: AsyncIterable[str], feed: TextFeed) -> None:
    try:
        async for piece in source:
            feed.put(piece)
    finally:
        feed.close()
