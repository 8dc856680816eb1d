"""What a running call can be given: its settings and its recorder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..models.errors import AntiphonError
from ..models.outbound_http import OutboundPolicy
from ..models.vad import VAD
from ..rooms.room_host import RoomHost
from ..store import Document as Stored
from .runtime import VOICE_ACTIVITY


class HostClosing(AntiphonError):
    """This process ends and takes no more calls; nothing was done."""


class DialFailure(AntiphonError):
    """An outbound attempt could not begin: nothing was sent, and the call is in the queue again, its lease still held.

    Attributes:
        call: the document; give it back with `store.release`, or end it with `call_requests.end_queued`.
    """

    def __init__(self, message: str, call: Stored) -> None:
        super().__init__(message)
        self.call = call


class Recorder(Protocol):
    """Records one call; see `recording.recorder`."""

    async def start(self) -> Any: ...

    async def stop(self) -> Any: ...

    @property
    def info(self) -> Any:
        """With a `summary` for the call's document."""


class Recorders(Protocol):
    """Makes the recorders of calls; see `recording.Recordings`."""

    def recorder(
        self, call_id: str, rooms: RoomHost, room_name: str, *, caller_identity: str | None = None
    ) -> Recorder: ...


@dataclass(frozen=True)
class CallOptions:
    """How calls are run.

    Attributes:
        lease_seconds: how long a call survives without its process showing a sign of life.
        renew_seconds: how often that sign is given.
        poll_seconds: how often requests of other processes are looked for.
        patience: how long what follows a change waits for the store, before it goes on without it.
        commit_seconds: how long the end of a call is tried to be written; then a supervisor has to.
        leg_seconds: how long a leg may take to begin, answer or hang up.
        transfer_seconds: how long a transfer may take.
        flush_seconds: how long the end waits for the transcript.
        shutdown_seconds: how long all calls together have to end when the process does.
        setup_seconds, agent_seconds, no_rtp_seconds: see `lifecycle.CallLimits`.
        vad: the voice activity detector of the agents.
        sounds: the folder of background and thinking sounds.
        turn_detector: a model file for turn detection by words; None: that of the installation.
        outbound: where webhook tools may go.
    """

    lease_seconds: float = 30.0
    renew_seconds: float = 10.0
    poll_seconds: float = 1.0
    patience: float = 1.0
    commit_seconds: float = 60.0
    leg_seconds: float = 10.0
    transfer_seconds: float = 60.0
    flush_seconds: float = 5.0
    shutdown_seconds: float = 15.0
    setup_seconds: float = 60.0
    agent_seconds: float = 15.0
    no_rtp_seconds: float | None = 30.0
    vad: VAD | str = VOICE_ACTIVITY
    sounds: Path | None = None
    turn_detector: Path | None = None
    outbound: OutboundPolicy | None = None
