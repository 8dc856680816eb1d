"""What somebody asks of a running call, from any process: hang up, say something, press keys, pass the caller on.

A request is appended to the call's document; the process that runs the call takes it out, by compare-and-set, before it
carries it out, so that it happens at most once, and exactly once unless that process dies in between.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..models.errors import AntiphonError
from ..store import Changes, Conflict, OneOf, Store, StoreError, StoreUnavailable
from ..store import Document as Stored
from .call_record import ACTIVE, COLLECTION, event_of, fields_of
from .call_state import state_of_record
from .lifecycle import step
from .lifecycle_effects import Commit
from .lifecycle_events import CancelRequested, Errored
from .status import TERMINAL, CallStatus

MOST_WAITING = 100
"""Requests in a call's document, which is written anew with each change."""

_RACES = 20
_PAUSE = 0.05  # seconds


class RequestType(StrEnum):
    HANG_UP = "hang_up"  # {}
    SAY = "say"  # {"text": ..., "allow_interruptions": true}
    DTMF = "dtmf"  # {"digits": "12#"}
    TRANSFER = "transfer"  # {"target": "+14155550123"}


class CallOver(AntiphonError):
    """Something was asked of a call that has ended; `status` is how."""

    def __init__(self, call_id: str, status: str) -> None:
        super().__init__(f"call {call_id} is over: it is {status}")
        self.status = status


class NotInProgress(AntiphonError):
    """Something was asked that only a call in progress can do; `status` is where it stands."""

    def __init__(self, call_id: str, status: str) -> None:
        super().__init__(f"call {call_id} is {status}; this can be asked once it is answered")
        self.status = status


class TooManyRequests(AntiphonError):
    """So much was asked of a call already that it has not begun with."""

    def __init__(self, call_id: str) -> None:
        super().__init__(
            f"call {call_id} has {MOST_WAITING} requests to carry out already; ask again when it is done with some"
        )


@dataclass(frozen=True, slots=True)
class CallRequest:
    """One request, as it was taken out of the document."""

    id: str
    type: RequestType
    args: Mapping[str, Any]


async def submit(
    store: Store, call_id: str, type: RequestType | str, args: Mapping[str, Any] | None = None
) -> str:
    """Ask something of a call in progress; returns the request's id. How it went is told by the call's events.

    Raises:
        NotFound: there is no such call.
        CallOver: it has ended.
        NotInProgress: it is not answered yet, and this is not a hang-up.
        TooManyRequests: too many wait; a hang-up always finds a place, once.
        InvalidDocument: the arguments cannot be stored.
    """
    type = RequestType(type)
    waiting = (await store.get(COLLECTION, call_id)).get("requests") or []
    for other in waiting:
        if type is RequestType.HANG_UP and other["type"] == type:
            return str(other["id"])
    if type is not RequestType.HANG_UP and len(waiting) >= MOST_WAITING:
        raise TooManyRequests(call_id)
    allowed = (CallStatus.QUEUED, *ACTIVE) if type is RequestType.HANG_UP else (CallStatus.ANSWERED,)
    request = {
        "id": f"req_{uuid.uuid4().hex[:20]}",
        "type": str(type),
        "args": dict(args or {}),
        "at": round(store.clock(), 3),
    }
    try:
        await store.update(
            COLLECTION,
            call_id,
            Changes(set={"requests_pending": True}, append={"requests": [request]}),
            where={"status": OneOf(tuple(str(status) for status in allowed))},
        )
    except Conflict:
        status = (await store.get(COLLECTION, call_id))["status"]
        if status in TERMINAL:
            raise CallOver(call_id, status) from None
        raise NotInProgress(call_id, status) from None
    return str(request["id"])


async def end_call(store: Store, call_id: str) -> Stored:
    """End a call, whatever it is doing: a queued one is cancelled at once, a running one is asked to hang up.

    Returns:
        The document: of a running call, as it was before the hang-up.

    Raises:
        NotFound: there is no such call.
        CallOver: it has ended.
    """
    for _ in range(_RACES):
        document = await store.get(COLLECTION, call_id)
        if document["status"] in TERMINAL:
            raise CallOver(call_id, document["status"])
        if document["status"] == CallStatus.QUEUED and document.get("lease") is None:
            try:
                return await end_queued(store, document, CancelRequested())
            except Conflict:
                continue
        await submit(store, call_id, RequestType.HANG_UP)
        return document
    raise Conflict(f"call {call_id} changes too often to be ended; try again")


async def end_queued(store: Store, document: Stored, event: CancelRequested | Errored) -> Stored:
    """End a call of which nothing was sent yet: cancelled, or failed because it cannot be dialled.

    Args:
        document: as it was read or claimed; whoever holds the lease in it, or nobody, must hold it still.
        event: why.

    Raises:
        Conflict: the call has moved on.
    """
    state = state_of_record(document)
    _, effects = step(state, event, store.clock())
    commit = next(effect for effect in effects if isinstance(effect, Commit))
    lease = document.get("lease")
    holder: dict[str, Any] = {"lease": None} if lease is None else {"lease.token": lease["token"]}
    return await store.update(
        COLLECTION,
        document["id"],
        fields_of(commit),
        where={"status": str(commit.expected), **holder},
        emit=[event_of(commit)],
        complete=True,
    )


async def take(store: Store, call_id: str, token: str) -> list[CallRequest]:
    """Take all requests out of a call's document, oldest first; they are the caller's to carry out.

    Args:
        token: of the lease that the caller holds.

    Raises:
        Conflict: somebody else holds the lease, or the document changes too often.
        StoreError: nothing was taken, as far as can be known; calling again takes what is there.
    """
    claim = uuid.uuid4().hex
    waiting: list[dict[str, Any]] = []
    failure: StoreError | None = None
    for _ in range(_RACES):
        try:
            document = await store.get(COLLECTION, call_id)
            if failure is not None and document.get("requests_taken") == claim:
                return [_read(request) for request in waiting]  # the write that failed had happened
            waiting = document.get("requests") or []
            if not waiting:
                return []
            await store.update(
                COLLECTION,
                call_id,
                {"requests": [], "requests_pending": False, "requests_taken": claim},
                expected_version=document["version"],
                where={"lease.token": token},
            )
            return [_read(request) for request in waiting]
        except Conflict:
            if (document.get("lease") or {}).get("token") != token:
                raise
        except StoreUnavailable as error:
            if not waiting:
                raise
            failure = error
        await asyncio.sleep(_PAUSE)
    raise failure or Conflict(f"call {call_id} changes too often to take its requests")


def _read(request: Mapping[str, Any]) -> CallRequest:
    return CallRequest(request["id"], RequestType(request["type"]), request.get("args") or {})
