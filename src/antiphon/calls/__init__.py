"""Calls: the documents that describe them, and how they begin, are answered and end.

`lifecycle` is the pure machine of one call, exported here; the documents (`assistant`, `tool_definition`,
`number_mapping`, `context_strategy`), `template` and `runtime` are imported from their modules, as they need more.
"""

from __future__ import annotations

from .lifecycle import CallLimits, CallPlan, CallState, begin, step
from .sip_status import status_of_final_response
from .status import TERMINAL, CallDirection, CallStatus, EndReason

__all__ = [
    "TERMINAL",
    "CallDirection",
    "CallLimits",
    "CallPlan",
    "CallState",
    "CallStatus",
    "EndReason",
    "begin",
    "status_of_final_response",
    "step",
]
