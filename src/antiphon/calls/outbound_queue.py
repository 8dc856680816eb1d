"""Puts outbound calls into the queue. A queued call is its own record: what waits is what will be dialled.

`dispatcher` takes calls out of it, `call_requests.end_call` cancels them.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from ..models.errors import AntiphonError
from ..store import AlreadyExists, InvalidDocument, NotFound, Store, check_value
from ..store import Document as Stored
from ..telephony.phone_number import InvalidNumber, normalize_number
from .call_record import COLLECTION, create_call
from .document import Document, DocumentRefused, FieldProblem, Name
from .lifecycle import CallPlan, begin
from .lifecycle_effects import Commit
from .status import CallDirection

MOST_BYTES = 64 * 1024  # of variables, and of metadata, as JSON
LONGEST_KEY = 255
LATEST_START = 366 * 86400.0  # seconds from now


class IdempotencyKeyReused(AntiphonError):
    """An idempotency key was sent again with another request; `call_id` is the call of the first one."""

    def __init__(self, call_id: str) -> None:
        super().__init__(
            f"this idempotency key was used for another request, which became call {call_id}; use a new key"
        )
        self.call_id = call_id


def _small_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        check_value(value, "it")
        size = len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode())
    except (InvalidDocument, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be kept: {error}") from None
    if size > MOST_BYTES:
        raise ValueError(f"must be at most {MOST_BYTES} bytes of JSON; it is {size}")
    return value


def _seconds(value: object) -> object:
    """A time as seconds since 1970, also from ISO 8601."""
    if not isinstance(value, str):
        return value
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be seconds since 1970 or a time as 2030-01-31T09:00:00+05:30") from None
    if time.tzinfo is None:
        raise ValueError("must say its time zone, as 2030-01-31T09:00:00+05:30 or …T03:30:00Z")
    return time.timestamp()


SmallJson = Annotated[dict[str, Any], AfterValidator(_small_json)]


class OutboundCall(Document):
    """An outbound call as the REST interface takes it.

    Attributes:
        assistant_id: who speaks.
        trunk_id: over which line.
        to_number: whom to call; international, or of the trunk's default region.
        from_number: what the callee is shown, one of the trunk's numbers; null: its first.
        variables: for the placeholders of the assistant's texts; `context` among them fills `{{context.…}}`.
        metadata: kept with the call and sent with its webhook; nobody else looks at it.
        scheduled_at: not before then, in seconds since 1970 or as ISO 8601 with a time zone; null: at once.
    """

    assistant_id: Name
    trunk_id: Name
    to_number: str = Field(min_length=1, max_length=100)
    from_number: str | None = Field(default=None, min_length=1, max_length=100)
    variables: SmallJson = Field(default_factory=dict)
    metadata: SmallJson = Field(default_factory=dict)
    scheduled_at: Annotated[Annotated[float, Field(ge=0)] | None, BeforeValidator(_seconds)] = None


async def enqueue(
    store: Store,
    request: OutboundCall,
    *,
    api_key_id: str = "",
    idempotency_key: str | None = None,
    wake: Callable[[], None] | None = None,
) -> Stored:
    """Queue a call.

    Args:
        request: what was asked for.
        api_key_id: by whom; an idempotency key counts for one of them, and what replaced it.
        idempotency_key: the same request with the same key is the same call, as long as its record is kept.
        wake: called when a call was queued, as `OutboundDispatcher.poke`.

    Returns:
        The call's document; that of the first request, as it is now, if this one is a repetition.

    Raises:
        DocumentRefused: it could never be dialled; says why, field by field.
        IdempotencyKeyReused: another request had this key.
        StoreError: it may be queued or not; the same request with the same key tells.
    """
    key = _key_digest(api_key_id, idempotency_key)
    digest = _digest(json.dumps(request.model_dump(mode="json"), sort_keys=True))
    if key is not None and (queued := await _find(store, key, digest)) is not None:
        return queued
    fields = await _check(store, request)
    now = store.clock()
    _, effects = begin(CallPlan(CallDirection.OUTBOUND), now)
    commit = next(effect for effect in effects if isinstance(effect, Commit))
    if request.scheduled_at is not None and request.scheduled_at > now:
        fields["claimable_at"] = request.scheduled_at
    if key is not None:
        fields |= {"idempotency_key": key, "request_digest": digest}
    try:
        call = await create_call(store, fields, commit)
    except AlreadyExists:
        # The same request came twice at once, and the other one was faster.
        if key is None or (queued := await _find(store, key, digest)) is None:
            raise
        return queued
    if wake is not None:
        wake()
    return call


async def _check(store: Store, request: OutboundCall) -> dict[str, Any]:
    """The fields of the call; raises DocumentRefused with every problem at once."""
    problems: list[FieldProblem] = []
    assistant = await _get(store, "assistants", request.assistant_id)
    trunk = await _get(store, "trunks", request.trunk_id)
    if assistant is None:
        problems.append(FieldProblem("assistant_id", f"there is no assistant {request.assistant_id!r}"))
    elif not assistant.get("active", True):
        problems.append(FieldProblem("assistant_id", f"assistant {assistant.get('name')!r} is not active"))
    if trunk is None:
        problems.append(FieldProblem("trunk_id", f"there is no trunk {request.trunk_id!r}"))
    elif not trunk.get("active", True):
        problems.append(FieldProblem("trunk_id", f"trunk {trunk.get('name')!r} is not active"))
    if request.scheduled_at is not None and request.scheduled_at > store.clock() + LATEST_START:
        problems.append(FieldProblem("scheduled_at", "must be within a year"))
    context = request.variables.get("context", {})
    if not isinstance(context, dict):
        problems.append(FieldProblem("variables.context", "must be an object"))
    called = caller = ""
    if trunk is not None:  # which numbers do depends on it
        called = _number("to_number", request.to_number, trunk, problems)
        caller = _caller(request, trunk, problems)
    if assistant is None or trunk is None or problems:
        raise DocumentRefused(problems)
    given = {name: value for name, value in request.variables.items() if name != "context"}
    return {
        "assistant_id": request.assistant_id,
        "assistant_name": assistant.get("name", ""),
        "direction": str(CallDirection.OUTBOUND),
        "room": f"call-{uuid.uuid4().hex[:16]}",
        "trunk_id": request.trunk_id,
        "service": trunk.get("provider", "generic"),
        "caller_number": caller,
        "called_number": called,
        "variables": {"caller_number": caller, "called_number": called, **given},
        "context": context,
        "metadata": request.metadata,
        "scheduled_at": request.scheduled_at,
    }


def _number(field: str, text: str, trunk: Stored, problems: list[FieldProblem]) -> str:
    try:
        return normalize_number(text, trunk.get("default_region"))
    except InvalidNumber as error:
        problems.append(FieldProblem(field, str(error)))
        return ""


def _caller(request: OutboundCall, trunk: Stored, problems: list[FieldProblem]) -> str:
    """Nobody shows a number that is not his: only those of the trunk, where they are known."""
    ours = [str(number) for number in trunk.get("numbers") or ()]
    if request.from_number is None:
        return ours[0] if ours else ""
    number = _number("from_number", request.from_number, trunk, problems)
    if number and ours and number not in ours:
        problems.append(FieldProblem("from_number", "is not one of the trunk's numbers"))
    return number


async def _get(store: Store, collection: str, id: str) -> Stored | None:
    try:
        return await store.get(collection, id)
    except NotFound:
        return None


async def _find(store: Store, key: str, digest: str) -> Stored | None:
    """The call that has the key; raises IdempotencyKeyReused if it was another request."""
    call = await store.find_one(COLLECTION, {"idempotency_key": key})
    if call is not None and call.get("request_digest") != digest:
        raise IdempotencyKeyReused(call["id"])
    return call


def _key_digest(api_key_id: str, key: str | None) -> str | None:
    if key is None:
        return None
    if not key or len(key) > LONGEST_KEY or not key.isprintable():
        problem = f"must be 1 to {LONGEST_KEY} printable characters"
        raise DocumentRefused([FieldProblem("Idempotency-Key", problem)])
    return _digest(f"{api_key_id}\0{key}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
