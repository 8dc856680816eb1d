"""One call, from its first ring or its dialling to its end, in this process.

The pure machine of `lifecycle` decides; this carries out what it asks for. Changes of the record are handed to the record
at once, in order; what follows a change waits for it a moment (`CallOptions.patience`), but never for a store that is down.
Once the call is over, everything else is let be and the end is carried out by itself: the leg first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ..models.errors import AntiphonError
from ..models.tools import FunctionTool
from ..observability.call_observer import CallObservers
from ..observability.log_context import log_fields
from ..rooms.room_host import RoomHost
from ..store import Document as Stored
from ..store import StoreError
from ..telephony import Dialler, DialRequest, IncomingCall, Leg, LegEvent
from ..voice.task_scope import TaskScope
from .call_actions import CallActions
from .call_agent import CallAgent
from .call_ending import RECORDER_TIMEOUT, CallEnding
from .call_parts import CallOptions, DialFailure, HostClosing, Recorder, Recorders
from .call_record import CallRecord
from .call_requests import CallRequest, RequestType
from .leg_events import event_of_leg
from .lifecycle import CallState, step
from .lifecycle_effects import (
    AllowSpeech,
    AnswerCall,
    CancelTimer,
    Commit,
    DeliverStartInstruction,
    Effect,
    SetTimer,
    StartRecording,
)
from .lifecycle_events import (
    AgentReady,
    CancelRequested,
    DialFailed,
    Dispatched,
    Errored,
    Event,
    NoPlace,
    PeerHungUp,
    Shutdown,
    Superseded,
    TimerFired,
)
from .room_leg import RoomLeg
from .status import TERMINAL, CallStatus

logger = logging.getLogger(__name__)

Written = asyncio.Future[bool]
NoPlaceCheck = Callable[[Stored], Awaitable[str | None]]


class RunningCall:
    """Made by `CallHost`, which also renews its lease.

    Attributes:
        record: the call's document.
        agent: the agent's side.
        leg: the far end; None before it is dialled.
        actions: what can be done in it.
    """

    def __init__(
        self,
        state: CallState,
        record: CallRecord,
        agent: CallAgent,
        *,
        rooms: RoomHost,
        options: CallOptions,
        observers: CallObservers,
        recorders: Recorders | None = None,
        caller_identity: str | None = None,
    ) -> None:
        self.record = record
        self.agent = agent
        self.leg: Leg | None = None
        self._state = state
        self._rooms = rooms
        self._options = options
        self._observers = observers
        self._recorders = recorders
        self._recorder: Recorder | None = None
        self._caller_identity = caller_identity
        self._loop = asyncio.get_running_loop()
        with log_fields(call_id=record.id, assistant=record.document.get("assistant_name")):
            self._scope = TaskScope(f"call {record.id}", self._task_failed)
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._work: deque[Sequence[Effect | Written]] = deque()
        self._work_filled = asyncio.Event()
        self._last_written: Written | None = None
        self._over = asyncio.Event()
        self._last_effects: Sequence[Effect] = ()
        self.actions = CallActions(self, self._scope, options)
        self._dialling: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._worker: asyncio.Task[None] | None = None
        self._main: asyncio.Task[None] | None = None

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def room(self) -> str:
        return str(self.record.document["room"])

    @property
    def status(self) -> CallStatus:
        """As decided; the store may be behind."""
        return self._state.status

    @property
    def document(self) -> Stored:
        """As last written."""
        return self.record.document

    @property
    def over(self) -> bool:
        """Whether it has ended, or went back into the queue; it may still be tidying up."""
        return self._over.is_set()

    @property
    def session(self) -> Any:
        """The conversation; None before the agent is there."""
        return None if self.agent.runtime is None else self.agent.runtime.session

    async def wait(self) -> Stored:
        """Wait until all is over and written; returns the document. Cancelling the wait does not end the call."""
        if self._main is not None:
            await asyncio.wait([self._main])
        return self.document

    def shut_down(self) -> None:
        """The process ends. A call that was not dialled yet stays in the queue."""
        if self._state.status is CallStatus.QUEUED:
            self._over.set()
        else:
            self.feed(Shutdown())

    async def abort(self) -> None:
        """Let everything go without writing an end, if it has not ended yet."""
        if self._main is not None and not self._main.done():
            self._main.cancel()
            await asyncio.wait([self._main])

    # -- its beginning ---------------------------------------------------------------------------------------------

    def start(self, effects: Sequence[Effect] = ()) -> asyncio.Task[None]:
        """Begin; the task ends when the call is over and tidied up.

        Args:
            effects: what `lifecycle.begin` asked for, without the commit that made the document.
        """
        self._main = self._loop.create_task(self._run(), name=f"call {self.id}", context=self._scope.context)
        self._worker = self._scope.spawn(self._carry_out(), name="effects")
        self._scope.spawn(self.actions.serve(), name="requests")
        self._scope.context.run(self._take_effects, effects)
        return self._main

    def prepare_agent(
        self,
        variables: Mapping[str, Any] | Awaitable[Mapping[str, Any]],
        built_in: Sequence[FunctionTool] = (),
        *,
        watched: str | None = None,
        no_place: NoPlaceCheck | None = None,
    ) -> None:
        """Bring the agent into the conversation, in a task of the call.

        Args:
            variables: for its texts, or what comes to know them.
            built_in: tools beside those of the assistant.
            watched: the participant who is the far end, when there is no leg.
            no_place: asked before; see `CallHost.start_inbound`.
        """
        preparing = self._prepare_agent(variables, built_in, watched, no_place)
        self._preparing = self._scope.spawn(preparing, name="agent")

    async def _prepare_agent(
        self,
        variables: Mapping[str, Any] | Awaitable[Mapping[str, Any]],
        built_in: Sequence[FunctionTool],
        watched: str | None,
        no_place: NoPlaceCheck | None,
    ) -> None:
        if no_place is not None and (why := await no_place(self.document)) is not None:
            self.feed(NoPlace(why))
            return
        try:
            room = await self.agent.join()
            if watched is not None:
                leg = RoomLeg(room, watched)
                self.watch(leg)
                leg.start()
            if isinstance(variables, Awaitable):
                variables = await variables
                self.record.set(
                    {"variables": _plain(variables, "context"), "context": variables.get("context", {})}
                )
            document = self.document
            known = {name: document.get(name) or "" for name in ("caller_number", "called_number")}
            await self.agent.prepare(
                {"call_id": self.id, **known, "context": {}, **variables}, document, built_in
            )
        except AntiphonError as error:
            if not self.over:
                logger.error("call %s: the agent cannot take it: %s", self.id, error)
            self.feed(Errored(f"the agent could not be started: {error}"))
        except Exception as error:
            logger.exception("call %s: the agent cannot take it", self.id)
            self.feed(Errored(f"the agent could not be started: {type(error).__name__}"))
        else:
            self.feed(AgentReady())

    def watch(self, leg: Leg) -> None:
        """Take a leg that is there already."""
        self.leg = leg
        leg.on_event = self.leg_event

    def receive(self, incoming: IncomingCall) -> None:
        """Let the caller hear it ring, and have their leg join the room, in a task of the call."""
        self.watch(incoming.leg)
        self._scope.spawn(self._receive(incoming), name="ring")

    async def _receive(self, incoming: IncomingCall) -> None:
        try:
            async with asyncio.timeout(self._options.leg_seconds):
                await incoming.ring()
                await incoming.join(self.room)
        except Exception as error:
            if self.over:
                logger.info("call %s: the caller gave up before they were connected", self.id)
                return
            logger.exception("call %s: the caller cannot be connected", self.id)
            self.feed(Errored(f"the caller could not be connected: {error or type(error).__name__}"))

    def leg_event(self, event: LegEvent) -> None:
        """Something happened to the leg."""
        self.feed(event_of_leg(event))

    async def dial(self, dialler: Dialler, request: DialRequest, on_dispatched: Callable[[], None]) -> None:
        """Send the attempt, once the record says so; returns when it is under way or has ended.

        Args:
            dialler: sends it.
            request: what to send.
            on_dispatched: called when the record says so.

        Raises:
            HostClosing: the process ends; nothing was sent.
            DialFailure: nothing was sent.
        """
        if self._over.is_set():
            raise HostClosing("this process is shutting down and dials nobody any more")
        self.feed(Dispatched())
        if not await self._dispatched():
            await self.wait()
            if self.record.refused is not None:
                return  # somebody else ended it
            raise DialFailure(f"call {self.id}: the store did not take that it is dialled", self.document)
        if self._over.is_set():
            return
        on_dispatched()
        self._dialling = self._scope.spawn(self._dial(dialler, request), name="dial")
        await asyncio.wait([self._dialling], timeout=self._options.leg_seconds)
        if not self._dialling.done():
            self.feed(Errored(f"dialling took longer than {self._options.leg_seconds:g} s"))
        elif self.status is CallStatus.QUEUED:
            document = await self.wait()
            raise DialFailure(str(document.get("detail") or "the attempt could not begin"), document)

    async def _dispatched(self) -> bool:
        """Whether it is on record, beyond doubt, that the call is about to be dialled."""
        written = self._last_written
        if written is None:
            return False
        await asyncio.wait([written], timeout=self._options.commit_seconds)
        if written.done():
            return not written.cancelled() and written.result()
        await self.record.aclose()
        self.feed(Superseded(CallStatus.FAILED))
        return False

    async def _dial(self, dialler: Dialler, request: DialRequest) -> None:
        try:
            self.leg = await dialler.dial(request, self.leg_event)
        except AntiphonError as error:
            self.feed(DialFailed(str(error)))
            self.feed(Errored(str(error)))  # if it had begun after all
        except Exception as error:
            logger.exception("call %s: dialling failed", self.id)
            self.feed(Errored(f"dialling failed: {type(error).__name__}"))

    # -- what happens to it ----------------------------------------------------------------------------------------

    def feed(self, event: Event) -> None:
        """Something happened: decide what follows, and let it be done."""
        if self.over or self._main is None:
            return
        if isinstance(event, PeerHungUp) and self.actions.hold_back(event):
            return
        dialling = self._state.status is CallStatus.DIALING
        self._state, effects = step(self._state, event, self._loop.time())
        requeued = dialling and self._state.status is CallStatus.QUEUED
        if self._state.status in TERMINAL or requeued:
            self._last_effects = effects
            self._over.set()
        else:
            self._take_effects(effects)

    def _take_effects(self, effects: Sequence[Effect]) -> None:
        """Set timers and hand changes to the record now; the rest is carried out in order."""
        rest: list[Effect | Written] = []
        for effect in effects:
            match effect:
                case SetTimer(name, at):
                    self._timers[name] = self._loop.call_at(at, self._fire, name)
                case CancelTimer(name):
                    self._cancel_timer(name)
                case Commit():
                    self._last_written = written = self.record.commit(effect)
                    written.add_done_callback(self._commit_done)
                    rest.append(written)
                case _:
                    rest.append(effect)
        if rest:
            self._work.append(rest)
            self._work_filled.set()

    def _fire(self, name: str) -> None:
        self._timers.pop(name, None)
        self.feed(TimerFired(name))

    def _cancel_timer(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

    def _commit_done(self, written: Written) -> None:
        if not written.cancelled() and not written.result():
            self.feed(Superseded(self.record.refused or CallStatus.FAILED))

    async def lease_lost(self) -> None:
        """Somebody else has the call: they ended it, so it is let go."""
        if self.over:
            return
        try:
            status = CallStatus((await self.record.read())["status"])
        except (StoreError, TimeoutError):
            status = CallStatus.FAILED
        logger.warning("call %s: its lease is lost", self.id)
        self.feed(Superseded(status if status in TERMINAL else CallStatus.FAILED))

    def _task_failed(self, error: BaseException) -> None:
        logger.error("call %s: a task of it failed", self.id, exc_info=error)
        self.feed(Errored(f"an internal error: {type(error).__name__}"))

    # -- what is done ----------------------------------------------------------------------------------------------

    async def _carry_out(self) -> None:
        while True:
            while self._work:
                await self._carry_out_step(self._work.popleft())
            self._work_filled.clear()
            await self._work_filled.wait()

    async def _carry_out_step(self, effects: Sequence[Effect | Written]) -> None:
        for effect in effects:
            if isinstance(effect, asyncio.Future):
                await asyncio.wait([effect], timeout=self._options.patience)
                if effect.done() and (effect.cancelled() or not effect.result()):
                    return  # what would follow is no longer this owner's business
                continue
            try:
                await self._perform(effect)
            except Exception as error:
                logger.exception("call %s: %s failed", self.id, type(effect).__name__)
                if isinstance(effect, AnswerCall):
                    self.feed(Errored(f"the call could not be answered: {error or type(error).__name__}"))

    async def _perform(self, effect: Effect) -> None:
        runtime = self.agent.runtime
        match effect:
            case AnswerCall() if self.leg is not None:
                await self.leg.answer()
            case AllowSpeech() if runtime is not None:
                await runtime.open()
            case DeliverStartInstruction() if runtime is not None and not runtime.session.closed:
                await runtime.open()  # when the agent came after the answer
                runtime.deliver_start_instruction()
            case StartRecording() if self._recorders is not None:
                self._recorder = self._recorders.recorder(
                    self.id, self._rooms, self.room, caller_identity=self._caller_identity
                )
                async with asyncio.timeout(RECORDER_TIMEOUT):
                    await self._recorder.start()
                self.record.set({"recording": self._recorder.info.summary})

    # -- what is asked of it ---------------------------------------------------------------------------------------

    def request(self, request: CallRequest) -> None:
        """Carry a request out: a hang-up at once, others in order."""
        if request.type is RequestType.HANG_UP:
            self.feed(CancelRequested())
        else:
            self.actions.add(request)

    # -- its end ---------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._over.wait()
            for task in (self._worker, self._preparing):
                if task is not None:
                    task.cancel()
            self._cancel_timers()
            await self._ending().carry_out(self._last_effects)
        except Exception:
            logger.exception("call %s: its end failed; a supervisor will write it", self.id)
        finally:
            self._over.set()
            self._cancel_timers()
            await self._ending().let_go()
            if self._state.status in TERMINAL or self.session is not None:
                self._observers.call_ended(self.id, self.document)

    def _ending(self) -> CallEnding:
        return CallEnding(
            state=self._state,
            record=self.record,
            agent=self.agent,
            leg=lambda: self.leg,
            rooms=self._rooms,
            room=self.room,
            options=self._options,
            scope=self._scope,
            preparing=self._preparing,
            dialling=self._dialling,
            recorder=self._recorder,
        )

    def _cancel_timers(self) -> None:
        for name in tuple(self._timers):
            self._cancel_timer(name)


def _plain(variables: Mapping[str, Any], *without: str) -> dict[str, Any]:
    return {name: value for name, value in variables.items() if name not in without}
