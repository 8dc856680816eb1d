"""Listen on a port until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ..models.errors import AntiphonError, ConfigurationError
from .settings import ServerSettings
from .tls import certificate_for

_BACKLOG = 128


class ServerStartError(AntiphonError):
    """The server cannot listen; the message says why and what to do."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The fastest event loop there is, for `asyncio.Runner(loop_factory=…)`; None for asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def serve(
    app: FastAPI, settings: ServerSettings, on_ready: Callable[[str], None], *, handle_signals: bool = True
) -> None:
    """Answer requests until SIGINT or SIGTERM, or until cancelled; then close everything within the deadline.

    Signals are handled when this runs in the main thread. A second one ends the waiting for open requests.

    Args:
        app: from `create_app`.
        settings: where to listen.
        on_ready: called with the page's address, once it answers.
        handle_signals: False: only cancelling ends it.

    Raises:
        ServerStartError: the address cannot be listened on.
        ConfigurationError: the certificate cannot be used.
    """
    certificate = certificate_for(settings)
    listener = listen(settings.host, settings.port, settings.port_option)
    try:
        config = uvicorn.Config(
            app,
            lifespan="on",
            loop="none",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            ssl_certfile=certificate.cert if certificate else None,
            ssl_keyfile=certificate.key if certificate else None,
            timeout_graceful_shutdown=max(1, int(settings.shutdown_deadline / 2)),
        )
        try:
            config.load()
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(
                f"the certificate cannot be used: {error}. It and its key must be PEM and belong together."
            ) from error
        port = listener.getsockname()[1]
        url = page_address("https" if certificate else "http", settings.host, port)
        server = _Server(config)
        with _signals(server) if handle_signals else contextlib.nullcontext():
            await _run(server, listener, url, on_ready, settings.shutdown_deadline * 2)
    finally:
        listener.close()


def page_address(scheme: str, host: str, port: int) -> str:
    """The address to open in a browser on this machine, or elsewhere when `host` is one of its addresses."""
    name = "localhost" if host in ("0.0.0.0", "::", "") else host
    bracketed = f"[{name}]" if ":" in name else name
    return f"{scheme}://{bracketed}:{port}"


class _Server(uvicorn.Server):
    """Leaves signals to `serve`, which must not raise them again once it has shut down."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(
    server: _Server, listener: socket.socket, url: str, on_ready: Callable[[str], None], deadline: float
) -> None:
    serving = asyncio.get_running_loop().create_task(server.serve([listener]), name="http server")
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.01)
        if server.started:
            on_ready(url)
        await asyncio.shield(serving)
    except BaseException:
        server.should_exit = True
        await asyncio.wait([serving], timeout=deadline)
        serving.cancel()
        await asyncio.wait([serving])
        raise


@contextlib.contextmanager
def _signals(server: _Server) -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    previous = {}
    # Handlers can only be set in the main thread.
    with contextlib.suppress(ValueError):
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """A socket that listens; raises ServerStartError, which says why not and what to do."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ServerStartError(
            f"host {host!r} is not an address of this machine: {error.strerror}"
        ) from error
    # Of a name with addresses of both kinds the IPv4 one, which every browser tries.
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ServerStartError(_why_not(error, host, port, option)) from error
    return listener


def _why_not(error: OSError, host: str, port: int, option: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"port {port} on {host} is in use by another program. "
                f"Stop that program, or choose another port: {option} {port + 1 if port < 65535 else 8080}"
            )
        case errno.EACCES:
            return f"port {port} needs more rights than this user has; choose one above 1023: {option} 8080"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine; --host 0.0.0.0 listens on all of them"
        case _:
            return f"cannot listen on {host} port {port}: {error.strerror or error}"
