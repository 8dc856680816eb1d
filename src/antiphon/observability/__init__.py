"""What operators see of calls: log records with the call's id and no secret, metrics, and traces.

Whoever owns a call binds its fields (`bind`) and tells a `CallObserver` when it starts and ends. Nothing here can make a call
fail or wait.
"""

from __future__ import annotations

from .call_observer import CallObserver, CallObservers
from .log_context import bind, carrying_context, log_fields
from .log_format import LogFormat, log_handler
from .redaction import Redaction, redact

__all__ = [
    "CallObserver",
    "CallObservers",
    "LogFormat",
    "Redaction",
    "bind",
    "carrying_context",
    "log_fields",
    "log_handler",
    "redact",
]
