"""Who starts agents in rooms: the one thing that the server asks of the layer that runs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..models.errors import AntiphonError


class AgentStartError(AntiphonError):
    """An agent could not be started; the message is shown to the caller."""


@dataclass(frozen=True)
class AgentInfo:
    """What a page shows of an agent.

    Attributes:
        name: as in `get_token?agent=<name>`.
        title: for people.
        description: one sentence.
        examples: things to say to it.
    """

    name: str
    title: str = ""
    description: str = ""
    examples: tuple[str, ...] = ()


class AgentDispatcher(Protocol):
    """Starts a session of a named agent in a room."""

    def agents(self) -> Sequence[AgentInfo]:
        """The agents that can be started now."""

    async def start(self, agent: str, room_name: str, metadata: str) -> None:
        """Have the agent join the room; returns once its session runs.

        Args:
            agent: a name of `agents()`.
            room_name: where the caller is, or soon will be.
            metadata: what the token carried for the agent.

        Raises:
            AgentStartError: it cannot be started.
        """

    async def aclose(self) -> None:
        """End all sessions."""
