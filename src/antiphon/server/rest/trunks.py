"""`/trunks`: how calls reach the telephone network."""

from __future__ import annotations

from ...calls.trunk import Trunk
from ...calls.trunks import TRUNKS
from .resource_routes import ResourceRoutes
from .schemas import StoredTrunk

_SIP = {
    "name": "Main line",
    "provider": "generic",
    "address": "sip.example.com",
    "transport": "tls",
    "numbers": ["+14155550199"],
    "max_concurrent": 20,
}

router = ResourceRoutes(
    TRUNKS,
    StoredTrunk,
    "/trunks",
    "trunks",
    {"name": ("Those with exactly this name.", "Main line")},
    {"sip": _SIP, "test calls": {"name": "Test", "provider": "loopback"}},
    {"limit": {"max_concurrent": 10}},
    {
        **Trunk.model_validate(_SIP).model_dump(mode="json"),
        "id": "trunk_0199e5a1c4b7",
        "version": 1,
        "created_at": 1760000000.0,
        "updated_at": 1760000000.0,
    },
).router()
