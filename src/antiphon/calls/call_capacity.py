"""How many calls there are at once, over all processes that share a store, and how fast new ones may be placed.

A call takes a place from the moment it is claimed to be dialled until it is over. Whoever wants a place takes it first, by
the claim, and counts afterwards: of two that take the last place at the same moment, at least one sees the other. So there
are never too many. Outbound calls both give way then, and try again a little later; of inbound ones, which cannot, the younger.
"""

from __future__ import annotations

import asyncio

from ..store import AlreadyExists, Changes, Conflict, Document, NotFound, OneOf, Prefix, Range, Store
from ..store.filters import Condition
from .call_record import ACTIVE, COLLECTION

PACING = "pacing"
CATCH_UP = 0.5  # seconds of lateness that are made up for; then the pace begins anew
LONGEST_LEASE = 600.0  # seconds; tells calls that somebody holds from those scheduled for later
_RACES = 20
_GIVING_WAY = (0.25, 0.5, 1.0, 1.5, 1.5)  # seconds until the next look whether others gave way
_PATIENT_LOOKS = 2  # so long whoever gives way may take to hang up and to write it down


async def count_places(store: Store, trunk_id: str | None = None) -> int:
    """The calls that are being dialled, ring or are answered, or were claimed to be dialled: of one trunk, or all."""
    now, chosen = store.clock(), _of_trunk(trunk_id)
    # Those whose process is late, or dead and not yet found: nobody knows that they are over. They are counted first: one
    # that is renewed in between is counted twice rather than never.
    late = await store.count(
        COLLECTION,
        {
            "status": OneOf(tuple(str(status) for status in ACTIVE)),
            "claimable_at": Range(lte=now),
            **chosen,
        },
    )
    return late + await store.count(COLLECTION, {**_held(now), **chosen})


async def keeps_place(store: Store, call: Document, limit: int, trunk_id: str | None = None) -> bool:
    """Whether an inbound call that has taken its place, by its record, may keep it.

    Of several that took the last places at once, in processes that did not see each other, the younger give way at once. The
    others look again: if there are still too many after a while, some of the younger had kept their places, and one more
    gives way each time. A call keeps its place only if there are not too many with it, so of all that keep theirs, the one
    that came last saw the others.
    """
    for look, pause in enumerate((*_GIVING_WAY, None)):
        excess = await count_places(store, trunk_id) - limit
        kept = max(0, look - _PATIENT_LOOKS)
        if excess <= 0:
            return True
        if pause is None or await _younger(store, call, trunk_id, excess + kept) < excess + kept:
            return False
        await asyncio.sleep(pause)
    return False


async def _younger(store: Store, call: Document, trunk_id: str | None, most: int) -> int:
    """How many of the calls with a place came after this one; counts up to `most`."""
    since = {**_held(store.clock()), **_of_trunk(trunk_id), "created_at": Range(gte=call["created_at"])}
    page = await store.find(COLLECTION, since, limit=most + 1, newest_first=True)
    own = (call["created_at"], call["id"])
    return sum((other["created_at"], other["id"]) > own for other in page.items)


def _held(now: float) -> dict[str, Condition]:
    return {"claimable_at": Range(gt=now, lte=now + LONGEST_LEASE), "lease.since": Range(gte=0)}


def _of_trunk(trunk_id: str | None) -> dict[str, Condition]:
    # As a prefix, because SQLite would look through all calls that the trunk ever had if this were an equality.
    return {} if trunk_id is None else {"trunk_id": Prefix(trunk_id)}


async def reserve_pace(store: Store, trunk_id: str, calls_per_second: float) -> float | None:
    """Take the next moment at which a call may be placed over a trunk.

    Returns:
        None: it is now, and taken. Otherwise when to try again, in seconds since 1970.
    """
    interval = 1.0 / calls_per_second
    for _ in range(_RACES):
        now = store.clock()
        on_time = {"next_at": Range(gt=now - CATCH_UP, lte=now)}
        try:
            await store.update(PACING, trunk_id, Changes(increment={"next_at": interval}), where=on_time)
            return None
        except NotFound:
            try:
                await store.create(PACING, {"next_at": now + interval}, id=trunk_id)
                return None
            except AlreadyExists:
                continue
        except Conflict:
            next_at = float((await store.get(PACING, trunk_id))["next_at"])
        if next_at > now:
            return next_at
        try:
            idle = {"next_at": Range(lte=now - CATCH_UP)}
            await store.update(PACING, trunk_id, {"next_at": now + interval}, where=idle)
            return None
        except Conflict:
            continue
    return store.clock() + interval
