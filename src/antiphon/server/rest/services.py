"""What the REST routes work with, and how they reach it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from fastapi import Request

from ...calls.recording import StoredRecording
from ...store import Store
from ..api_keys import Principal
from ..auth import Authenticator
from .event_streams import EventStreams


class RunningCalls(Protocol):
    """The calls of this process; `calls.call_host.CallHost` is one."""

    def poke(self, call_id: str) -> None:
        """Something was asked of a call: have a look at once. A call that does not run here is no error."""


class StoredRecordings(Protocol):
    """Where recordings lie; `calls.recording.Recordings` is one."""

    async def open(self, call_id: str) -> StoredRecording:
        """Raises RecordingNotFound, RecordingNotReady, RecordingUnavailable."""


def _ready() -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class RestServices:
    """What `install_rest` needs.

    Attributes:
        store: open, of everything.
        public_url: where this server is reached from outside, as `https://voice.example.com`; empty: not known.
        host: the calls of this process; None: there are none.
        recordings: where they lie; None: this process cannot read them, and says 404.
        on_enqueued: told that an outbound call waits, so that a dispatcher of this process looks at once.
        on_event: told that a call has new events in its outbox, as `EventRelay.poke`.
        on_delivery: told that a webhook waits to be delivered, as `WebhookDeliverer.poke`.
        ready: what is not ready yet, as `"the recogniser is loading"`; nothing when calls can be taken.
        metrics: the page of metrics, as `Metrics.render`: from the request's `Accept` to body and content type; None: there
            is none.
        most_streams: event streams at once.
        most_streams_per_key: of them with one key.
    """

    store: Store
    public_url: str = ""
    host: RunningCalls | None = None
    recordings: StoredRecordings | None = None
    on_enqueued: Callable[[], None] | None = None
    on_event: Callable[[], None] | None = None
    on_delivery: Callable[[], None] | None = None
    ready: Callable[[], Sequence[str]] = _ready
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]] | None = None
    most_streams: int = 500
    most_streams_per_key: int = 100


@dataclass
class RestState:
    """What the routes share; `app.state.rest`.

    Attributes:
        events: tell it of each event that is filed, as `EventRelay(on_event=state.events.publish)`.
    """

    services: RestServices
    authenticator: Authenticator
    events: EventStreams = field(default_factory=EventStreams)

    @property
    def store(self) -> Store:
        return self.services.store


def rest_state(request: Request) -> RestState:
    """The `RestState` of the application that serves `request`."""
    return cast(RestState, request.app.state.rest)


def store_of(request: Request) -> Store:
    return rest_state(request).store


def principal_of(request: Request) -> Principal:
    """Whose key the request has; only in routes that need a scope."""
    return cast(Principal, request.state.principal)
