"""What a program tells about its agents: `WorkerOptions` for one, `AgentServer` for one or several."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from ..models.errors import ConfigurationError

if TYPE_CHECKING:
    from .job import JobContext, JobProcess, JobRequest

Entrypoint = Callable[["JobContext"], Awaitable[Any]]
Prewarm = Callable[["JobProcess"], Any]
RequestHandler = Callable[["JobRequest"], Awaitable[None]]

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080


@dataclass(frozen=True)
class WorkerOptions:
    """One agent and how its jobs run. All times in seconds.

    Attributes:
        entrypoint_fnc: a coroutine function, called with a `JobContext` for each conversation.
        prewarm_fnc: called once before the first job with the `JobProcess`: the place to load models. A plain function runs
            in a thread, a coroutine function on the event loop.
        request_fnc: decides on each job, see `JobRequest`; None: every job is taken.
        agent_name: what dispatches ask for.
        host: where `dev` and `start` listen.
        port: the same.
        join_timeout: a job whose room nobody else enters ends after this.
        departure_timeout: a job ends this long after the last user left its room.
        shutdown_timeout: for each step of a job's end.
    """

    entrypoint_fnc: Entrypoint
    prewarm_fnc: Prewarm | None = None
    request_fnc: RequestHandler | None = None
    agent_name: str = ""
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    join_timeout: float = 60.0
    departure_timeout: float = 20.0
    shutdown_timeout: float = 10.0


class AgentServer:
    """The agents of a program, each an entrypoint under a name.

    ```python
    server = AgentServer()

    @server.rtc_session(agent_name="reception")
    async def reception(ctx: JobContext): ...

    cli.run_app(server)
    ```
    """

    def __init__(
        self, *, setup_fnc: Prewarm | None = None, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT
    ) -> None:
        """Prepare a server without agents.

        Args:
            setup_fnc: as `WorkerOptions.prewarm_fnc`, for all agents.
            host: where `dev` and `start` listen.
            port: the same.
        """
        self.setup_fnc = setup_fnc
        self.host = host
        self.port = port
        self._sessions: dict[str, tuple[Entrypoint, RequestHandler | None]] = {}

    @overload
    def rtc_session(self, entrypoint: Entrypoint) -> Entrypoint: ...
    @overload
    def rtc_session(
        self, *, agent_name: str = "", on_request: RequestHandler | None = None
    ) -> Callable[[Entrypoint], Entrypoint]: ...
    def rtc_session(
        self,
        entrypoint: Entrypoint | None = None,
        *,
        agent_name: str = "",
        on_request: RequestHandler | None = None,
    ) -> Entrypoint | Callable[[Entrypoint], Entrypoint]:
        """Make a coroutine function the entrypoint of an agent; a decorator, with or without arguments.

        Raises:
            ConfigurationError: there is an agent of that name already.
        """

        def register(function: Entrypoint) -> Entrypoint:
            if agent_name in self._sessions:
                called = f"called {agent_name!r}" if agent_name else "without a name"
                raise ConfigurationError(
                    f"this AgentServer has an agent {called} already; give this one another agent_name"
                )
            self._sessions[agent_name] = (function, on_request)
            return function

        return register if entrypoint is None else register(entrypoint)

    @property
    def agents(self) -> list[WorkerOptions]:
        """What was registered, as options."""
        return [
            WorkerOptions(
                entrypoint_fnc=entrypoint,
                prewarm_fnc=self.setup_fnc,
                request_fnc=on_request,
                agent_name=name,
                host=self.host,
                port=self.port,
            )
            for name, (entrypoint, on_request) in self._sessions.items()
        ]


def agents_of(program: WorkerOptions | AgentServer) -> list[WorkerOptions]:
    """The agents that a program offers.

    Raises:
        ConfigurationError: it offers none.
    """
    agents = [program] if isinstance(program, WorkerOptions) else program.agents
    if not agents:
        raise ConfigurationError(
            "this AgentServer has no agent: decorate its entrypoint with @server.rtc_session(agent_name=...)"
        )
    return agents
