"""Who answers browsers: the one thing that the server asks of the layers that run agents and stored assistants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..models.errors import AntiphonError
from ..telephony import Leg


class AgentStartError(AntiphonError):
    """An agent could not be started; the message is shown to the caller."""


@dataclass(frozen=True)
class AgentInfo:
    """What a page shows of an agent.

    Attributes:
        name: as in `get_token?agent=<name>`; of a stored assistant its id.
        title: for people.
        description: one sentence.
        examples: things to say to it.
    """

    name: str
    title: str = ""
    description: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class WebCall:
    """Somebody calls from a browser.

    Attributes:
        agent: who is to answer: the name of an `AgentInfo`.
        room: where the caller is, or soon will be.
        identity: the caller's, in that room.
        leg: the browser.
        metadata: what the token carried for the agent; of a stored assistant the variables of the call, as JSON.
    """

    agent: str
    room: str
    identity: str
    leg: Leg
    metadata: str = ""


class AgentDispatcher(Protocol):
    """Has agents answer browsers."""

    async def agents(self) -> Sequence[AgentInfo]:
        """The agents that anybody may call now."""

    async def find(self, agent: str, *, private: bool) -> AgentInfo | None:
        """The agent of a name, None if there is none for this caller.

        Args:
            agent: as it was asked for.
            private: whether the caller may have one that is not for everybody.
        """

    async def start(self, call: WebCall) -> None:
        """Have the agent join the room; returns once it is on its way.

        Raises:
            AgentStartError: it cannot be started.
        """

    async def aclose(self) -> None:
        """End all sessions."""
