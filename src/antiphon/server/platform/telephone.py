"""The telephone side of a process: loopback, SIP trunks, and who takes the calls that come in."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from typing import Any

from ...calls.call_host import CallHost
from ...calls.inbound import InboundOptions, InboundRouter
from ...models.errors import AntiphonError
from ...rooms.local import LocalRooms
from ...store import Store, StoreError
from ...telephony import Dialler, DialRequest, IncomingCall, Leg, OnLegEvent
from ...telephony.loopback import LoopbackDialler
from ...telephony.sip_service import SipOptions, SipService, SipStartError
from ...telephony.sip_trunk import SIP_PROVIDERS
from .settings import SipSettings

logger = logging.getLogger(__name__)

TRUNKS_EVERY = 5.0
"""Seconds between two looks at the trunks in the store."""
_LOOK_UPS_EVERY = 12  # looks at the trunks: their names may lead elsewhere by then


class Telephone:
    """Places and takes calls; give `diallers` to the dispatcher, and run it as a part of the process.

    Attributes:
        accepting: whether calls are taken; those that come otherwise get 503.
    """

    def __init__(
        self, settings: SipSettings, store: Store, rooms: LocalRooms, host: CallHost, inbound: InboundOptions
    ) -> None:
        """Prepare; nothing runs yet.

        Raises:
            ConfigurationError: a setting of SIP cannot be used.
        """
        self.accepting = True
        self._settings = settings
        self._store = store
        self._rooms = rooms
        self._router = InboundRouter(store, host, inbound)
        self._options = sip_options(settings) if settings.enabled else None
        self._loopback: LoopbackDialler | None = None
        self._sip: SipService | None = None
        self._trunks: list[dict[str, Any]] | None = None

    @property
    def diallers(self) -> dict[str, Dialler]:
        """By the provider of a trunk."""
        providers = {"loopback"} if self._options is None else {"loopback", *SIP_PROVIDERS}
        return dict.fromkeys(providers, self)

    async def dial(self, request: DialRequest, on_event: OnLegEvent) -> Leg:
        """See `Dialler.dial`."""
        dialler: Dialler | None = self._sip
        if request.trunk.get("provider") == "loopback":
            dialler = self._loopback
        if dialler is None:
            raise AntiphonError("the telephone side does not run now")
        return await dialler.dial(request, on_event)

    @property
    def address(self) -> str:
        """Where telephones reach us; empty without SIP."""
        if self._sip is None:
            return ""
        host, port = self._sip.address
        return f"{host}:{port}"

    async def run(self, ready: Callable[[], None]) -> None:
        """Work until cancelled.

        Raises:
            SipStartError: SIP cannot begin; with `optional` it is only logged.
        """
        try:
            self._loopback = LoopbackDialler(self._rooms, take=self._take)
            await self._start_sip()
            ready()
            for turn in itertools.count(1):
                await asyncio.sleep(TRUNKS_EVERY)
                if self._sip is not None:
                    await self._update_trunks(self._sip)
                    if turn % _LOOK_UPS_EVERY == 0:
                        await self._sip.look_up_trunks()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Hang up what is left; safe to call twice."""
        loopback, self._loopback = self._loopback, None
        sip, self._sip = self._sip, None
        if loopback is not None:
            await loopback.aclose()
        if sip is not None:
            await sip.aclose()

    async def _start_sip(self) -> None:
        if self._options is None:
            return
        sip = SipService(self._options, self._rooms, self._take, tick=self._rooms.tick)
        try:
            await sip.start()
        except SipStartError as error:
            if not self._settings.optional:
                raise
            logger.warning("telephones cannot call: %s", error)
            return
        self._sip, self._trunks = sip, None
        await self._update_trunks(sip)

    async def _update_trunks(self, sip: SipService) -> None:
        try:
            trunks = [document async for document in self._store.each("trunks", reveal=True)]
        except StoreError as error:
            logger.warning("the trunks cannot be read, so those of before hold: %s", error)
            return
        if trunks == self._trunks:
            return
        try:
            await sip.set_trunks(trunks)
        except ValueError as error:
            logger.error("the trunks cannot be used, so those of before hold: %s", error)
        self._trunks = trunks

    async def _take(self, incoming: IncomingCall) -> None:
        if self.accepting:
            await self._router.take(incoming)
        else:
            await self._router.turn_away(incoming)


def sip_options(settings: SipSettings) -> SipOptions:
    """What the telephony layer is told."""
    return SipOptions(
        host=settings.host,
        port=settings.port,
        transports=tuple(name.upper() for name in settings.transports),
        tls_port=settings.tls_port,
        tls_cert=str(settings.tls_cert or ""),
        tls_key=str(settings.tls_key or ""),
        advertised_host=settings.advertised_host,
        media_host=settings.media_host,
        advertised_media_host=settings.advertised_media_host,
        rtp_first=settings.rtp_first,
        rtp_last=settings.rtp_last,
        media_processes=settings.media_processes,
        open_to=settings.open_to,
    )
