"""Where a call stands, read from its record: for those who did not see it come there."""

from __future__ import annotations

from ..store import Document as Stored
from .lifecycle import CallLimits, CallPlan, CallState, Part
from .status import CallDirection, CallStatus


def state_of_record(document: Stored, plan: CallPlan | None = None) -> CallState:
    """The state of a call, on the clock of its record.

    Args:
        document: of the call.
        plan: what was planned; None: as far as the record tells.
    """
    direction = CallDirection(document["direction"])
    ready = frozenset(
        part for part in Part if isinstance(document.get(f"{part.value}_ready_at"), int | float)
    )
    return CallState(
        plan or CallPlan(direction, CallLimits()),
        CallStatus(document["status"]),
        ready=ready,
        answered_at=document.get("answered_at"),
        media_at=document.get("media_at"),
    )
