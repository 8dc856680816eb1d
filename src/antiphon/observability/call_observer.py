"""Who is told of calls, and how they are kept from harming them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..voice import AgentSession
from .log_context import log_fields

logger = logging.getLogger(__name__)


class CallObserver(Protocol):
    """Hears of each call that this process runs. Both methods return at once."""

    def call_started(self, call_id: str, call: Mapping[str, Any], session: AgentSession[Any]) -> None:
        """A session was made for a call and is about to start; `call` is the call's document."""

    def call_ended(self, call_id: str, call: Mapping[str, Any]) -> None:
        """A call is over; `call` is its last document. Also for calls that never had a session."""


class CallObservers:
    """Several observers as one; one that fails is logged and harms neither the call nor the others.

    Starts and ends of calls are logged too.
    """

    def __init__(self, observers: Sequence[CallObserver] = ()) -> None:
        self._observers = tuple(observers)

    def call_started(self, call_id: str, call: Mapping[str, Any], session: AgentSession[Any]) -> None:
        with log_fields(call_id=call_id, assistant=call.get("assistant_name")):
            logger.info("the agent takes the call", extra=_given(call, "direction", "service", "room"))
            for observer in self._observers:
                try:
                    observer.call_started(call_id, call, session)
                except Exception:
                    logger.exception("%s failed at the start of a call", type(observer).__name__)

    def call_ended(self, call_id: str, call: Mapping[str, Any]) -> None:
        with log_fields(call_id=call_id, assistant=call.get("assistant_name")):
            about = _given(call, "direction", "status", "end_reason", "billed_seconds", "sip_code")
            logger.info("the call is over", extra=about)
            for observer in self._observers:
                try:
                    observer.call_ended(call_id, call)
                except Exception:
                    logger.exception("%s failed at the end of a call", type(observer).__name__)


def _given(call: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: call[name] for name in names if call.get(name) is not None}
