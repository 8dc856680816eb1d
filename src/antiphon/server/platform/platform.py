"""One process of the platform: what it is made of, and the order in which that starts and stops."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import FastAPI

from ...calls.call_host import CallHost
from ...calls.call_parts import CallOptions
from ...calls.dispatcher import DispatcherOptions, OutboundDispatcher
from ...calls.event_relay import EventRelay
from ...calls.inbound import InboundOptions
from ...calls.recording import Recordings, RecordingStorage
from ...calls.supervisor import INTERVAL, CallSupervisor
from ...calls.upkeep import Upkeep, retention_in_seconds
from ...calls.webhook_delivery import WebhookDeliverer
from ...models.errors import ConfigurationError
from ...models.outbound_http import OutboundPolicy
from ...observability import Metrics
from ...observability.measured_backend import MeasuredBackend
from ...rooms.local import LocalRooms
from ...store import Document, Store, open_store
from ..app import create_app
from ..rest import RestServices, install_rest
from ..serve import serve
from ..settings import ServerSettings, parse_ice_servers
from ..tls import data_folder
from .health import create_health_app
from .prewarm import Prewarmer
from .roles import SupervisedRole
from .settings import PlatformSettings, Role
from .signals import StopRequests, listening_to_signals
from .stored_assistants import StoredAssistants
from .telephone import Telephone

if TYPE_CHECKING:
    from ...observability import Tracing

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
CLOSE_SECONDS = 20.0
NOW_SECONDS = 2.0
"""What each step of an end gets that must be now."""
_COLLECTORS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_RENEWALS = 3  # in the time of a lease

Seed = Callable[[Store], Awaitable[None]]
OnReady = Callable[[str, str], None]


class Platform:
    """Runs the roles of its settings until it is told to stop.

    Args:
        settings: see `PlatformSettings`.
        seed: stores what must be there before anything starts.
        on_ready: called once all roles work, with the page's address, empty without the role api, and with host and port where
            telephones call, empty if they cannot.
    """

    def __init__(self, settings: PlatformSettings, *, seed: Seed | None = None, on_ready: OnReady) -> None:
        self._settings = settings
        self._seed = seed
        self._on_ready = on_ready
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._policy = OutboundPolicy(settings.webhooks.allowed_networks)
        self._server_settings = server_settings(settings)
        self._store = open_store(settings.store, retention=retention_of(settings))
        self._rooms = LocalRooms()
        self._metrics = Metrics(self._store, rooms=lambda: len(self._rooms.rooms))
        self._store.backend = MeasuredBackend(self._store.backend, self._metrics)
        self._tracing = make_tracing(settings)
        self._recordings = Recordings(self._store, recording_storage(settings))
        self._prewarmer = Prewarmer(settings.calls.turn_detector)
        self._host = self._make_host()
        self._telephone = self._make_telephone()
        self._relay: EventRelay | None = None
        self._deliverer: WebhookDeliverer | None = None
        self._dispatcher: OutboundDispatcher | None = None
        self._telephone_part: SupervisedRole | None = None
        self._health: SupervisedRole | None = None
        self._app: FastAPI | None = None
        self._url = ""
        self._roles: dict[Role, SupervisedRole] = {}
        self._started = False
        self._draining = False

    async def run(self) -> None:
        """Start, work, and stop after a signal.

        Raises:
            AntiphonError: it cannot start; the message says why and what to do.
        """
        loop = asyncio.get_running_loop()
        with listening_to_signals() as requests:
            working = loop.create_task(self._work(requests), name="platform")
            stopping = loop.create_task(requests.stop.wait())
            try:
                await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
                if not self._started:
                    working.cancel()
                await asyncio.wait({working})
            finally:
                stopping.cancel()
                working.cancel()
                await asyncio.wait({working})
            if not working.cancelled():
                working.result()

    # -- start and stop ---------------------------------------------------------------------------------------------

    async def _work(self, requests: StopRequests) -> None:
        try:
            await self._store.open()
            await self._start()
            self._started = True
            self._on_ready(self._url, self._telephone.address if self._telephone is not None else "")
            await requests.stop.wait()
            await self._drain(requests.now)
        finally:
            await self._stop(now=requests.now)

    async def _start(self) -> None:
        if self._seed is not None:
            await self._seed(self._store)
        await self._metrics.start()
        if self._settings.http.health_port is not None:  # first, so that a slow start can be watched
            self._health = SupervisedRole("health", self._serve_health)
            await self._health.start()
        if self._host is not None:
            await self._recordings.start()
            self._host.start()
            await self._prewarmer.load_all(self._store)
        parts = {
            Role.SUPERVISOR: self._supervise,
            Role.DISPATCHER: self._dispatch,
            Role.API: self._serve_http,
        }
        if self._telephone is not None:
            self._telephone_part = SupervisedRole("telephone", self._telephone.run)
            await self._telephone_part.start()
        for role, run in parts.items():
            if role in self._settings.roles:
                supervised = SupervisedRole(role, run)
                await supervised.start()
                self._roles[role] = supervised

    async def _drain(self, now: asyncio.Event) -> None:
        """Take nothing new, and let calls end by themselves for as long as the settings say."""
        self._draining = True
        if self._app is not None:
            self._app.state.server.draining = True
        if self._telephone is not None:
            self._telephone.accepting = False
        if self._dispatcher is not None:
            await self._dispatcher.stop()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._settings.drain_seconds
        if self._host is not None and self._host.calls:
            logger.info("%d calls may end by themselves; another signal ends them now", len(self._host.calls))
            # Calls end each on its own, and nobody tells of the last one.
            while self._host.calls and loop.time() < until and not now.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _stop(self, now: asyncio.Event) -> None:
        """Calls first, then what tells the world of them, the store last."""
        closing: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
            ("calls", self._close_host),
            ("the dispatcher", self._close_role(Role.DISPATCHER)),
            ("telephones", self._close_telephone),
            ("the HTTP server", self._close_http),
            ("recordings", self._recordings.aclose),
            ("events", self._flush),
            ("the supervisor", self._close_role(Role.SUPERVISOR)),
            ("the health server", self._close_health),
            ("metrics", self._metrics.aclose),
            ("traces", self._close_tracing),
            ("rooms", self._rooms.aclose),
            ("the store", self._store.close),
        ]
        for what, close in closing:
            try:
                async with asyncio.timeout(NOW_SECONDS if now.is_set() else CLOSE_SECONDS) as limit:
                    waiting = asyncio.ensure_future(_shortened(now, limit))
                    try:
                        await close()
                    finally:
                        waiting.cancel()
            except TimeoutError:
                logger.error("%s did not close in time", what)
            except Exception:
                logger.exception("closing %s failed", what)

    async def _close_host(self) -> None:
        if self._host is not None:
            await self._host.aclose()

    async def _close_telephone(self) -> None:
        if self._telephone_part is not None:
            await self._telephone_part.aclose()

    async def _close_http(self) -> None:
        if self._app is not None:
            self._app.state.rest.events.close()  # streams would keep it open
        await self._close_role(Role.API)()

    async def _close_health(self) -> None:
        if self._health is not None:
            await self._health.aclose()

    def _close_role(self, role: Role) -> Callable[[], Awaitable[None]]:
        async def close() -> None:
            if (supervised := self._roles.get(role)) is not None:
                await supervised.aclose()

        return close

    async def _flush(self) -> None:
        """What ended just now is told before we go, if it can be; what cannot is told by the next supervisor."""
        if self._relay is not None:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._relay.relay_all()

    async def _close_tracing(self) -> None:
        if self._tracing is not None:
            await self._tracing.aclose()

    # -- roles --------------------------------------------------------------------------------------------------------

    async def _supervise(self, ready: Callable[[], None]) -> None:
        deliverer = WebhookDeliverer(
            self._store,
            policy=self._policy,
            owner=self._name,
            on_attempt=self._metrics.webhook_attempted,
        )
        relay = EventRelay(
            self._store,
            public_url=self._settings.http.public_url,
            on_event=self._event_filed,
            on_delivery=deliverer.poke,
        )
        supervisor = CallSupervisor(
            self._store, interval=min(INTERVAL, self._settings.calls.lease_seconds / _RENEWALS)
        )
        upkeep = Upkeep(self._store, remove_recording=self._remove_recording)
        parts = (deliverer, relay, supervisor, upkeep)
        self._relay, self._deliverer = relay, deliverer
        try:
            for part in parts:
                part.start()
            ready()
            await asyncio.Event().wait()
        finally:
            self._relay = self._deliverer = None
            for part in reversed(parts):
                await part.aclose()

    async def _dispatch(self, ready: Callable[[], None]) -> None:
        assert self._host is not None  # there is one with this role
        options = DispatcherOptions(
            max_concurrent=self._settings.calls.max_concurrent,
            max_here=self._settings.calls.max_here,
            lease_seconds=self._settings.calls.lease_seconds,
        )
        diallers = self._telephone.diallers if self._telephone is not None else {}
        self._dispatcher = dispatcher = OutboundDispatcher(self._store, self._host, diallers, options)
        try:
            dispatcher.start()
            ready()
            await asyncio.Event().wait()
        finally:
            await dispatcher.aclose()
            self._dispatcher = None

    async def _remove_recording(self, recording: Document) -> None:
        await self._recordings.remove_files(recording)

    async def _serve_http(self, ready: Callable[[], None]) -> None:
        self._app = app = self._make_app()

        def listening(url: str) -> None:
            self._url = url
            ready()

        await serve(app, self._server_settings, listening, handle_signals=False)

    async def _serve_health(self, ready: Callable[[], None]) -> None:
        services = RestServices(self._store, ready=self._missing, metrics=self._metrics.render)
        app = create_health_app(services, lambda: 0 if self._host is None else len(self._host.calls))
        settings = health_settings(self._settings)

        def listening(url: str) -> None:
            logger.info("health and metrics at %s", url)
            ready()

        await serve(app, settings, listening, handle_signals=False)

    def _make_app(self) -> FastAPI:
        assistants = StoredAssistants(
            self._store,
            self._host if Role.WORKER in self._settings.roles else None,
            load=self._prewarmer.load,
        )
        settings = self._server_settings
        if self._url and not settings.port:  # started again: where it was
            settings = self._server_settings = _at_port(settings, urlsplit(self._url).port or 0)
        app = create_app(settings, assistants, self._rooms, shared=True)
        install_rest(
            app,
            RestServices(
                self._store,
                public_url=self._settings.http.public_url,
                host=self._host,
                recordings=self._recordings,
                on_enqueued=lambda: self._dispatcher.poke() if self._dispatcher is not None else None,
                on_event=lambda: self._relay.poke() if self._relay is not None else None,
                on_delivery=lambda: self._deliverer.poke() if self._deliverer is not None else None,
                ready=self._missing,
                metrics=self._metrics.render,
            ),
        )
        app.state.server.authenticator = app.state.rest.authenticator
        app.state.server.draining = self._draining
        return app

    def _missing(self) -> Sequence[str]:
        """What is not ready."""
        if self._draining:
            return ["the server is shutting down"]
        if not self._started:
            return ["the server is starting"]
        parts = [*self._roles.values(), *([self._telephone_part] if self._telephone_part else [])]
        return [f"{one.name} is starting again" for one in parts if not one.ready]

    def _event_filed(self, event: Document) -> None:
        if self._app is not None:
            self._app.state.rest.events.publish(event)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _make_host(self) -> CallHost | None:
        settings = self._settings
        if not {Role.WORKER, Role.DISPATCHER} & set(settings.roles):
            return None
        return CallHost(
            self._store,
            self._rooms,
            process_id=self._name,
            options=CallOptions(
                lease_seconds=settings.calls.lease_seconds,
                renew_seconds=settings.calls.lease_seconds / _RENEWALS,
                sounds=settings.calls.sounds,
                turn_detector=settings.calls.turn_detector,
                outbound=self._policy,
            ),
            recorders=self._recordings,
            observers=[self._metrics, *([self._tracing] if self._tracing is not None else [])],
        )

    def _make_telephone(self) -> Telephone | None:
        if self._host is None:
            return None
        settings = self._settings
        inbound = InboundOptions(
            settings.calls.max_concurrent, outbound=self._policy, on_refused=self._metrics.call_refused
        )
        return Telephone(settings.sip, self._store, self._rooms, self._host, inbound)


def server_settings(settings: PlatformSettings) -> ServerSettings:
    """What the HTTP server is told."""
    http, tokens = settings.http, settings.tokens
    more: dict[str, Any] = {"api_secret": tokens.api_secret} if tokens.api_secret else {}
    return ServerSettings(
        host=http.host,
        port=http.port,
        ice_servers=parse_ice_servers(json.dumps(settings.web.ice_servers)),
        api_key=tokens.api_key,
        token_lifetime=tokens.lifetime_seconds,
        tokens_per_minute=tokens.per_minute,
        token_burst=tokens.burst,
        tls_cert=http.tls_cert,
        tls_key=http.tls_key,
        tls={"auto": None, "on": True, "off": False}[http.tls],
        **more,
    )


def health_settings(settings: PlatformSettings) -> ServerSettings:
    """Where the health server listens; without TLS, which probes do without."""
    port = settings.http.health_port or 0
    return ServerSettings(host=settings.http.host, port=port, tls=False, port_option="http.health_port")


def recording_storage(settings: PlatformSettings) -> RecordingStorage:
    """Where recordings lie: if nothing is said, beside the store's file, or among the user's data.

    Raises:
        ConfigurationError: the storage's URL cannot be used.
    """
    chosen = settings.recordings
    folder = chosen.folder
    if folder is None:
        kind, _, path = settings.store.partition(":")
        beside = Path(path.removeprefix("//")).absolute().parent
        folder = (beside if kind == "sqlite" else data_folder()) / "recordings"
    return RecordingStorage(folder, chosen.url or None, options=chosen.options)


def retention_of(settings: PlatformSettings) -> dict[str, float]:
    days = settings.retention
    deliveries = [age for age in (days.webhook_deliveries_days, days.calls_days) if age is not None]
    return retention_in_seconds(
        {
            "calls": days.calls_days,
            "call_events": days.calls_days,
            "transcripts": days.calls_days,
            "recordings": days.recordings_days,
            # They hold what was said, so they are not kept longer than the call itself.
            "webhook_deliveries": min(deliveries, default=None),
        }
    )


def make_tracing(settings: PlatformSettings) -> Tracing | None:
    """Traces, if there is a collector; its packages are not looked for otherwise.

    Raises:
        ConfigurationError: packages are missing, or the address is none.
    """
    if not settings.tracing.endpoint and not any(os.environ.get(name) for name in _COLLECTORS):
        return None
    try:
        from ...observability.tracing import Tracing, TracingOptions
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"traces need {error.name}: pip install 'antiphon[tracing]', or leave tracing.endpoint out"
        ) from None
    options = TracingOptions.from_environment(endpoint=settings.tracing.endpoint or None)
    return Tracing(options) if options is not None else None


def _at_port(settings: ServerSettings, port: int) -> ServerSettings:
    return replace(settings, port=port)


async def _shortened(now: asyncio.Event, limit: asyncio.Timeout) -> None:
    """Leave a step of the end little time once it must be now."""
    await now.wait()
    when = asyncio.get_running_loop().time() + NOW_SECONDS
    limit.reschedule(min(when, limit.when() or when))
