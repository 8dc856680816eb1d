"""Agents by name, sent to rooms on demand."""

from __future__ import annotations

from collections.abc import Iterable

from ..api import AgentDispatch, ApiError
from ..models.errors import AntiphonError, ConfigurationError
from ..rooms.local import LocalRooms
from .job import JobRejected
from .options import WorkerOptions
from .runner import JobRunner, OnSession
from .running_job import RunningJob


class JobDispatcher:
    """The agents of this process; what `ctx.api.agent_dispatch` acts on."""

    def __init__(
        self, rooms: LocalRooms, agents: Iterable[WorkerOptions], *, on_session: OnSession | None = None
    ) -> None:
        """Offer agents.

        Args:
            rooms: where they are sent.
            agents: by their `agent_name`.
            on_session: called with every session at its start.

        Raises:
            ConfigurationError: two agents have the same name.
        """
        self._agents: dict[str, WorkerOptions] = {}
        for options in agents:
            if options.agent_name in self._agents:
                raise ConfigurationError(f"there are two agents called {options.agent_name!r}")
            self._agents[options.agent_name] = options
        self.runner = JobRunner(rooms, dispatches=self, on_session=on_session)

    @property
    def agents(self) -> list[WorkerOptions]:
        return list(self._agents.values())

    async def prewarm(self) -> None:
        """Load what the agents need. Raises what their `prewarm_fnc` raises."""
        for options in self._agents.values():
            await self.runner.prewarm(options)

    async def start(self, agent_name: str, room: str, metadata: str = "") -> RunningJob:
        """Send an agent to a room; returns once its session starts.

        Raises:
            ApiError: there is no such agent.
            JobRejected: it refused.
            AntiphonError: its entrypoint failed before that; the message says why.
        """
        options = self._agents.get(agent_name)
        if options is None:
            known = ", ".join(repr(name) for name in self._agents)
            raise ApiError(f"there is no agent {agent_name!r}; the agents are: {known}", code="not_found")
        job = await self.runner.launch(options, room, metadata=metadata)
        await job.wait_begun()
        if isinstance(job.error, AntiphonError):
            raise job.error
        if job.error is not None:
            raise AntiphonError(
                f"the entrypoint of agent {agent_name!r} failed; the log says why"
            ) from job.error
        return job

    async def create_dispatch(self, agent_name: str, room: str, metadata: str) -> AgentDispatch:
        """See `AgentDispatches.create_dispatch`."""
        try:
            job = await self.start(agent_name, room, metadata)
        except JobRejected as error:
            raise ApiError(str(error), code="failed_precondition") from error
        return _describe(job)

    def list_dispatches(self, room: str) -> list[AgentDispatch]:
        """See `AgentDispatches.list_dispatches`."""
        return [_describe(job) for job in self.runner.jobs if job.job.room == room]

    async def aclose(self) -> None:
        """End all jobs; safe to call twice."""
        await self.runner.aclose()


def _describe(running: RunningJob) -> AgentDispatch:
    job = running.job
    return AgentDispatch(job.id, job.agent_name, job.room, job.metadata)
