"""One job from its start to its end."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ..api import EmbeddedHost, embedded_host
from ..models.errors import AntiphonError, ConfigurationError
from ..rooms import Participant, ParticipantKind, Room, RoomEvent
from ..voice import AgentSession, SessionClosed, SessionEvent
from ..voice.room_io import TOPIC
from ..voice.session_owner import session_owner
from .job import Job, JobContext, JobProcess, ShutdownCallback, enter_job
from .options import WorkerOptions

logger = logging.getLogger(__name__)

SESSION_GAP = 5.0
"""Seconds that an entrypoint which still runs has to start its next session after its last one closed."""


class RunningJob:
    """Runs an entrypoint in a task of its own.

    The job ends when the entrypoint fails, when all sessions it started are closed, when its users have left or never
    come, when its room is closed, or when it is asked to. Then, each step within a deadline and whatever the steps before it
    did: the entrypoint is cancelled, the sessions are closed, the shutdown callbacks run, the room is left.

    Attributes:
        context: what the entrypoint was called with.
        error: why the entrypoint failed, if it did.
        reason: why the job ended, or will soon.
    """

    def __init__(
        self,
        options: WorkerOptions,
        job: Job,
        proc: JobProcess,
        room: Room,
        host: EmbeddedHost,
        on_session: Callable[[AgentSession[Any]], None] | None = None,
    ) -> None:
        """Prepare it; `start` makes it run.

        Args:
            options: the agent.
            job: what it is about.
            proc: what was loaded for all jobs.
            room: joined already.
            host: for the server API.
            on_session: called with each `AgentSession` that the entrypoint starts, before anything happens in it.
        """
        self.context = JobContext(job, proc, room, host, self.end)
        self.error: BaseException | None = None
        self.reason = ""
        self._options = options
        self._host = host
        self._on_session = on_session
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        self._begun = asyncio.Event()  # a session starts, or nothing more will come
        self._sessions: list[AgentSession[Any]] = []
        self._open_sessions = 0
        self._entrypoint: asyncio.Task[Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._empty_timer: asyncio.TimerHandle | None = None
        self._gap_timer: asyncio.TimerHandle | None = None

    @property
    def job(self) -> Job:
        return self.context.job

    @property
    def sessions(self) -> tuple[AgentSession[Any], ...]:
        """What the entrypoint started, closed ones included; nothing once the job is over."""
        return tuple(self._sessions)

    @property
    def entrypoint_returned(self) -> bool:
        return self._entrypoint is not None and self._entrypoint.done()

    def start(self) -> asyncio.Task[None]:
        """Begin; the task ends when all is over and never fails."""
        self._task = self._loop.create_task(self._run(), name=f"job {self.job.id}")
        return self._task

    def end(self, reason: str) -> None:
        """End it soon. Only the first reason counts."""
        if not self._ending.is_set():
            self.reason = reason
            self._ending.set()
            self._begun.set()

    async def wait_begun(self) -> None:
        """Wait until the entrypoint has started a session, or has returned or failed without one."""
        await self._begun.wait()

    async def wait(self) -> None:
        """Wait until it is over; cancelling the wait does not end the job."""
        if self._task is not None:
            await asyncio.wait([self._task])

    # -- while it runs ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        enter_job(self.context)
        embedded_host.set(self._host)
        session_owner.set(self._adopt)
        self._room.on(RoomEvent.PARTICIPANT_JOINED, self._joined)
        self._room.on(RoomEvent.PARTICIPANT_LEFT, self._left)
        self._room.on(RoomEvent.DISCONNECTED, self._disconnected)
        if not self._has_users():
            self._end_after(self._options.join_timeout, "nobody joined")
        self._entrypoint = self._loop.create_task(self._enter(), name=f"job {self.job.id}/entrypoint")
        try:
            await self._ending.wait()
        finally:
            self.end("cancelled")
            await self._shut_down(self._entrypoint)

    async def _enter(self) -> None:
        try:
            await self._options.entrypoint_fnc(self.context)
        except Exception as error:
            self.error = error
            await self._report(error)
            self.end("entrypoint failed")
        else:
            self._begun.set()
            self._check_sessions()

    async def _report(self, error: BaseException) -> None:
        about = f"agent {self.job.agent_name or 'without a name'} in room {self.job.room!r}"
        if isinstance(error, ConfigurationError):
            logger.error("%s cannot run: %s", about, error)
        else:
            logger.error("the entrypoint of %s failed", about, exc_info=error)
        message = str(error) if isinstance(error, AntiphonError) else "the assistant failed; the log says why"
        try:
            async with asyncio.timeout(self._options.shutdown_timeout):
                await self._room.publish_data(json.dumps({"type": "error", "message": message}), topic=TOPIC)
        except (AntiphonError, TimeoutError):
            logger.info("nobody in room %r could be told", self.job.room)

    def _adopt(self, session: AgentSession[Any]) -> None:
        self._sessions.append(session)
        self._open_sessions += 1
        self._begun.set()
        if self._gap_timer is not None:
            self._gap_timer.cancel()
            self._gap_timer = None
        session.once(SessionEvent.CLOSE, self._session_closed)
        if self._on_session is not None:
            self._on_session(session)

    def _session_closed(self, _event: SessionClosed) -> None:
        self._open_sessions -= 1
        self._check_sessions()

    def _check_sessions(self) -> None:
        if self._open_sessions or not self._sessions:
            return
        if self.entrypoint_returned or asyncio.current_task() is self._entrypoint:
            self.end("all sessions closed")
        elif self._gap_timer is None:
            self._gap_timer = self._loop.call_later(SESSION_GAP, self.end, "all sessions closed")

    # -- the room --------------------------------------------------------------------------------------------------

    def _has_users(self) -> bool:
        return any(p.kind is not ParticipantKind.AGENT for p in self._room.remote_participants.values())

    def _joined(self, _participant: Participant) -> None:
        if self._has_users() and self._empty_timer is not None:
            self._empty_timer.cancel()
            self._empty_timer = None

    def _left(self, _participant: Participant) -> None:
        if not self._has_users():
            self._end_after(self._options.departure_timeout, "everybody left")

    def _disconnected(self, reason: str) -> None:
        self.end(f"room closed: {reason}")

    def _end_after(self, seconds: float, reason: str) -> None:
        if self._empty_timer is None:
            self._empty_timer = self._loop.call_later(seconds, self.end, reason)

    # -- the end ---------------------------------------------------------------------------------------------------

    async def _shut_down(self, entrypoint: asyncio.Task[Any]) -> None:
        for timer in (self._empty_timer, self._gap_timer):
            if timer is not None:
                timer.cancel()
        entrypoint.cancel()
        _, pending = await asyncio.wait([entrypoint], timeout=self._options.shutdown_timeout)
        if pending:
            logger.error("job %s: the entrypoint does not let itself be cancelled; going on", self.job.id)
        await asyncio.gather(*(self._step(s.aclose(), "closing a session") for s in self._sessions))
        for callback in self.context.shutdown_callbacks:
            await self._step(self._call(callback), "a shutdown callback")
        self._room.off(RoomEvent.DISCONNECTED, self._disconnected)
        await self._step(self._room.disconnect(), "leaving the room")
        # Timers that outlive the job keep its context; that must not keep its conversations.
        self._sessions.clear()

    async def _call(self, callback: ShutdownCallback) -> None:
        result = callback(self.reason) if _takes_reason(callback) else callback()  # type: ignore[call-arg]
        if inspect.isawaitable(result):
            await result

    async def _step(self, step: Awaitable[Any], what: str) -> None:
        limit = self._options.shutdown_timeout
        scope = asyncio.timeout(limit)
        try:
            async with scope:
                await step
        except TimeoutError:
            if scope.expired():
                logger.error("job %s: %s took longer than %g s", self.job.id, what, limit)
            else:
                logger.exception("job %s: %s failed", self.job.id, what)
        except Exception:
            logger.exception("job %s: %s failed", self.job.id, what)


def _takes_reason(callback: ShutdownCallback) -> bool:
    """Whether a callback has a place for the reason."""
    try:
        inspect.signature(callback).bind("")
    except TypeError:
        return False
    return True
