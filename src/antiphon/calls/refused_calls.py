"""Inbound calls that were not taken: what is remembered of them.

A call that touches a trunk or a number of ours leaves a record, which is over from its beginning, with its one event and
webhook. Others are strangers who try numbers: they are counted only. So are those beyond a pace, so that no flood fills the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..models.errors import AntiphonError
from ..store import AlreadyExists, Store, StoreError
from ..store import Document as Stored
from ..store.documents import new_id
from ..telephony import IncomingCall
from .call_record import COLLECTION, event_of, fields_of
from .lifecycle import refuse
from .status import CallDirection, CallStatus, EndReason

logger = logging.getLogger(__name__)

WRITE_TIMEOUT = 5.0
RECORDS_AT_ONCE = 60
RECORDS_PER_SECOND = 1.0
"""For each trunk, or number where there is no trunk, on average."""


class RefusalReason(StrEnum):
    """Why a call was not taken."""

    UNKNOWN_NUMBER = "unknown_number"
    DETACHED = "detached"
    ASSISTANT = "assistant"
    TRUNK = "trunk"
    NO_PLACE = "no_place"
    CLOSING = "closing"
    ERROR = "error"


# Who calls a process that ends may be taken by another one, so that is no end of a call.
_ENDS: dict[RefusalReason, tuple[CallStatus, EndReason | None]] = {
    RefusalReason.UNKNOWN_NUMBER: (CallStatus.REJECTED, None),
    RefusalReason.DETACHED: (CallStatus.REJECTED, None),
    RefusalReason.ASSISTANT: (CallStatus.REJECTED, None),
    RefusalReason.TRUNK: (CallStatus.REJECTED, None),
    RefusalReason.NO_PLACE: (CallStatus.BUSY, None),
    RefusalReason.ERROR: (CallStatus.FAILED, EndReason.ERROR),
}
_CODES = {RefusalReason.NO_PLACE: 503, RefusalReason.CLOSING: 503, RefusalReason.ERROR: 500}
_UNAVAILABLE = 480


class Refused(AntiphonError):
    """A call is not taken; `code` is the SIP response."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.code = _CODES.get(reason, _UNAVAILABLE)


@dataclass
class Caller:
    """What is known so far of a call that comes in.

    Attributes:
        incoming: the call itself, with its numbers in international form where that is known.
        call_id: of its record, whichever way it goes.
        trunk: the document of the trunk over which it came.
        mapping: that of the number.
        assistant: that of who answers.
    """

    incoming: IncomingCall
    call_id: str
    trunk: Stored | None = None
    mapping: Stored | None = None
    assistant: Stored | None = None

    @classmethod
    def of(cls, incoming: IncomingCall, store: Store) -> Caller:
        return cls(incoming, new_id("call", store.clock()))

    @property
    def place(self) -> str | None:
        """What of ours the call touched; None: nothing."""
        for document in (self.trunk, self.mapping, self.assistant):
            if document is not None and document.get("id"):
                return str(document["id"])
        return None

    def fields(self) -> dict[str, Any]:
        """What the record tells of it."""
        incoming, assistant, mapping = self.incoming, self.assistant or {}, self.mapping or {}
        return {
            "assistant_id": assistant.get("id") or mapping.get("assistant_id"),
            "assistant_name": assistant.get("name"),
            "direction": str(CallDirection.INBOUND),
            "service": incoming.service,
            "trunk_id": incoming.trunk_id or None,
            "caller_number": shown_number(incoming.caller_number),
            "called_number": shown_number(incoming.number),
            "inbound_id": mapping.get("id"),
            "variables": {},
            "context": {},
            "metadata": {},
        }


@dataclass
class RefusedCalls:
    """Remembers refused calls in `store`; `on_refused` is told the reason of each, recorded or not."""

    store: Store
    on_refused: Callable[[str], None] | None = None
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    async def remember(self, caller: Caller, refusal: Refused) -> None:
        """Write what became of a call that was refused just now. Never fails."""
        self.count(refusal.reason)
        place = caller.place
        if place is None or refusal.reason not in _ENDS or not self._may_write(place):
            return
        status, reason = _ENDS[refusal.reason]
        commit = refuse(status, self.store.clock(), sip_code=refusal.code, reason=reason, detail=str(refusal))
        fields = {"attempts_failed": 0, "requests": [], **caller.fields(), **fields_of(commit)}
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await self.store.create(
                    COLLECTION, fields, id=caller.call_id, emit=[event_of(commit)], complete=True
                )
        except AlreadyExists:
            return  # it had begun after all; a supervisor ends it
        except (StoreError, TimeoutError) as error:
            logger.warning("a refused call could not be recorded: %s", error or "the store is slow")

    def count(self, reason: RefusalReason) -> None:
        if self.on_refused is not None:
            self.on_refused(str(reason))

    def _may_write(self, place: str) -> bool:
        now = self.store.clock()
        left, before = self._left.get(place, (float(RECORDS_AT_ONCE), now))
        left = min(float(RECORDS_AT_ONCE), left + max(0.0, now - before) * RECORDS_PER_SECOND)
        self._left[place] = (left - 1 if left >= 1 else left, now)
        if 1 <= left < 2:
            logger.warning("too many calls are refused at %s; the next ones are only counted", place)
        return left >= 1


def shown_number(number: str) -> str:
    """What any database can hold: what is dialled may be anything."""
    return number.encode("utf-8", "replace").decode()[:200]
