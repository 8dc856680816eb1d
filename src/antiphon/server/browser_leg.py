"""A browser as the far end of a call."""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..telephony import LegEnded, LegEvent, LegMediaReady, LegMediaReceived, OnLegEvent, TransferFailed

SHUTDOWN = "shutdown"
"""The reason of a call that ends because this server does; the page then waits for the server instead of giving up."""


class Browser(Protocol):
    """What a leg needs of a `WebRTCParticipant`."""

    async def hang_up(self, reason: str) -> None: ...
    async def aclose(self, reason: str = ...) -> None: ...


class BrowserLeg:
    """Reports what a browser does; what happens before the call listens is kept for it.

    A connection that stands carries media both ways, so it counts as the first audio: who only listens and types is in the
    call too.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._on_event: OnLegEvent | None = None
        self._waiting: list[LegEvent] = []
        self._over = False

    @property
    def on_event(self) -> OnLegEvent | None:
        return self._on_event

    @on_event.setter
    def on_event(self, listener: OnLegEvent | None) -> None:
        self._on_event = listener
        if listener is not None and self._waiting:
            asyncio.get_running_loop().call_soon(self._deliver)

    def connected(self) -> None:
        """Media flows."""
        self._tell(LegMediaReady())
        self._tell(LegMediaReceived())

    def ended(self, reason: str) -> None:
        """The browser has gone."""
        self._tell(LegEnded(reason))
        self._over = True

    async def answer(self) -> None:
        """A call from a browser is answered from the beginning."""

    async def cancel(self) -> None:
        await self.hang_up(None, "cancelled")

    async def hang_up(self, sip_code: int | None, reason: str) -> None:
        self._over = True
        if reason == SHUTDOWN:
            await self._browser.aclose("server shutting down")
        else:
            await self._browser.hang_up(reason)

    async def transfer(self, target: str) -> None:
        raise TransferFailed("a call from a browser cannot be transferred to a telephone number")

    async def send_dtmf(self, digits: str) -> None:
        """A browser has no keys to hear."""

    async def aclose(self) -> None:
        self._over = True
        await self._browser.aclose("the call is over")

    def _tell(self, event: LegEvent) -> None:
        if not self._over:
            self._waiting.append(event)
            self._deliver()

    def _deliver(self) -> None:
        while self._waiting and self._on_event is not None:
            self._on_event(self._waiting.pop(0))
