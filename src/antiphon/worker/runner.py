"""Runs jobs, many at a time, in this process."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from ..api import AgentDispatches, EmbeddedHost
from ..models.chat_context import new_id
from ..models.errors import AntiphonError
from ..rooms import ParticipantKind
from ..rooms.local import LocalRooms
from ..voice import AgentSession
from ..voice.turn_detection import prewarm as prewarm_turn_detector
from .job import Job, JobProcess, JobRejected, JobRequest
from .options import Prewarm, WorkerOptions
from .running_job import RunningJob

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT = 10.0
CLOSE_TIMEOUT = 30.0

OnSession = Callable[[AgentSession[Any]], None]


class JobRunner:
    """Sends agents into local rooms; each job has its own task and context, and none can harm another."""

    def __init__(
        self,
        rooms: LocalRooms,
        *,
        dispatches: AgentDispatches | None = None,
        on_session: OnSession | None = None,
    ) -> None:
        """Prepare a runner without jobs.

        Args:
            rooms: where the rooms are.
            dispatches: what `ctx.api.agent_dispatch` acts on.
            on_session: called with every session at its start, before anything happens in it.
        """
        self._rooms = rooms
        self._host = EmbeddedHost(rooms, dispatches)
        self._on_session = on_session
        self._jobs: dict[str, RunningJob] = {}
        self._prewarmed: dict[Prewarm | None, asyncio.Task[JobProcess]] = {}
        self._closed = False

    @property
    def jobs(self) -> list[RunningJob]:
        """The jobs that run now."""
        return list(self._jobs.values())

    async def prewarm(self, options: WorkerOptions) -> JobProcess:
        """Run the agent's `prewarm_fnc`, once. Raises what it raises."""
        prewarm = options.prewarm_fnc
        task = self._prewarmed.get(prewarm)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.get_running_loop().create_task(_prewarm(options), name="prewarm")
            self._prewarmed[prewarm] = task
        return await asyncio.shield(task)

    async def launch(self, options: WorkerOptions, room: str, *, metadata: str = "") -> RunningJob:
        """Send an agent into a room, which is created when there is none.

        Returns:
            The job, running. How its entrypoint fares shows there.

        Raises:
            JobRejected: the agent's `request_fnc` did not take it.
            AntiphonError: the runner is closed.
        """
        job = Job(new_id("AJ"), room, options.agent_name, metadata)
        request = await _offer(options, job)
        proc = await self.prewarm(options)
        if self._closed:
            raise AntiphonError(f"cannot send an agent to room {room!r}: this process is shutting down")
        member = await self._rooms.join(
            room,
            request.identity or f"agent-{job.id}",
            ParticipantKind.AGENT,
            name=request.name or options.agent_name,
            metadata=request.metadata,
        )
        running = RunningJob(options, job, proc, member, self._host, self._on_session)
        self._jobs[job.id] = running
        running.start().add_done_callback(lambda _task: self._jobs.pop(job.id, None))
        logger.info("job %s: agent %r joined room %r", job.id, options.agent_name, room)
        return running

    async def aclose(self) -> None:
        """End all jobs, side by side; safe to call twice."""
        self._closed = True
        for task in self._prewarmed.values():
            task.cancel()
        await asyncio.gather(*self._prewarmed.values(), return_exceptions=True)
        running = self.jobs
        for job in running:
            job.end("server shutting down")
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await asyncio.gather(*(job.wait() for job in running))
        except TimeoutError:
            left = ", ".join(job.job.id for job in self.jobs)
            logger.error("jobs that did not end within %g s: %s", CLOSE_TIMEOUT, left)


async def _prewarm(options: WorkerOptions) -> JobProcess:
    proc = JobProcess()
    await prewarm_turn_detector()  # every session has it that is not told otherwise
    if inspect.iscoroutinefunction(options.prewarm_fnc):
        await options.prewarm_fnc(proc)
    elif options.prewarm_fnc is not None:
        await asyncio.to_thread(options.prewarm_fnc, proc)
    return proc


async def _offer(options: WorkerOptions, job: Job) -> JobRequest:
    """Ask the agent whether it takes the job."""
    request = JobRequest(job)
    if options.request_fnc is None:
        await request.accept()
        return request
    try:
        async with asyncio.timeout(REQUEST_TIMEOUT):
            await options.request_fnc(request)
    except TimeoutError as error:
        raise JobRejected(
            f"agent {options.agent_name!r} did not decide on a job for room {job.room!r} within {REQUEST_TIMEOUT:g} s"
        ) from error
    if not request.accepted:
        raise JobRejected(f"agent {options.agent_name!r} did not take the job for room {job.room!r}")
    return request
