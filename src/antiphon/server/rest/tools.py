"""`/tools`: what assistants can do beside talking."""

from __future__ import annotations

from ...calls.tool_definition import ToolDefinition
from ...calls.tools import TOOLS
from .resource_routes import ResourceRoutes
from .schemas import StoredTool

_WEBHOOK = {
    "name": "get_order",
    "description": "Look up an order by its number.",
    "parameters": {
        "type": "object",
        "properties": {"number": {"type": "string", "description": "The order's number."}},
        "required": ["number"],
    },
    "webhook": {"url": "https://shop.example.com/orders", "idempotent": True},
}
_STATIC = {
    "name": "get_opening_hours",
    "description": "When the branch is open.",
    "static": {"value": "Monday to Friday, nine to five."},
}

router = ResourceRoutes(
    TOOLS,
    StoredTool,
    "/tools",
    "tools",
    {"name": ("Those with exactly this name.", "get_order")},
    {"web service": _WEBHOOK, "fixed answer": _STATIC},
    {"deadline": {"webhook": {"timeout_seconds": 5}}, "description": {"description": "Look up an order."}},
    {
        **ToolDefinition.model_validate(_WEBHOOK).model_dump(mode="json"),
        "id": "tool_0199e5a1c4b7",
        "version": 1,
        "created_at": 1760000000.0,
        "updated_at": 1760000000.0,
    },
).router()
