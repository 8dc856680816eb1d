"""What operators see of calls: log records with the call's id and no secret, metrics, and traces.

Whoever owns a call binds its fields (`bind`) and tells a `CallObserver` when it starts and ends. Nothing here can make a call
fail or wait.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .call_observer import CallObserver, CallObservers
from .log_context import bind, carrying_context, log_fields
from .log_format import LogFormat, log_handler
from .redaction import Redaction, redact

if TYPE_CHECKING:
    from .metrics import Metrics
    from .tracing import Tracing, TracingOptions

__all__ = [
    "CallObserver",
    "CallObservers",
    "LogFormat",
    "Metrics",
    "Redaction",
    "Tracing",
    "TracingOptions",
    "bind",
    "carrying_context",
    "log_fields",
    "log_handler",
    "redact",
]

# They import packages that not every installation has.
_LAZY = {"Metrics": "metrics", "Tracing": "tracing", "TracingOptions": "tracing"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
