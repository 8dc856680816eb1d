"""A session's connection to its realtime model: kept alive, and told what it cannot know."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..audio import AudioFrame, Resampler
from ..models.chat_context import ChatMessage
from ..models.errors import ConfigurationError, ProviderConnectionError, ProviderError, ProviderTimeout
from ..models.llm import ToolChoice
from ..models.realtime import (
    InputSpeechStarted,
    InputSpeechStopped,
    InputTranscription,
    RealtimeError,
    RealtimeEvent,
    RealtimeGeneration,
    RealtimeModel,
    RealtimeSession,
)
from ..models.tools import FunctionTool
from ..models.tts import TTS
from .turn_log import HEARD_BY_MODEL, SAID

if TYPE_CHECKING:
    from .agent_session import AgentSession

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
FIRST_RETRY = 0.1  # seconds; doubled with each failure in a row
LONGEST_RETRY = 5.0
MAX_FAILURES = 6  # in a row, about six seconds with the delays between them


class RealtimeLink:
    """One session's way to its realtime model.

    A connection that is lost, or expires, is made anew, with the conversation so far as text.

    Attributes:
        model: what is connected to.
        detects_turns: the model says when the user speaks, not a voice activity detector here.
        on_speech: takes what the model says of the user's speech.
        on_transcription: takes what the user said.
        on_connected: called when a new connection can be used.
    """

    def __init__(self, model: RealtimeModel, *, detects_turns: bool) -> None:
        self.model = model
        self.detects_turns = detects_turns
        self.on_speech: Callable[[InputSpeechStarted | InputSpeechStopped], None] | None = None
        self.on_transcription: Callable[[InputTranscription], None] | None = None
        self.on_connected: Callable[[], None] | None = None
        self._owner: AgentSession[Any] | None = None
        self._session: RealtimeSession | None = None
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._resampler: Resampler | None = None
        self._received = 0.0
        self._base = 0.0
        self._sent: set[str] = set()
        self._calls: set[str] = set()
        self._told: tuple[str, tuple[int, ...]] | None = None
        self._utterance: str | None = None
        self._renewing = False
        self._connections = 0

    # -- the connection --------------------------------------------------------------------------------------------

    def start(self, owner: AgentSession[Any]) -> None:
        """Connect, and stay connected for as long as the session lives."""
        self._owner = owner
        self._task = owner.conversation.scope.spawn(self._run(), name="realtime model")

    async def connected(self) -> RealtimeSession:
        """Wait until the model can be used.

        Raises:
            ProviderError: it cannot any more.
        """
        while self._session is None:
            if self._failure is not None:
                raise ProviderConnectionError(
                    f"{self.model.label} cannot be reached any more",
                    provider=self.model.label,
                    retryable=False,
                ) from self._failure
            self._changed.clear()
            await self._changed.wait()
        return self._session

    @property
    def emergency_voice(self) -> TTS | None:
        """Who speaks when the model is gone for good; None while it is not."""
        if self._failure is None or self._owner is None:
            return None
        return self._owner.conversation.health.emergency_voice(None)

    async def _run(self) -> None:
        owner = self._owner
        assert owner is not None
        health, clock = owner.conversation.health, owner.conversation.clock
        delay = FIRST_RETRY
        while True:
            began = clock.now()
            try:
                await self._serve(owner)
                if self._renewing:
                    continue
                error: BaseException = ProviderConnectionError(
                    f"{self.model.label} ended the session", provider=self.model.label
                )
            except Exception as failure:
                if self._renewing:
                    continue
                error = failure
            if clock.now() - began > LONGEST_RETRY:
                delay = FIRST_RETRY
            retryable = error.retryable if isinstance(error, ProviderError) else True
            final = not retryable or isinstance(error, ConfigurationError)
            farewell = health.failed("realtime", error, limit=1 if final else MAX_FAILURES)
            if farewell:
                self._failure = error
                self._changed.set()
                owner.say(farewell, allow_interruptions=False)
                return
            await asyncio.sleep(delay)
            delay = min(LONGEST_RETRY, delay * 2)

    async def _serve(self, owner: AgentSession[Any]) -> None:
        """Connect once, and read until the connection is over."""
        agent = owner.current_agent
        tools = [*agent.tools, *owner.tools]
        session = self.model.session(
            turn_detection=self.detects_turns, instructions=agent.instructions, tools=tools
        )
        self._told = (agent.instructions, tuple(id(tool) for tool in tools))
        self._renewing = False
        try:
            await self._connect(session)
            self._begin(owner, session)
            async for event in session:
                if not isinstance(event, RealtimeError):
                    owner.conversation.health.worked("realtime")
                self._take(event, owner)
        finally:
            self._session = None
            self._changed.clear()
            await _close(session, owner.options.close_timeout)

    async def _connect(self, session: RealtimeSession) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await session.connect()
        except TimeoutError as error:
            raise ProviderTimeout(
                f"{self.model.label} could not be connected within {CONNECT_TIMEOUT:g} seconds",
                provider=self.model.label,
            ) from error

    def _begin(self, owner: AgentSession[Any], session: RealtimeSession) -> None:
        """A new connection knows nothing: tell it the conversation so far."""
        self._connections += 1
        self._base = self._received
        self._calls.clear()
        past = [
            message
            for message in (*owner.current_agent.chat_ctx, *owner.conversation.log.context)
            if message.role != "system" and (message.content or message.tool_calls)
        ]
        self._sent = {message.id for message in past}
        if past:
            session.add_messages(past)
        self._session = session
        self._changed.set()
        if self.on_connected is not None:
            self.on_connected()

    def _take(self, event: RealtimeEvent, owner: AgentSession[Any]) -> None:
        match event:
            case InputSpeechStarted(at):
                if self.on_speech is not None:
                    self.on_speech(InputSpeechStarted(self._base + at))
            case InputSpeechStopped(at, utterance):
                self._utterance = self._unique(utterance)
                if self.on_speech is not None:
                    self.on_speech(InputSpeechStopped(self._base + at, self._utterance))
                self._utterance = None
            case InputTranscription():
                if self.on_transcription is not None:
                    self.on_transcription(replace(event, utterance=self._unique(event.utterance)))
            case RealtimeError(error):
                logger.warning("%s: %s", self.model.label, error)
                owner.conversation.health.report("realtime", error)

    # -- the user's audio ------------------------------------------------------------------------------------------

    def push_audio(self, frame: AudioFrame) -> None:
        """Pass the user's audio on; without a connection it is lost."""
        self._received += frame.duration
        if self._session is None:
            return
        rate = self.model.input_sample_rate
        if frame.sample_rate != rate:
            if self._resampler is None or self._resampler.input_rate != frame.sample_rate:
                self._resampler = Resampler(frame.sample_rate, rate)
            frame = self._resampler.push(frame)
        if frame.samples.size:
            self._session.push_audio(frame)

    def take_utterance(self) -> str | None:
        """End the user's utterance, if the model has not. Returns its name; None without a connection."""
        utterance, self._utterance = self._utterance, None
        if utterance is None and self._session is not None:
            return self._unique(self._session.commit_audio())
        return utterance

    def _unique(self, utterance: str) -> str:
        """Connections name their utterances each for itself."""
        return f"{self._connections}.{utterance}"

    def clear_audio(self) -> None:
        if self._session is not None:
            self._session.clear_audio()

    # -- replies ---------------------------------------------------------------------------------------------------

    async def generate(
        self, messages: Iterable[ChatMessage], tools: Sequence[FunctionTool], tool_choice: ToolChoice
    ) -> RealtimeGeneration:
        """Bring the model up to date and ask for the next reply."""
        session, messages = await self.connected(), list(messages)
        instructions = _instructions(messages)
        told = (instructions, tuple(id(tool) for tool in tools))
        if told != self._told:
            if self.model.capabilities.live_updates:
                session.update(instructions, tools)
            else:
                session = await self._renew(session)
            self._told = told
        for_reply, news = self._read(messages)
        if news:
            session.add_messages(news)
        if for_reply:
            for_reply = f"{instructions}\n\n{for_reply}".strip()
        return session.generate_reply(instructions=for_reply or None, tool_choice=tool_choice)

    async def _renew(self, session: RealtimeSession) -> RealtimeSession:
        """Another agent is in charge, and the model must begin anew to be told."""
        self._renewing = True
        self._session = None
        await _close(session, CONNECT_TIMEOUT)
        return await self.connected()

    def asked_for(self, call_id: str) -> None:
        """The model asked for this tool call on the present connection."""
        self._calls.add(call_id)

    def _read(self, messages: Sequence[ChatMessage]) -> tuple[str, list[ChatMessage]]:
        """Takes from a conversation the instructions for this reply alone, and what the model does not know."""
        assert self._owner is not None
        examples = {message.id for message in self._owner.current_agent.chat_ctx}
        for_reply, news = "", []
        for message in messages[1:] if _instructions(messages) else messages:
            if message.extra.get("kind") == "reply_instructions":
                for_reply = message.content
            elif message.id not in self._sent:
                self._sent.add(message.id)
                if message.id in examples or not self._is_known(message):
                    news.append(message)
        return for_reply, news

    def _is_known(self, message: ChatMessage) -> bool:
        """Whether the model heard or said it itself."""
        if message.role == "user":
            return bool(message.extra.get(HEARD_BY_MODEL))
        if message.role == "assistant":
            if message.tool_calls:
                return all(call.id in self._calls for call in message.tool_calls)
            return not message.extra.get(SAID)
        return False


def _instructions(messages: Sequence[ChatMessage]) -> str:
    """Those of the agent, with which a conversation begins."""
    return messages[0].content if messages and messages[0].role == "system" else ""


async def _close(session: RealtimeSession, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await session.aclose()
    except TimeoutError:
        logger.warning("the realtime model did not close its session within %g s", timeout)
