"""Takes calls as they come in: finds who answers the number, asks about the caller while it rings, and begins the call.

| what is missing | the caller's side gets |
|---|---|
| the number has no mapping; it is inactive, detached or another trunk's; the assistant is gone; the trunk is inactive | 480 |
| the store, the room or the agent cannot be had | 500 |
| a place: all are taken, or this process ends | 503 |

What `refused_calls` remembers of a call that was not taken is written after the refusal, so nobody waits for it.

A context strategy that is gone or fails is skipped: the call goes on without context. A telephone that calls without a trunk, as one
on this machine, may also dial a public assistant by its id or name.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from ..models.errors import AntiphonError
from ..models.outbound_http import OutboundPolicy
from ..store import Document as Stored
from ..store import NotFound, OneOf, Store, StoreError, Where
from ..telephony import IncomingCall, LegEnded, LegEvent
from ..telephony.phone_number import InvalidNumber, normalize_caller, normalize_number
from .call_capacity import count_places, keeps_place
from .call_host import HostClosing
from .context_lookup import ContextLookup, LookupOutcome, look_up
from .context_strategies import CONTEXT_STRATEGIES
from .context_strategy import ContextRequest
from .number_mapping import normalize_e164
from .refused_calls import Caller, RefusalReason, Refused, RefusedCalls, shown_number
from .running_call import NoPlaceCheck, RunningCall
from .status import CallDirection

logger = logging.getLogger(__name__)

SERVER_ERROR = 500
REFUSE_TIMEOUT = 10.0
LOOK_UP_TIMEOUT = 5.0  # seconds for all that is read before it rings


class InboundHost(Protocol):
    """Runs the calls; see `call_host.CallHost`."""

    async def start_inbound(
        self,
        incoming: IncomingCall,
        mapping: Mapping[str, Any],
        assistant_doc: Mapping[str, Any],
        variables: Any = None,
        *,
        room: str | None = None,
        call_id: str | None = None,
        no_place: NoPlaceCheck | None = None,
    ) -> RunningCall: ...


@dataclass(frozen=True, slots=True)
class InboundOptions:
    """How calls are taken.

    Attributes:
        max_concurrent: calls at once over all processes, whatever their direction.
        outbound: where context strategies may ask.
        on_refused: told why a call was not taken, as in `refused_calls.RefusalReason`.
    """

    max_concurrent: int = 100
    outbound: OutboundPolicy | None = None
    on_refused: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class _Limit:
    """So many calls at once, over a trunk or in all; `where` for people."""

    calls: int
    trunk_id: str | None
    where: str

    def __str__(self) -> str:
        return f"there are {self.calls} calls {self.where} already"


class InboundRouter:
    """Give `take` to whoever listens for calls: `LoopbackDialler(take=…)`, a SIP listener."""

    def __init__(self, store: Store, host: InboundHost, options: InboundOptions | None = None) -> None:
        self.options = options or InboundOptions()
        self._store = store
        self._host = host
        self._placing = asyncio.Lock()
        self._refused = RefusedCalls(store, self.options.on_refused)

    async def take(self, incoming: IncomingCall) -> RunningCall | None:
        """Begin a call, or refuse it; never raises for what can go wrong with one call.

        Returns:
            The call, once it is on record and rings; None if it was refused or taken back.
        """
        watch, caller = _Watch(incoming), Caller.of(incoming, self._store)
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT):
                return await self._begin(caller, watch)
        except Refused as error:
            refusal = error
        except HostClosing as error:
            refusal = Refused(RefusalReason.CLOSING, str(error))
        except (AntiphonError, TimeoutError) as error:
            refusal = Refused(RefusalReason.ERROR, str(error) or "the store did not answer in time")
        except asyncio.CancelledError:
            await self._refuse(incoming, Refused(RefusalReason.CLOSING, "this process ends"))
            raise
        except Exception:
            logger.exception("a call to %s could not be taken", incoming.number)
            refusal = Refused(RefusalReason.ERROR, "an internal error")
        await self._refuse(incoming, refusal)
        await self._refused.remember(caller, refusal)
        return None

    async def turn_away(self, incoming: IncomingCall) -> None:
        """Refuse a call because this process takes no more."""
        refusal = Refused(RefusalReason.CLOSING, "this process takes no more calls")
        await self._refuse(incoming, refusal)
        await self._refused.remember(Caller.of(incoming, self._store), refusal)

    async def _begin(self, caller: Caller, watch: _Watch) -> RunningCall | None:
        """Find out who answers, and let it ring; what is known is noted in `caller` at once."""
        assistant, mapping = await self._who_answers(caller)
        known, limits = caller.incoming, self._limits(caller.trunk or {})
        async with self._placing:
            await self._check_places(limits)
            if watch.hung_up() is not None:
                await self._let_go(known)
                return None
            variables = _Variables(self, known, mapping, f"call-{uuid.uuid4().hex[:16]}")
            call = await self._host.start_inbound(
                known,
                mapping,
                assistant,
                variables,
                room=variables.room,
                call_id=caller.call_id,
                no_place=partial(self._no_place, limits),
            )
            variables.call = call
        if (event := watch.hung_up()) is not None:  # while the record was made
            call.leg_event(event)
        return call

    async def _who_answers(self, caller: Caller) -> tuple[Stored, Stored]:
        """The assistant, and the mapping that leads there. Raises Refused."""
        incoming = caller.incoming
        caller.trunk = trunk = await self._trunk(incoming)
        region = trunk.get("default_region")
        from_number = shown_number(normalize_caller(incoming.caller_number, region))
        caller.incoming = replace(incoming, caller_number=from_number)
        if (named := await self._named(incoming)) is not None:
            caller.assistant, mapping = named, {"assistant_id": named["id"]}
        else:
            number = _normalized(incoming.number, region)
            caller.incoming = replace(caller.incoming, number=number)
            caller.mapping = mapping = await self._mapping(number, incoming)
            caller.assistant = await self._get("assistants", mapping.get("assistant_id"), reveal=True)
            _check_mapping(mapping, caller.incoming)
        if trunk and not trunk.get("active", True):
            raise Refused(RefusalReason.TRUNK, f"trunk {trunk['id']} is not active")
        if caller.assistant is None:
            reason = f"assistant {mapping['assistant_id']} of {caller.incoming.number} is gone"
            raise Refused(RefusalReason.ASSISTANT, reason)
        if not caller.assistant.get("active", True):
            who = f"assistant {caller.assistant['id']}, who answers {caller.incoming.number},"
            raise Refused(RefusalReason.ASSISTANT, f"{who} is not active")
        return caller.assistant, mapping

    async def _named(self, incoming: IncomingCall) -> Stored | None:
        """The public assistant whose id or name was dialled in place of a number, by a telephone that calls without a trunk."""
        if incoming.trunk_id or not any(sign.isalpha() for sign in incoming.number):
            return None
        for field in ("id", "name"):
            where: Where = {field: incoming.number, "public": True}
            if (found := await self._store.find_one("assistants", where, reveal=True)) is not None:
                return found
        return None

    async def _trunk(self, incoming: IncomingCall) -> Stored:
        if not incoming.trunk_id:
            return {}
        trunk = await self._get("trunks", incoming.trunk_id)
        if trunk is None:
            raise Refused(RefusalReason.TRUNK, f"trunk {incoming.trunk_id} is gone")
        return trunk

    async def _mapping(self, number: str, incoming: IncomingCall) -> Stored:
        # Mappings hold the number as it was written, which differs in rare plans, such as a zero after the country code.
        forms = {number}
        with suppress(ValueError):
            forms.add(normalize_e164(incoming.number))
        mapping = await self._store.find_one("inbound_sip", {"number": OneOf(tuple(sorted(forms)))})
        if mapping is None:
            raise Refused(RefusalReason.UNKNOWN_NUMBER, f"nobody answers {number}: it has no mapping")
        return mapping

    def _limits(self, trunk: Stored) -> list[_Limit]:
        limits = [_Limit(self.options.max_concurrent, None, "in all")]
        if trunk.get("max_concurrent") is not None:
            where = f"over trunk {trunk.get('name', trunk['id'])}"
            limits.append(_Limit(trunk["max_concurrent"], trunk["id"], where))
        return limits

    async def _check_places(self, limits: list[_Limit]) -> None:
        """Raises Refused if there is no place. Calls that begin here at once must not pass together."""
        for limit in limits:
            if await count_places(self._store, limit.trunk_id) >= limit.calls:
                raise Refused(RefusalReason.NO_PLACE, str(limit))

    async def _no_place(self, limits: list[_Limit], call: Stored) -> str | None:
        """Why a call that is on record cannot stay, because other processes took the last places just now; None: it can."""
        try:
            for limit in limits:
                if not await keeps_place(self._store, call, limit.calls, limit.trunk_id):
                    self._refused.count(RefusalReason.NO_PLACE)
                    return str(limit)
        except StoreError as error:
            logger.warning("whether there is a place for call %s cannot be seen: %s", call["id"], error)
        return None

    async def look_up(
        self, incoming: IncomingCall, mapping: Mapping[str, Any], room: str
    ) -> ContextLookup | None:
        """Ask about the caller; None if nobody is to be asked. Never fails."""
        strategy_id = mapping.get("inbound_context_strategy_id")
        if strategy_id is None:
            return None
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT):
                strategy = await CONTEXT_STRATEGIES.load(self._store, strategy_id)
        except (AntiphonError, TimeoutError) as error:
            logger.warning("context strategy %s is skipped: %s", strategy_id, error or "the store is slow")
            return ContextLookup(LookupOutcome.NOT_CONFIGURED, detail=str(error)[:500])
        request = ContextRequest(
            assistant_id=str(mapping["assistant_id"]),
            room_name=room,
            service=incoming.service,
            inbound_id=str(mapping.get("id", "")),
            caller_number=incoming.caller_number,
            inbound_number=incoming.number,
            strategy_id=strategy_id,
        )
        return await look_up(strategy, request, policy=self.options.outbound)

    async def _get(self, collection: str, id: str | None, *, reveal: bool = False) -> Stored | None:
        if id is None:
            return None
        try:
            return await self._store.get(collection, id, reveal=reveal)
        except NotFound:
            return None

    async def _refuse(self, incoming: IncomingCall, refusal: Refused) -> None:
        """Say no, and let the leg go."""
        level = logging.WARNING if refusal.code >= SERVER_ERROR else logging.INFO
        trunk = incoming.trunk_id or "-"
        logger.log(level, "a call over trunk %s gets %d: %s", trunk, refusal.code, refusal)
        await self._let_go(incoming, refusal.code, str(refusal))

    async def _let_go(self, incoming: IncomingCall, code: int | None = None, reason: str = "") -> None:
        incoming.leg.on_event = None
        try:
            async with asyncio.timeout(REFUSE_TIMEOUT):
                if code is not None:
                    await incoming.leg.hang_up(code, reason)
                await incoming.leg.aclose()
        except Exception:
            logger.exception("a leg over trunk %s could not be let go", incoming.trunk_id or "-")


class _Watch:
    """Sees a caller hang up before there is a call that could."""

    def __init__(self, incoming: IncomingCall) -> None:
        self._ended: LegEnded | None = None
        incoming.leg.on_event = self._event

    def hung_up(self) -> LegEnded | None:
        return self._ended

    def _event(self, event: LegEvent) -> None:
        if isinstance(event, LegEnded):
            self._ended = event


class _Variables:
    """What the assistant's texts may speak of; awaited by the call while it rings.

    Attributes:
        room: where the call takes place.
        call: whose record tells how the lookup went.
    """

    def __init__(
        self, router: InboundRouter, incoming: IncomingCall, mapping: Mapping[str, Any], room: str
    ) -> None:
        self.room = room
        self.call: RunningCall | None = None
        self._router = router
        self._incoming = incoming
        self._mapping = mapping

    def __await__(self) -> Generator[Any, None, dict[str, Any]]:
        return self._gather().__await__()

    async def _gather(self) -> dict[str, Any]:
        incoming = self._incoming
        known: dict[str, Any] = {
            "caller_number": incoming.caller_number,
            "called_number": incoming.number,
            "direction": str(CallDirection.INBOUND),
            "service": incoming.service,
        }
        lookup = await self._router.look_up(incoming, self._mapping, self.room)
        if lookup is None:
            return {**known, "context": {}}
        if self.call is not None and not self.call.over:
            self.call.record.set({"context_lookup": lookup.record()})
        return {**known, "context": lookup.context}


def _normalized(number: str, region: str | None) -> str:
    try:
        return normalize_number(number, region)
    except InvalidNumber as error:
        reason = f"the number that was dialled {error}"
        raise Refused(RefusalReason.UNKNOWN_NUMBER, reason) from None


def _check_mapping(mapping: Stored, incoming: IncomingCall) -> None:
    """Raises Refused unless calls to the number are answered over the trunk of this one."""
    if not mapping.get("active", True) or mapping.get("assistant_id") is None:
        reason = f"nobody answers {incoming.number}: it is inactive or detached"
        raise Refused(RefusalReason.DETACHED, reason)
    if mapping.get("trunk_id") not in (None, incoming.trunk_id):
        reason = f"{incoming.number} is answered for another trunk only"
        raise Refused(RefusalReason.DETACHED, reason)
