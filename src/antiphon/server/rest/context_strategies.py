"""`/inbound_context_strategy`: what is asked about a caller while the call rings."""

from __future__ import annotations

from ...calls.context_strategies import CONTEXT_STRATEGIES
from ...calls.context_strategy import ContextStrategy
from .resource_routes import ResourceRoutes
from .schemas import StoredContextStrategy

_NEW = {"name": "Customers", "url": "https://crm.example.com/callers", "timeout_seconds": 3}

router = ResourceRoutes(
    CONTEXT_STRATEGIES,
    StoredContextStrategy,
    "/inbound_context_strategy",
    "inbound",
    {"name": ("Those with exactly this name.", "Customers")},
    {"customers": _NEW},
    {"deadline": {"timeout_seconds": 5}},
    {
        **ContextStrategy.model_validate(_NEW).model_dump(mode="json"),
        "id": "strategy_0199e5a1c4b7",
        "version": 1,
        "created_at": 1760000000.0,
        "updated_at": 1760000000.0,
    },
).router()
