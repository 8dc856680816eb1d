"""The calls that this process runs: begins them, keeps their leases, brings them what is asked of them, and ends them."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..models.errors import AntiphonError
from ..models.tools import FunctionTool
from ..observability.call_observer import CallObserver, CallObservers
from ..rooms.room_host import RoomHost
from ..store import Conflict, LeaseLost, NotFound, OneOf, Store, StoreError
from ..store import Document as Stored
from ..store.filters import Condition
from ..telephony import Dialler, DialRequest, IncomingCall, Leg
from ..voice.builtin_tools import send_dtmf_tool, transfer_call_tool
from .assistant import Assistant
from .assistants import ASSISTANTS
from .call_agent import CallAgent, Setting
from .call_parts import CallOptions, DialFailure, HostClosing, Recorders
from .call_record import COLLECTION, CallRecord, create_call, wall_clock
from .call_requests import RequestType, end_queued, take
from .document import parse
from .lifecycle import CallPlan, CallState, begin
from .lifecycle_effects import Commit, Effect
from .lifecycle_events import CancelRequested, Errored
from .resource import own_fields
from .running_call import NoPlaceCheck, RunningCall
from .runtime import make_plan
from .status import CallDirection, CallStatus

__all__ = ["CallHost", "HostClosing"]

logger = logging.getLogger(__name__)

RENEWALS_AT_ONCE = 16
_PAGE = 200

Variables = Mapping[str, Any] | Awaitable[Mapping[str, Any]]


class CallHost:
    """Owner of every call that runs in this process.

    Documents of assistants are taken as the store gives them with `reveal=True`.
    """

    def __init__(
        self,
        store: Store,
        rooms: RoomHost,
        *,
        process_id: str | None = None,
        options: CallOptions | None = None,
        recorders: Recorders | None = None,
        observers: Sequence[CallObserver] = (),
    ) -> None:
        """Prepare; `start` begins to renew leases and to look for requests.

        Args:
            store: where the records are.
            rooms: where the conversations take place.
            process_id: what the records name as their owner; None: a new name.
            options: how calls are run.
            recorders: what records them; None: nothing does.
            observers: are told of each call's session and end.
        """
        self.process_id = process_id or f"process-{uuid.uuid4().hex[:12]}"
        self.options = options or CallOptions()
        self._store = store
        self._rooms = rooms
        self._recorders = recorders
        self._observers = CallObservers(observers)
        self._calls: dict[str, RunningCall] = {}
        self._taking: dict[str, asyncio.Lock] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._pokes: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def calls(self) -> Mapping[str, RunningCall]:
        """The calls that run now, by id."""
        return self._calls

    def get(self, call_id: str) -> RunningCall | None:
        """A call that runs here."""
        return self._calls.get(call_id)

    def start(self) -> None:
        """Begin to work; called by itself with the first call."""
        if not self._tasks and not self._closing:
            loop = asyncio.get_running_loop()
            self._tasks = [
                loop.create_task(self._renew_leases(), name="call leases"),
                loop.create_task(self._poll_requests(), name="call requests"),
            ]

    # -- beginning calls -------------------------------------------------------------------------------------------

    async def start_web(
        self,
        assistant_doc: Mapping[str, Any],
        room: str,
        identity: str,
        leg: Leg | None = None,
        variables: Variables | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        call_id: str | None = None,
    ) -> RunningCall:
        """A call with somebody in a room: answered from the beginning.

        Args:
            assistant_doc: who answers.
            room: its name; the caller is in it, or comes.
            identity: of the caller.
            leg: the caller's side; None: they are watched in the room.
            variables: for the assistant's texts, or what comes to know them while the call begins.
            metadata: for the record.
            call_id: None: a new one.

        Raises:
            HostClosing: the process ends.
            DocumentRefused: the assistant's document cannot be read.
            StoreError: there is no record, so there is no call.
        """
        fields = {"service": "web", "identity": identity, "metadata": dict(metadata or {})}
        call, effects, built_in = await self._create(
            assistant_doc, CallDirection.WEB, room, fields, variables, call_id, identity
        )
        self._adopt(call, effects)
        if leg is not None:
            call.watch(leg)
        call.prepare_agent(variables or {}, built_in, watched=identity if leg is None else None)
        return call

    async def start_inbound(
        self,
        incoming: IncomingCall,
        mapping: Mapping[str, Any],
        assistant_doc: Mapping[str, Any],
        variables: Variables | None = None,
        *,
        room: str | None = None,
        call_id: str | None = None,
        no_place: NoPlaceCheck | None = None,
    ) -> RunningCall:
        """Somebody calls one of our numbers: it rings, and is answered when the agent is ready.

        Args:
            incoming: who calls.
            mapping: the document of the number.
            assistant_doc, variables, call_id: as for `start_web`. What an awaitable gives is awaited while it rings.
            room: None: a new one.
            no_place: asked, with the record, before the agent is brought in: why there is no place for it after all, if so.

        Raises:
            HostClosing, DocumentRefused, StoreError: as for `start_web`; the caller was told nothing yet.
        """
        fields = {
            "service": incoming.service,
            "trunk_id": incoming.trunk_id or None,
            "caller_number": incoming.caller_number,
            "called_number": incoming.number,
            "inbound_id": mapping.get("id"),
        }
        room = room or f"call-{uuid.uuid4().hex[:16]}"
        call, effects, built_in = await self._create(
            assistant_doc, CallDirection.INBOUND, room, fields, variables, call_id, None
        )
        self._adopt(call, effects)
        call.receive(incoming)
        call.prepare_agent(variables or {}, built_in, no_place=no_place)
        return call

    async def run_outbound(self, claimed: Stored, dialler: Dialler) -> Stored:
        """Dial a queued call that was claimed, and run it to its end. Cancelling this does not end the call.

        Args:
            claimed: its document; the lease is the host's from now on.
            dialler: for its trunk.

        Returns:
            Its document at the end.

        Raises:
            HostClosing: the process ends; nothing was done.
            DialFailure: nothing was sent; the call is in the queue, and its lease is the caller's again.
        """
        self._refuse_when_closing()
        if any(request.get("type") == RequestType.HANG_UP for request in claimed.get("requests") or ()):
            return await self._end_queued(claimed, CancelRequested())
        try:
            assistant = await ASSISTANTS.load(self._store, claimed["assistant_id"])
            trunk = await self._trunk(claimed.get("trunk_id"))
        except StoreError as error:
            if error.retryable:
                raise DialFailure(str(error), claimed) from error
            return await self._end_queued(claimed, Errored(str(error)))
        except AntiphonError as error:
            return await self._end_queued(claimed, Errored(f"the assistant cannot be used: {error}"))
        if not assistant.active:
            return await self._end_queued(claimed, Errored("the assistant is not active any more"))
        plan = self._plan(assistant, CallDirection.OUTBOUND)
        setup = float(trunk.get("setup_seconds") or plan.limits.setup)
        plan = replace(plan, limits=replace(plan.limits, setup=setup))
        call, built_in = self._make(claimed, CallState(plan, CallStatus.QUEUED), assistant, None)
        self._adopt(call, ())
        call.record.set({"owner": self.process_id, "lease_seconds": self.options.lease_seconds})
        await self._renew(call)
        variables = {**(claimed.get("variables") or {}), "context": claimed.get("context") or {}}
        request = DialRequest(
            call_id=call.id,
            number=claimed["called_number"],
            caller_number=claimed.get("caller_number") or "",
            room=call.room,
            trunk=trunk,
            setup_seconds=plan.limits.setup,
        )
        await call.dial(dialler, request, lambda: call.prepare_agent(variables, built_in))
        return await call.wait()

    # -- requests --------------------------------------------------------------------------------------------------

    def poke(self, call_id: str) -> None:
        """Look for requests to a call now, if it runs here."""
        if (call := self._calls.get(call_id)) is not None:
            task = asyncio.get_running_loop().create_task(self._take_requests(call), name=f"poke {call_id}")
            self._pokes.add(task)
            task.add_done_callback(self._pokes.discard)

    async def _poll_requests(self) -> None:
        while True:
            await asyncio.sleep(self.options.poll_seconds)
            try:
                for call_id in await self._with_requests():
                    if (call := self._calls.get(call_id)) is not None:
                        await self._take_requests(call)
            except StoreError as error:
                logger.warning("requests to calls cannot be read: %s", error)
            except Exception:
                logger.exception("looking for requests to calls failed; the next look is soon")

    async def _with_requests(self) -> list[str]:
        ids = tuple(self._calls)
        found: list[str] = []
        for start in range(0, len(ids), _PAGE):
            where: dict[str, Condition] = {"id": OneOf(ids[start : start + _PAGE]), "requests_pending": True}
            page = await self._store.find(COLLECTION, where, limit=_PAGE)
            found += [document["id"] for document in page.items]
        return found

    async def _take_requests(self, call: RunningCall) -> None:
        lock = self._taking.setdefault(call.id, asyncio.Lock())
        async with lock:
            if call.over:
                return
            try:
                for request in await take(self._store, call.id, call.record.token):
                    call.request(request)
            except Conflict:
                return  # the lease is gone, which its renewal will find
            except StoreError as error:
                logger.warning("call %s: requests to it cannot be read: %s", call.id, error)

    # -- leases ----------------------------------------------------------------------------------------------------

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self.options.renew_seconds)
            calls = list(self._calls.values())
            for start in range(0, len(calls), RENEWALS_AT_ONCE):
                await asyncio.gather(*(self._renew(call) for call in calls[start : start + RENEWALS_AT_ONCE]))

    async def _renew(self, call: RunningCall) -> None:
        if not call.record.token:
            return
        try:
            await call.record.renew(self.options.lease_seconds)
        except LeaseLost:
            await call.lease_lost()
        except (StoreError, TimeoutError) as error:
            logger.warning("call %s: its lease cannot be renewed now: %s", call.id, error)
        except Exception:
            logger.exception("call %s: renewing its lease failed", call.id)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """End all calls side by side, and take no more. What does not end in time is left to a supervisor."""
        self._closing = True
        calls = list(self._calls.values())
        for call in calls:
            call.shut_down()
        if calls:
            endings = [asyncio.ensure_future(call.wait()) for call in calls]
            _, pending = await asyncio.wait(endings, timeout=self.options.shutdown_seconds)
            if pending:
                logger.error("%d calls did not end in time; a supervisor will write their end", len(pending))
            await asyncio.gather(*(call.abort() for call in calls))
            await asyncio.gather(*endings, return_exceptions=True)
        tasks = [*self._tasks, *self._pokes]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks = []

    # -- what the above share --------------------------------------------------------------------------------------

    async def _create(
        self,
        assistant_doc: Mapping[str, Any],
        direction: CallDirection,
        room: str,
        fields: Mapping[str, Any],
        variables: Variables | None,
        call_id: str | None,
        identity: str | None,
    ) -> tuple[RunningCall, list[Effect], list[FunctionTool]]:
        """Make the record of a call that begins here, and the call."""
        self._refuse_when_closing()
        assistant = parse(Assistant, own_fields(dict(assistant_doc)))
        plan = self._plan(assistant, direction)
        now = asyncio.get_running_loop().time()
        state, effects = begin(plan, now)
        first, *rest = effects
        assert isinstance(first, Commit)  # that is how a call begins
        known = variables if isinstance(variables, Mapping) else {}
        document = await create_call(
            self._store,
            {
                "assistant_id": assistant_doc.get("id"),
                "assistant_name": assistant.name,
                "direction": str(direction),
                "room": room,
                "variables": {name: value for name, value in known.items() if name != "context"},
                "context": known.get("context", {}),
                "metadata": {},
                **fields,
            },
            first,
            clock=wall_clock(self._store, now),
            id=call_id,
            owner=self.process_id,
            lease_seconds=self.options.lease_seconds,
        )
        call, built_in = self._make(document, state, assistant, identity)
        return call, rest, built_in

    def _make(
        self, document: Stored, state: CallState, assistant: Assistant, identity: str | None
    ) -> tuple[RunningCall, list[FunctionTool]]:
        loop = asyncio.get_running_loop()
        clock = wall_clock(self._store, loop.time())
        about = ("assistant_id", "direction", "room", "caller_number", "called_number")
        setting = Setting(
            call_id=document["id"],
            room=document["room"],
            assistant=assistant,
            call={"call_id": document["id"], **{name: document.get(name) for name in about}},
            caller_identity=identity,
        )

        agent = CallAgent(
            setting,
            store=self._store,
            rooms=self._rooms,
            options=self.options,
            observers=self._observers,
            now=lambda: clock(loop.time()),
            tell=lambda event: call.feed(event),
        )
        call = RunningCall(
            state,
            CallRecord(self._store, document, clock=clock),
            agent,
            rooms=self._rooms,
            options=self.options,
            observers=self._observers,
            recorders=self._recorders,
            caller_identity=identity,
        )
        return call, _telephone_tools(assistant, call, CallDirection(document["direction"]))

    def _adopt(self, call: RunningCall, effects: Sequence[Effect]) -> None:
        self.start()
        self._calls[call.id] = call
        call.start(effects).add_done_callback(lambda _task: self._forget(call))
        if self._closing:
            call.shut_down()

    def _forget(self, call: RunningCall) -> None:
        if self._calls.get(call.id) is call:
            del self._calls[call.id]
            self._taking.pop(call.id, None)

    def _plan(self, assistant: Assistant, direction: CallDirection) -> CallPlan:
        plan = make_plan(assistant, direction)
        options = self.options
        limits = replace(
            plan.limits,
            setup=options.setup_seconds,
            agent=options.agent_seconds,
            no_rtp=options.no_rtp_seconds,
        )
        return replace(plan, limits=limits, record=plan.record and self._recorders is not None)

    async def _trunk(self, trunk_id: str | None) -> Stored:
        return {} if trunk_id is None else await self._store.get("trunks", trunk_id, reveal=True)

    async def _end_queued(self, claimed: Stored, event: CancelRequested | Errored) -> Stored:
        try:
            document = await end_queued(self._store, claimed, event)
        except (Conflict, NotFound):
            document = await self._store.get(COLLECTION, claimed["id"], include_deleted=True)
        self._observers.call_ended(document["id"], document)
        return document

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise HostClosing("this process is shutting down and takes no more calls")


def _telephone_tools(assistant: Assistant, call: RunningCall, direction: CallDirection) -> list[FunctionTool]:
    """Tools of a call over the telephone."""
    if direction is CallDirection.WEB:
        return []
    tools = [send_dtmf_tool(call.actions.send_dtmf)]
    if assistant.transfer_destinations:
        tools.append(transfer_call_tool(call.actions.transfer, destinations=assistant.transfer_destinations))
    return tools
