"""How many calls there are at once, over all processes that share a store, and how fast new ones may be placed.

A call takes a place from the moment it is claimed to be dialled until it is over. Whoever wants a place takes it first, by
the claim, and counts afterwards: of two that take the last place at the same moment, at least one sees the other. So there
are never too many; at worst both give way, and try again a little later.
"""

from __future__ import annotations

from ..store import AlreadyExists, Changes, Conflict, NotFound, OneOf, Prefix, Range, Store
from ..store.filters import Condition
from .call_record import ACTIVE, COLLECTION

PACING = "pacing"
CATCH_UP = 0.5  # seconds of lateness that are made up for; then the pace begins anew
LONGEST_LEASE = 600.0  # seconds; tells calls that somebody holds from those scheduled for later
_RACES = 20


async def count_places(store: Store, trunk_id: str | None = None) -> int:
    """The calls that are being dialled, ring or are answered, or were claimed to be dialled: of one trunk, or all."""
    now = store.clock()
    # As a prefix, because SQLite would look through all calls that the trunk ever had if this were an equality.
    chosen: dict[str, Condition] = {} if trunk_id is None else {"trunk_id": Prefix(trunk_id)}
    held = await store.count(
        COLLECTION,
        {"claimable_at": Range(gt=now, lte=now + LONGEST_LEASE), "lease.since": Range(gte=0), **chosen},
    )
    # Those whose process is late, or dead and not yet found: nobody knows that they are over.
    late = await store.count(
        COLLECTION,
        {
            "status": OneOf(tuple(str(status) for status in ACTIVE)),
            "claimable_at": Range(lte=now),
            **chosen,
        },
    )
    return held + late


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
