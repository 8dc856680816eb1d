"""Stored inbound context strategies: kept while a number uses them."""

from __future__ import annotations

from ..store import Store
from .context_strategy import ContextStrategy
from .resource import Resource, Use


async def _used_by(store: Store, id: str) -> list[Use]:
    numbers = await store.find("inbound_sip", {"inbound_context_strategy_id": id}, limit=20)
    return [Use("inbound", number["id"], number["number"]) for number in numbers.items]


CONTEXT_STRATEGIES = Resource(
    "inbound_context_strategies", "context strategy", ContextStrategy, used_by=_used_by
)
