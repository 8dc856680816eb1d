"""A session: one agent, or several in turn, talking with one user."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Callable, Sequence
from typing import Any, Generic, TypeVar

from ..audio import AudioFrame
from ..models.chat_context import ChatContext
from ..models.errors import describe
from ..models.llm import LLM, ToolChoice
from ..models.realtime import RealtimeModel
from ..models.stt import STT
from ..models.tools import FunctionTool, function_tool
from ..models.tts import TTS
from ..models.vad import VAD
from ..rooms import AudioOutput, Room
from ..turns import (
    AgentState,
    CommitRequested,
    Hold,
    InterruptRequested,
    TextInput,
    UserState,
)
from . import nodes
from .agent import Agent
from .conversation import Conversation, require_llm
from .emitter import Emitter, Listener
from .events import (
    AgentStateChanged,
    CloseReason,
    ErrorOccurred,
    SessionClosed,
    SessionEvent,
    UserStateChanged,
)
from .options import read_options
from .realtime_link import RealtimeLink
from .realtime_session import RealtimeParts, realtime_options
from .recognition import NoiseFilter, Recognition
from .room_io import AudioInputOptions, RoomIO, RoomOptions
from .session_clock import SessionClock
from .session_owner import session_owner
from .speech_handle import SpeechHandle
from .task_scope import TaskScope
from .turn_detection import AnyTurnDetector, choose

logger = logging.getLogger(__name__)

UserdataT = TypeVar("UserdataT")
DRAIN_TIMEOUT = 30.0  # seconds for what is being said to end before a shutdown goes on without it


class AgentSession(Generic[UserdataT]):
    """Talks with one user: listens, takes turns, answers.

    Create it with models (objects, or names such as `"deepgram/nova-3"`), `start` it with an agent, and listen with `on`
    to the events of `SessionEvent`. It closes exactly once, with a `close` event.
    """

    def __init__(
        self,
        *,
        stt: STT | str | None = None,
        vad: VAD | str | None = None,
        llm: LLM | RealtimeModel | str | None = None,
        tts: TTS | str | None = None,
        realtime: RealtimeModel | str | None = None,
        turn_detection: str | AnyTurnDetector | None = None,
        tools: Sequence[FunctionTool | Callable[..., Any]] | None = None,
        userdata: UserdataT | None = None,
        audio_input: AudioInputOptions | None = None,
        **options: Any,
    ) -> None:
        """Prepare a session.

        Args:
            stt: the recogniser. Without one the user can only type.
            vad: the voice activity detector. Without one, turns end by the recogniser's final transcripts.
            llm: the language model.
            tts: the voice. Without one, replies are text.
            realtime: a model that hears the user and answers, in place of `stt` and `llm`; it may be given as `llm` too. It
                speaks by itself or, set up for text, through `tts`. Without a `vad` it also says who speaks when.
            turn_detection: what ends a turn. `"auto"`, the default: silence, for long or short as the words sound finished
                where the detector of the package knows the language; `"vad"`: silence alone; `"audio"`: silence, as the
                voice sounds finished; `"stt"`: final transcripts; `"manual"`: `commit_user_turn`. Or a detector of your
                own, a `TurnDetector` or `AudioTurnDetector`.
            tools: tools that every agent of this session has.
            userdata: anything; tools find it in their `RunContext`.
            audio_input: how the caller's audio is treated, when `start` is not told otherwise.
            **options: any field of `TurnOptions` or `SessionOptions`, as `min_endpointing_delay=0.5`.

        Raises:
            ConfigurationError: a model's name is unknown, its package or key is missing, or an option does not exist.
        """
        self._take_models(stt, vad, llm, tts, realtime)
        if self.realtime is not None:
            turn_detection, options = realtime_options(turn_detection, options)
        self.userdata = userdata
        self.tools = [tool if isinstance(tool, FunctionTool) else function_tool(tool) for tool in tools or ()]
        mode, self._detector = choose(turn_detection, has_words=self.stt is not None)
        self.options = read_options(options, turn_detection=mode, vad=self.vad, stt=self.stt)
        self._audio_input = audio_input
        self._scope = TaskScope("session", self._task_failed)
        self._listeners = TaskScope("session listeners", self._task_failed)
        self._emitter = Emitter(self._listeners)
        self._conversation: Conversation | None = None
        self._recognition: Recognition | None = None
        self._room_io: RoomIO | None = None
        self._agent: Agent | None = None
        self._closing: asyncio.Task[None] | None = None
        self._closed = False
        self._shutdown_reason: CloseReason | None = None
        self._failure: BaseException | None = None

    def _take_models(
        self,
        stt: STT | str | None,
        vad: VAD | str | None,
        llm: LLM | RealtimeModel | str | None,
        tts: TTS | str | None,
        realtime: RealtimeModel | str | None,
    ) -> None:
        """Find the models that were named, and put a realtime model in the places of those it stands for."""
        if isinstance(llm, RealtimeModel):
            llm, realtime = None, llm
        self.stt = nodes.resolve_stt(stt)
        self.vad = nodes.resolve_vad(vad)
        self.llm = nodes.resolve_llm(llm)
        self.tts = nodes.resolve_tts(tts)
        model = nodes.resolve_realtime(realtime)
        given = ((self.stt, stt), (self.vad, vad), (self.llm, llm), (self.tts, tts), (model, realtime))
        self._named = [found for found, name in given if isinstance(name, str) and found is not None]
        self.realtime: RealtimeLink | None = None
        if model is not None:
            parts = RealtimeParts(model, stt=self.stt, vad=self.vad, llm=self.llm, tts=self.tts)
            self.realtime, self.vad, self.llm, self.tts = parts.link, parts.vad, parts.llm, parts.tts

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def current_agent(self) -> Agent:
        """The agent in charge. Raises RuntimeError before `start`."""
        if self._agent is None:
            raise RuntimeError("the session was not started: call await session.start(agent) first")
        return self._agent

    @property
    def conversation(self) -> Conversation:
        """The running conversation. Raises RuntimeError before `start`."""
        if self._conversation is None:
            raise RuntimeError("the session was not started: call await session.start(agent) first")
        return self._conversation

    @property
    def recognition(self) -> Recognition:
        """The listening side. Raises RuntimeError before `start`."""
        if self._recognition is None:
            raise RuntimeError("the session was not started: call await session.start(agent) first")
        return self._recognition

    @property
    def history(self) -> ChatContext:
        """What was said and done so far."""
        return self.conversation.log.snapshot()

    @property
    def agent_state(self) -> AgentState:
        return self._conversation.driver.state.agent if self._conversation else AgentState.IDLE

    @property
    def user_state(self) -> UserState:
        return self._conversation.driver.state.user if self._conversation else UserState.SILENT

    @property
    def running_tools(self) -> int:
        """How many tools run now, those of interrupted replies included."""
        return len(self._conversation.driver.state.running_tools) if self._conversation else 0

    @property
    def current_speech(self) -> SpeechHandle | None:
        """What is being heard now."""
        return self._conversation.audible_speech if self._conversation else None

    @property
    def closed(self) -> bool:
        return self._closed

    # -- events ----------------------------------------------------------------------------------------------------

    def on(self, event: str, listener: Listener | None = None) -> Listener:
        """Listen to a `SessionEvent`; usable as a decorator. Coroutine functions run as tasks of the session."""
        return self._emitter.on(event, listener)

    def once(self, event: str, listener: Listener | None = None) -> Listener:
        return self._emitter.once(event, listener)

    def off(self, event: str, listener: Listener) -> None:
        self._emitter.off(event, listener)

    def emit(self, event: str, payload: object) -> None:
        self._emitter.emit(event, payload)

    # -- start -----------------------------------------------------------------------------------------------------

    async def start(
        self,
        agent: Agent,
        *,
        room: Room | None = None,
        room_options: RoomOptions | None = None,
        audio_output: AudioOutput | None = None,
        noise_filter: NoiseFilter | None = None,
    ) -> None:
        """Begin. Returns when the session listens; the agent's `on_enter` runs beside.

        Args:
            agent: who is in charge first.
            room: where the user is; audio, text and events go through it.
            room_options: what of the room is used, and how.
            audio_output: where the voice goes when there is no room; then `push_audio` takes the user's audio.
            noise_filter: cleans the user's audio when there is no room.

        Raises:
            RuntimeError: started before, or closed.
        """
        if self._conversation is not None or self._closed:
            raise RuntimeError("a session starts once; create another AgentSession")
        if (owner := session_owner.get()) is not None:
            owner(self)
        loop = asyncio.get_running_loop()
        clock = SessionClock(loop)
        self._agent = agent
        agent.attach(self)
        self._conversation = conversation = Conversation(
            self,
            options=self.options,
            clock=clock,
            scope=self._scope,
            emit=self._emitter.emit,
            detector=self._detector,
        )
        self._recognition = Recognition(self, conversation, clock)
        conversation.playout.output = audio_output
        if room is not None:
            room_options = room_options or RoomOptions(audio_input=self._audio_input or AudioInputOptions())
            self._room_io = RoomIO(self, room, room_options, self._scope)
            await self._room_io.start()
        if self.realtime is not None:
            self.realtime.start(self)
        await self._prewarm()
        if self._closing is not None:
            return
        self._recognition.start(self.vad, noise_filter)
        self._scope.spawn(self._enter(agent), name="on_enter")

    async def _prewarm(self) -> None:
        """Load models and open connections side by side. One that cannot will fail again, and louder, when needed."""
        models = [m for m in (self.stt, self.vad, self.llm, self.tts) if m is not None]
        tasks = [self._scope.spawn(model.prewarm(), name=f"prewarm {model.label}") for model in models]
        if (prewarm := getattr(self._detector, "prewarm", None)) is not None:
            tasks.append(self._scope.spawn(prewarm(), name="prewarm turn detector"))
        if tasks:
            await asyncio.wait(tasks, timeout=self.options.hook_timeout)

    async def _enter(self, agent: Agent) -> None:
        await agent.on_enter()

    async def change_agent(self, agent: Agent) -> None:
        """Put `agent` in charge: the old one's `on_exit`, then the new one's `on_enter`."""
        old = self.current_agent
        if agent is old:
            return
        await self._exit(old)
        self._agent = agent
        agent.attach(self)
        await self.recognition.restart_transcriber()
        self._scope.spawn(self._enter(agent), name="on_enter")

    async def _exit(self, agent: Agent) -> None:
        try:
            async with asyncio.timeout(self.options.hook_timeout):
                await agent.on_exit()
        except Exception as error:
            logger.exception("on_exit of %s failed", type(agent).__name__)
            self.emit(SessionEvent.ERROR, ErrorOccurred(error, source="on_exit"))

    def update_agent(self, agent: Agent) -> asyncio.Task[None]:
        """Hand the conversation to another agent; may be awaited."""
        return self._scope.spawn(self.conversation.hand_over(agent), name="hand-over")

    # -- the user's side -------------------------------------------------------------------------------------------

    def push_audio(self, frame: AudioFrame) -> None:
        """Take the user's next audio, in real time, of any rate and length."""
        if self._recognition is not None and self._closing is None:
            self._recognition.push_frame(frame)

    def input_text(self, text: str) -> None:
        """The user typed `text`: it interrupts the agent and is answered."""
        self.conversation.driver.dispatch(TextInput(text))

    def commit_user_turn(self) -> None:
        """End the user's turn now; the only way with `turn_detection="manual"`."""
        self.conversation.driver.dispatch(CommitRequested())

    def hold(self, on: bool) -> None:
        """The call is on hold: say nothing, hear nothing, until it is taken back."""
        self.recognition.ignore(on)
        self.conversation.driver.dispatch(Hold(on))

    # -- the agent's side ------------------------------------------------------------------------------------------

    def say(
        self,
        text: str | AsyncIterable[str] | None = None,
        *,
        audio: AsyncIterable[AudioFrame] | None = None,
        allow_interruptions: bool | None = None,
        add_to_chat_ctx: bool = True,
        stopgap: bool = False,
    ) -> SpeechHandle:
        """Say a given text, or play audio with its text, after what is already queued.

        Args:
            text: what to say.
            audio: what is heard of it; None: the session's voice speaks it.
            allow_interruptions: None: as the session.
            add_to_chat_ctx: whether it becomes part of the conversation that the model sees.
            stopgap: only to fill a pause: said ahead of what is queued, and dropped if that is ready first.

        Returns:
            A handle; awaiting it waits until the text was heard or interrupted.
        """
        return self.conversation.say(
            text,
            audio=audio,
            allow_interruptions=self._interruptible(allow_interruptions),
            log=add_to_chat_ctx,
            stopgap=stopgap,
        )

    def generate_reply(
        self,
        *,
        user_input: str | None = None,
        instructions: str | None = None,
        allow_interruptions: bool | None = None,
        tool_choice: ToolChoice = "auto",
    ) -> SpeechHandle:
        """Have the model say something, after what is already queued.

        Args:
            user_input: answer this, as if the user had said it.
            instructions: what to say, for this reply only.
            allow_interruptions: None: as the session.
            tool_choice: whether tools may, must or must not be called.

        Returns:
            A handle; awaiting it waits until the reply was heard or interrupted.

        Raises:
            ConfigurationError: there is no language model.
        """
        require_llm(self)
        if user_input is not None:
            self.conversation.log_user(user_input)
        return self.conversation.generate(
            instructions=instructions,
            allow_interruptions=self._interruptible(allow_interruptions),
            tool_choice=tool_choice,
        )

    def interrupt(self, *, force: bool = False) -> None:
        """Stop what is said and what waits behind it; `force` includes what must not be interrupted."""
        self.conversation.driver.dispatch(InterruptRequested(force))

    def _interruptible(self, allowed: bool | None) -> bool:
        return self.options.turns.allow_interruptions if allowed is None else allowed

    def state_changed(
        self, old_agent: AgentState, agent: AgentState, old_user: UserState, user: UserState
    ) -> None:
        """Tell listeners; the conversation calls this."""
        if agent is not old_agent:
            self.emit(SessionEvent.AGENT_STATE_CHANGED, AgentStateChanged(old_agent, agent))
        if user is not old_user:
            self.emit(SessionEvent.USER_STATE_CHANGED, UserStateChanged(old_user, user))

    # -- the end ---------------------------------------------------------------------------------------------------

    def shutdown(self, *, drain: bool = True, reason: CloseReason | str = CloseReason.SHUTDOWN) -> None:
        """Close soon: after what is being said, when `drain`."""
        if self._shutdown_reason is None:
            self._shutdown_reason = (
                CloseReason(reason) if reason in list(CloseReason) else CloseReason.SHUTDOWN
            )
        if drain and self._conversation is not None and self._closing is None:
            self._conversation.when_quiet(self._begin_close)
            asyncio.get_running_loop().call_later(DRAIN_TIMEOUT, self._begin_close)
        else:
            self._begin_close()

    def fail(self, error: BaseException) -> None:
        """Close because of an error, once the user has been told."""
        if self._failure is None:
            self._failure = error
            self._shutdown_reason = CloseReason.ERROR
            self.shutdown()

    async def aclose(self) -> None:
        """Close now. Returns when all is ended; safe to call twice and from a tool of this session."""
        self._begin_close()
        assert self._closing is not None
        await asyncio.shield(self._closing)

    def _begin_close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(
                self._close(), name="session close", context=self._scope.context
            )

    async def _close(self) -> None:
        """End each part within a deadline, whatever the parts before it did."""
        reason = self._shutdown_reason or CloseReason.USER_INITIATED
        try:
            if self._recognition is not None:
                await self._within_deadline(self._recognition.aclose(), "recognition")
            if self._agent is not None:
                await self._exit(self._agent)
            self._close_conversation()
            unfinished = await self._scope.aclose(self.options.close_timeout)
            if unfinished:
                logger.warning(
                    "did not end within %g s: %s", self.options.close_timeout, ", ".join(unfinished)
                )
            await self._close_models()
        finally:
            self._closed = True
            self.emit(SessionEvent.CLOSE, SessionClosed(reason, self._failure))
            if self._room_io is not None:
                await self._within_deadline(self._room_io.aclose(), "room")
            await self._listeners.finish(self.options.close_timeout)

    def _close_conversation(self) -> None:
        if self._conversation is not None:
            try:
                self._conversation.close()
            except Exception:
                logger.exception("ending the conversation failed; what is left of it is cancelled")

    async def _close_models(self) -> None:
        """Free the models that the session made from names; those that were given to it are not its own."""
        for model in self._named:
            await self._within_deadline(model.aclose(), model.label)
        if self._conversation is not None:
            await self._within_deadline(self._conversation.health.aclose(), "emergency voice")

    async def _within_deadline(self, closing: Any, what: str) -> None:
        try:
            async with asyncio.timeout(self.options.close_timeout):
                await closing
        except Exception as error:
            logger.warning("closing %s failed: %s", what, describe(error))

    def _task_failed(self, error: BaseException) -> None:
        logger.error("a task of the session failed", exc_info=error)
        self.emit(SessionEvent.ERROR, ErrorOccurred(error, source="session"))
