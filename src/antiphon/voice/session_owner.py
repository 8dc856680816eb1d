"""Who hears of the sessions that an application starts.

An entrypoint makes its sessions itself. Whoever runs it sets `session_owner` in the entrypoint's context and is called
with each session at its start, before anything happens in it.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent_session import AgentSession

session_owner: contextvars.ContextVar[Callable[[AgentSession[Any]], None] | None] = contextvars.ContextVar(
    "session_owner", default=None
)
