"""Who is told of calls, and how they are kept from harming them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..voice import AgentSession

logger = logging.getLogger(__name__)


class CallObserver(Protocol):
    """Hears of each call that this process runs. Both methods return at once."""

    def call_started(self, call_id: str, call: Mapping[str, Any], session: AgentSession[Any]) -> None:
        """A session was made for a call and is about to start; `call` is the call's document."""

    def call_ended(self, call_id: str, call: Mapping[str, Any]) -> None:
        """A call is over; `call` is its last document. Also for calls that never had a session."""


class CallObservers:
    """Several observers as one; one that fails is logged and harms neither the call nor the others."""

    def __init__(self, observers: Sequence[CallObserver] = ()) -> None:
        self._observers = tuple(observers)

    def call_started(self, call_id: str, call: Mapping[str, Any], session: AgentSession[Any]) -> None:
        for observer in self._observers:
            try:
                observer.call_started(call_id, call, session)
            except Exception:
                logger.exception("%s failed at the start of a call", type(observer).__name__)

    def call_ended(self, call_id: str, call: Mapping[str, Any]) -> None:
        for observer in self._observers:
            try:
                observer.call_ended(call_id, call)
            except Exception:
                logger.exception("%s failed at the end of a call", type(observer).__name__)
