"""The HTTP server with agents behind it, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..models.errors import ConfigurationError
from ..models.registry import resolve_vad
from ..rooms.local import LocalRooms
from ..worker import JobDispatcher, WorkerOptions

if TYPE_CHECKING:
    from ..server.dispatch import AgentInfo, WebCall

_NEEDED = ("aiortc", "cryptography", "fastapi", "uvicorn")


@dataclass(frozen=True)
class OfferedAgent:
    """An agent with what a page shows of it."""

    options: WorkerOptions
    title: str = ""
    description: str = ""
    examples: tuple[str, ...] = ()


def check_server_packages() -> None:
    """Raises ConfigurationError when a package that the server needs is not installed."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f'the server needs {", ".join(missing)}; pip install "antiphon[server]" brings them'
        )


async def serve_agents(
    agents: Sequence[OfferedAgent], on_ready: Callable[[str], None], **settings: Any
) -> int:
    """Load the agents' models, then answer on a port until SIGINT or SIGTERM.

    Args:
        agents: the first is the one that the page offers first.
        on_ready: called with the page's address, once it answers.
        **settings: as of `ServerSettings`.

    Returns:
        The exit code 0, once it was told to stop.

    Raises:
        ConfigurationError: a setting or an agent's model cannot be used.
        ServerStartError: the address cannot be listened on.
    """
    check_server_packages()
    from ..server.app import create_app
    from ..server.serve import serve
    from ..server.settings import ServerSettings

    rooms = LocalRooms()
    dispatcher = ServedAgents(rooms, agents)
    try:
        chosen = ServerSettings.from_environment(**settings)
        await asyncio.to_thread(_load_voice_activity_detection)
        await dispatcher.prewarm()
        await serve(create_app(chosen, dispatcher, rooms), chosen, on_ready)
    finally:
        await dispatcher.aclose()
        await rooms.aclose()
    return 0


def _load_voice_activity_detection() -> None:
    """Most agents use it, and loading it in the first call would stall that call."""
    with contextlib.suppress(ConfigurationError):  # not installed: then no agent here uses it
        resolve_vad("silero")


class ServedAgents:
    """Starts agents for the server: its `AgentDispatcher` over jobs."""

    def __init__(self, rooms: LocalRooms, agents: Sequence[OfferedAgent]) -> None:
        self._offered = agents
        self._jobs = JobDispatcher(rooms, [agent.options for agent in agents])

    async def prewarm(self) -> None:
        """Load what the agents need."""
        await self._jobs.prewarm()

    async def agents(self) -> list[AgentInfo]:
        """See `AgentDispatcher.agents`: all of them."""
        from ..server.dispatch import AgentInfo

        return [AgentInfo(a.options.agent_name, a.title, a.description, a.examples) for a in self._offered]

    async def find(self, agent: str, *, private: bool) -> AgentInfo | None:
        """See `AgentDispatcher.find`."""
        return next((info for info in await self.agents() if info.name == agent), None)

    async def start(self, call: WebCall) -> None:
        """See `AgentDispatcher.start`; raises AntiphonError when the agent does not come."""
        await self._jobs.start(call.agent, call.room, call.metadata)

    async def aclose(self) -> None:
        """End all jobs."""
        await self._jobs.aclose()


def named(options: WorkerOptions, name: str) -> WorkerOptions:
    """The agent, with a name if it has none: a page has to ask for something."""
    return options if options.agent_name else replace(options, agent_name=name)
