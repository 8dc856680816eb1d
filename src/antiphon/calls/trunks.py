"""Stored trunks: kept while numbers or calls that are not over use them."""

from __future__ import annotations

from ..store import OneOf, Store
from .resource import Resource, Use
from .status import TERMINAL, CallStatus
from .trunk import Trunk

_NOT_OVER = OneOf(tuple(str(status) for status in CallStatus if status not in TERMINAL))


async def _used_by(store: Store, id: str) -> list[Use]:
    numbers = await store.find("inbound_sip", {"trunk_id": id}, limit=20)
    calls = await store.find("calls", {"trunk_id": id, "status": _NOT_OVER}, limit=20)
    return [
        *(Use("inbound", number["id"], number["number"]) for number in numbers.items),
        *(Use("calls", call["id"], call["id"]) for call in calls.items),
    ]


TRUNKS = Resource("trunks", "trunk", Trunk, used_by=_used_by)
