"""The media engines of this host: as many processes as it was given cores, each call in the one with the fewest."""

from __future__ import annotations

import asyncio
import logging

from ..models.errors import ConfigurationError
from ..rtp.media_process import MediaCall, MediaFailed, MediaProcess
from ..rtp.port_pool import PortPool

logger = logging.getLogger(__name__)


class MediaEngines:
    """Starts engines when the first call needs one, and again when one died."""

    def __init__(self, ports: PortPool, *, processes: int = 1) -> None:
        """Prepare; nothing runs yet.

        Args:
            ports: of all calls of this host.
            processes: how many engines; about one for each core that media may use.

        Raises:
            ConfigurationError: less than one.
        """
        if processes < 1:
            raise ConfigurationError("media needs at least one process")
        self.ports = ports
        self._wanted = processes
        self._engines: list[MediaProcess] = []
        self._starting = asyncio.Lock()
        self._closed = False

    @property
    def engines(self) -> tuple[MediaProcess, ...]:
        """Those that run now."""
        return tuple(engine for engine in self._engines if engine.alive)

    async def start(self) -> None:
        """Start them now, rather than with the first call. Raises MediaFailed."""
        async with self._starting:
            if self._closed:
                raise MediaFailed("the media engines are shut down")
            dead = [engine for engine in self._engines if not engine.alive]
            for engine in dead:
                self._engines.remove(engine)
                await engine.aclose()
            while len(self._engines) < self._wanted:
                engine = MediaProcess(self.ports)
                await engine.start()
                self._engines.append(engine)
                logger.info("media engine started as process %s", engine.pid)

    async def open_call(self, host: str) -> MediaCall:
        """Ports and a place in an engine for one call.

        Raises:
            PortsExhausted: there is no port.
            MediaFailed: there is no engine, or it cannot bind.
        """
        if len(self.engines) < self._wanted:
            await self.start()
        engine = min(self.engines, key=lambda one: one.calls)
        return await engine.open_call(host)

    async def aclose(self) -> None:
        """End all engines; safe to call twice."""
        self._closed = True
        async with self._starting:
            engines, self._engines = self._engines, []
            await asyncio.gather(*(engine.aclose() for engine in engines))
