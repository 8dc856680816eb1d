"""The HTTP server: tokens, WebRTC offers, status, and the web page.

`create_app` builds it, `serve.serve` runs it. Needs the `server` extra; names are imported when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .app import create_app
    from .dispatch import AgentDispatcher, AgentInfo, AgentStartError, WebCall
    from .settings import ServerSettings

__all__ = [
    "AgentDispatcher",
    "AgentInfo",
    "AgentStartError",
    "ServerSettings",
    "WebCall",
    "create_app",
]

_MODULES = {
    "AgentDispatcher": "dispatch",
    "AgentInfo": "dispatch",
    "AgentStartError": "dispatch",
    "ServerSettings": "settings",
    "WebCall": "dispatch",
    "create_app": "app",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
