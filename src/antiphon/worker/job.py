"""What an entrypoint knows of its job."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from ..api import EmbeddedHost, LiveKitAPI, TransferSIPParticipantRequest
from ..models.errors import AntiphonError
from ..rooms import Participant, ParticipantKind, Room, RoomDisconnected, RoomEvent

ShutdownCallback = Callable[[], Awaitable[None] | None] | Callable[[str], Awaitable[None] | None]


class JobRejected(AntiphonError):
    """The agent's `request_fnc` did not take the job."""


@dataclass(frozen=True)
class Job:
    """One conversation that an agent was sent to.

    Attributes:
        id: unique in this process and beyond, as in `"AJ_3f9a0c1d2e4b"`.
        room: the name of its room.
        agent_name: what the dispatch asked for.
        metadata: what the dispatch passed on, such as a telephone number as JSON.
    """

    id: str
    room: str
    agent_name: str = ""
    metadata: str = ""


@dataclass
class JobProcess:
    """The process that jobs run in; `userdata` keeps what `prewarm_fnc` loaded for all of them."""

    userdata: dict[str, Any] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        return os.getpid()


class JobRequest:
    """A job on offer: `request_fnc` awaits `accept` or `reject`; doing neither rejects it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.accepted = False
        self.name = ""
        self.identity = ""
        self.metadata = ""

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def agent_name(self) -> str:
        return self.job.agent_name

    async def accept(self, *, name: str = "", identity: str = "", metadata: str = "") -> None:
        """Take it, and say how the agent shows in the room."""
        self.accepted, self.name, self.identity, self.metadata = True, name, identity, metadata

    async def reject(self) -> None:
        self.accepted = False


class JobContext:
    """Handed to the entrypoint; tools find it with `get_job_context()`.

    Attributes:
        job: what this is about.
        proc: the process and what was loaded for it.
        room: the room that the agent is in.
        api: the server API.
        log_context_fields: shown with every log record of this job.
    """

    def __init__(
        self, job: Job, proc: JobProcess, room: Room, host: EmbeddedHost, end: Callable[[str], None]
    ) -> None:
        self.job = job
        self.proc = proc
        self.room = room
        self.api = LiveKitAPI(host)
        self.log_context_fields: dict[str, Any] = {}
        self._end = end
        self._shutdown_callbacks: list[ShutdownCallback] = []

    @property
    def agent(self) -> Participant:
        """The agent as the others in the room see it."""
        return self.room.local_participant

    async def connect(self) -> None:
        """Make sure that the agent is in its room. It is from the start, so this returns at once.

        Raises:
            RoomDisconnected: the room is gone.
        """
        if not self.room.connected:
            raise RoomDisconnected(f"room {self.job.room!r} is closed")

    async def wait_for_participant(
        self, *, identity: str | None = None, kind: ParticipantKind | None = None
    ) -> Participant:
        """Wait until somebody is in the room who is no agent.

        Args:
            identity: wait for this one.
            kind: wait for one of this kind, agents included.

        Raises:
            RoomDisconnected: the room was closed before.
        """

        def wanted(participant: Participant) -> bool:
            right_kind = (
                participant.kind is kind
                if kind is not None
                else participant.kind is not ParticipantKind.AGENT
            )
            return right_kind and identity in (None, participant.identity)

        await self.connect()
        for participant in self.room.remote_participants.values():
            if wanted(participant):
                return participant
        found: asyncio.Future[Participant] = asyncio.get_running_loop().create_future()

        def joined(participant: Participant) -> None:
            if wanted(participant) and not found.done():
                found.set_result(participant)

        def disconnected(reason: str) -> None:
            if not found.done():
                found.set_exception(RoomDisconnected(f"room {self.job.room!r} is closed: {reason}"))

        self.room.on(RoomEvent.PARTICIPANT_JOINED, joined)
        self.room.on(RoomEvent.DISCONNECTED, disconnected)
        try:
            return await found
        finally:
            self.room.off(RoomEvent.PARTICIPANT_JOINED, joined)
            self.room.off(RoomEvent.DISCONNECTED, disconnected)

    async def transfer_sip_participant(self, participant_id: str, transfer_to: str) -> None:
        """Hand a telephone caller of this room over; returns when the other side has accepted.

        Args:
            participant_id: the caller's identity.
            transfer_to: a number, or a `tel:` or `sip:` URI.

        Raises:
            ApiError: they are not in the room or on no telephone, or the transfer was refused.
        """
        target = transfer_to if ":" in transfer_to else f"tel:{transfer_to}"
        await self.api.sip.transfer_sip_participant(
            TransferSIPParticipantRequest(participant_id, self.job.room, target)
        )

    def add_shutdown_callback(self, callback: ShutdownCallback) -> None:
        """Call `callback()` or `callback(reason)` when the job ends, before the room is left; it may be a coroutine."""
        self._shutdown_callbacks.append(callback)

    @property
    def shutdown_callbacks(self) -> tuple[ShutdownCallback, ...]:
        return tuple(self._shutdown_callbacks)

    def shutdown(self, reason: str = "") -> None:
        """End the job soon: the entrypoint, its sessions, the callbacks, then the room."""
        self._end(reason or "shutdown")


_current: contextvars.ContextVar[JobContext | None] = contextvars.ContextVar("job_context", default=None)


@overload
def get_job_context() -> JobContext: ...
@overload
def get_job_context(*, required: Literal[True]) -> JobContext: ...
@overload
def get_job_context(*, required: bool) -> JobContext | None: ...
def get_job_context(*, required: bool = True) -> JobContext | None:
    """The job that the calling code runs in: its entrypoint, or a tool, hook or listener of one of its sessions.

    Raises:
        RuntimeError: there is none, and `required` is not False.
    """
    context = _current.get()
    if context is None and required:
        raise RuntimeError(
            "no job is running here: get_job_context() works inside an entrypoint and its sessions"
        )
    return context


def enter_job(context: JobContext) -> None:
    """Make `context` the job of the running task and of all that it starts; the runner calls this."""
    _current.set(context)
