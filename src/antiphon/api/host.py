"""What the server API acts on: the parts of this process that host rooms, agents and telephones."""

from __future__ import annotations

import contextvars
from dataclasses import dataclass
from typing import Protocol

from ..rooms.local import LocalRooms
from .requests import AgentDispatch


class AgentDispatches(Protocol):
    """Sends agents to rooms."""

    async def create_dispatch(self, agent_name: str, room: str, metadata: str) -> AgentDispatch:
        """Start the agent's job in the room.

        Raises:
            ApiError: there is no such agent, or it refused the job.
        """
        ...

    def list_dispatches(self, room: str) -> list[AgentDispatch]:
        """The agents that are in the room or on their way."""
        ...


class SipTransfers(Protocol):
    """Hands telephone callers over."""

    async def transfer(self, room: str, identity: str, transfer_to: str, *, play_dialtone: bool) -> None:
        """Transfer the call.

        Raises:
            ApiError: the other side refused.
        """
        ...


@dataclass(frozen=True)
class EmbeddedHost:
    """This process as a server.

    Attributes:
        rooms: the rooms it hosts.
        dispatches: its agents; None: it runs none that could be sent anywhere.
        sip: its telephones; None: it has none.
    """

    rooms: LocalRooms
    dispatches: AgentDispatches | None = None
    sip: SipTransfers | None = None


embedded_host: contextvars.ContextVar[EmbeddedHost | None] = contextvars.ContextVar(
    "embedded_host", default=None
)
"""The host of the running job."""
