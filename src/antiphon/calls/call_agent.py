"""The agent's side of one call: its place in the room, its conversation, and what is written down of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..assistants.function_tools import FunctionTools
from ..models.errors import AntiphonError
from ..models.tools import FunctionTool
from ..observability.call_observer import CallObservers
from ..rooms import ParticipantKind, Room, RoomEvent
from ..rooms.room_host import RoomHost
from ..store import NotFound, Store
from ..voice import CloseReason, SessionClosed, SessionEvent
from .assistant import Assistant
from .call_metrics import CallMetrics, usage_of
from .call_parts import CallOptions
from .lifecycle_events import Errored, Event, RoomClosed
from .runtime import CallRuntime, make_tool
from .session_end import event_of_close
from .tools import TOOLS
from .transcript import TranscriptWriter

logger = logging.getLogger(__name__)

IDENTITY = "agent"
CLOSE_TIMEOUT = 15.0  # seconds for the session to end


@dataclass(frozen=True)
class Setting:
    """What an agent is prepared for.

    Attributes:
        call_id: of the record.
        room: the room's name.
        assistant: who answers.
        call: what tools may tell web services of the call.
        caller_identity: who in the room is the caller, if that is known.
    """

    call_id: str
    room: str
    assistant: Assistant
    call: Mapping[str, Any]
    caller_identity: str | None = None


class CallAgent:
    """Made for each call; `prepare` brings it into the room, `aclose` ends it.

    Attributes:
        room: as the agent joined it; None before.
        runtime: the conversation; None before.
    """

    def __init__(
        self,
        setting: Setting,
        *,
        store: Store,
        rooms: RoomHost,
        options: CallOptions,
        observers: CallObservers,
        now: Callable[[], float],
        tell: Callable[[Event], None],
    ) -> None:
        """Prepare nothing yet.

        Args:
            setting: what for.
            store: for tools and the transcript.
            rooms: where the room is.
            options: how calls are run.
            observers: are shown the session.
            now: seconds since 1970.
            tell: takes what happens to the agent.
        """
        self.room: Room | None = None
        self.runtime: CallRuntime | None = None
        self._setting = setting
        self._store = store
        self._rooms = rooms
        self._options = options
        self._observers = observers
        self._tell = tell
        self._metrics = CallMetrics()
        self._transcript = TranscriptWriter(store, setting.call_id, now, on_hold=self._on_hold)
        self._ending: asyncio.Task[None] | None = None

    async def join(self) -> Room:
        """Be in the room, so that its events are heard."""
        setting = self._setting
        self.room = await self._rooms.join(
            setting.room, IDENTITY, ParticipantKind.AGENT, name=setting.assistant.name
        )
        self.room.on(RoomEvent.DISCONNECTED, self._disconnected)
        return self.room

    async def prepare(
        self, variables: Mapping[str, Any], call_doc: Mapping[str, Any], built_in: Sequence[FunctionTool]
    ) -> None:
        """Make the conversation and load its models; returns when the agent is ready.

        Args:
            variables: for the placeholders of its texts.
            call_doc: the call's document, for those who watch.
            built_in: tools beside those of the assistant.

        Raises:
            AntiphonError: it cannot take this call; the message says why.
        """
        setting, options = self._setting, self._options
        tools = [*await self._tools(), *built_in]
        self.runtime = runtime = CallRuntime(
            setting.assistant,
            variables,
            tools=tools,
            room=self.room,
            vad=options.vad,
            sounds=options.sounds,
            turn_detector=options.turn_detector,
            caller_identity=setting.caller_identity,
        )
        session = runtime.session
        self._metrics.attach(session)
        self._transcript.attach(session)
        session.once(SessionEvent.CLOSE, self._session_closed)
        self._observers.call_started(setting.call_id, call_doc, session)
        await runtime.start()
        if session.closed:
            raise AntiphonError("the conversation ended before it began")

    def record(self, call_seconds: float) -> dict[str, Any]:
        """`usage` and `metrics` of the call's document."""
        runtime = self.runtime
        usage = usage_of(
            None if runtime is None else runtime.usage,
            heard_seconds=0.0 if runtime is None else runtime.heard_seconds,
            call_seconds=call_seconds,
        )
        return {"usage": usage, "metrics": self._metrics.summary()}

    async def aclose(self, reason: CloseReason) -> None:
        """End the conversation, leave the room, and write down the last of it, if the store takes it soon.

        Safe to call twice and from several tasks.
        """
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(
                self._aclose(reason), name=f"agent of {self._setting.call_id}"
            )
        await asyncio.shield(self._ending)

    async def _aclose(self, reason: CloseReason) -> None:
        if self.runtime is not None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    self.runtime.session.shutdown(drain=False, reason=reason)
                    await self.runtime.aclose()
            except Exception:
                logger.exception("call %s: ending the conversation failed", self._setting.call_id)
        await self._transcript.flush(self._options.flush_seconds)
        if self.room is not None:
            self.room.off(RoomEvent.DISCONNECTED, self._disconnected)
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self.room.disconnect()
            except Exception:
                logger.exception("call %s: the agent's leaving the room failed", self._setting.call_id)

    async def finish_transcript(self) -> None:
        """Give the store a last chance to take the transcript, and write nothing any more. Safe to call twice."""
        if not await self._transcript.flush(self._options.flush_seconds):
            logger.error("call %s: parts of its transcript are lost", self._setting.call_id)
        await self._transcript.aclose()

    async def _tools(self) -> list[FunctionTool]:
        """The assistant's tools. One that is gone or cannot be made is left out: the call goes on without it."""
        tools: list[FunctionTool] = []
        functions = FunctionTools()  # what tools of one set keep, they share in this call
        for id in self._setting.assistant.tools:
            try:
                definition = await TOOLS.load(self._store, id)
                tools.append(
                    make_tool(
                        definition, self._setting.call, policy=self._options.outbound, functions=functions
                    )
                )
            except NotFound:
                logger.warning("assistant %r: there is no tool %s", self._setting.assistant.name, id)
            except AntiphonError as error:
                logger.warning("assistant %r: tool %s: %s", self._setting.assistant.name, id, error)
        return tools

    def _on_hold(self) -> bool:
        return self.runtime is not None and self.runtime.hold.is_on_hold

    def _disconnected(self, _reason: str) -> None:
        self._tell(RoomClosed())

    def _session_closed(self, event: SessionClosed) -> None:
        if event.reason is CloseReason.ERROR and event.error is not None:
            self._tell(Errored(f"the conversation could not go on: {event.error}"))
        else:
            self._tell(event_of_close(event.reason))
