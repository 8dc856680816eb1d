"""The REST interface: assistants, tools, trunks, numbers, calls, keys and webhooks, with an OpenAPI document.

`install_rest(app, RestServices(store))` adds it to an application. One module for each group of paths.
"""

from __future__ import annotations

from .event_streams import EventStreams
from .install import install_rest
from .services import RestServices, RestState, rest_state

__all__ = ["EventStreams", "RestServices", "RestState", "install_rest", "rest_state"]
