"""Calls from web pages: a browser and an agent in a room, from the page's offer until the browser has gone."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from ..models.errors import AntiphonError
from ..rooms.local import LocalRooms
from ..rooms.local.ice import IceServer
from ..rooms.local.webrtc import WebRTCParticipant
from .browser_leg import BrowserLeg
from .dispatch import AgentDispatcher, AgentStartError, WebCall
from .tokens import Grant

logger = logging.getLogger(__name__)

AGENT_START_DEADLINE = 10.0


class TokenUsed(AntiphonError):
    """A token that was good for one connection is used again."""


class WebCalls:
    """Owns every browser that is connected to this server."""

    def __init__(
        self, rooms: LocalRooms, dispatcher: AgentDispatcher, ice_servers: Sequence[IceServer]
    ) -> None:
        self._rooms = rooms
        self._dispatcher = dispatcher
        self._ice_servers = tuple(ice_servers)
        self._used: dict[tuple[str, str], float] = {}
        self._browsers: dict[WebRTCParticipant, asyncio.Task[None]] = {}

    @property
    def count(self) -> int:
        """Browsers connected or connecting."""
        return len(self._browsers)

    async def open(self, grant: Grant, offer: str) -> str:
        """Connect a browser, and start the agent of its room when nobody is there yet.

        Args:
            grant: of the token that came with the offer; good for this once.
            offer: SDP that `check_offer` accepted.

        Returns:
            The SDP answer.

        Raises:
            TokenUsed: the token has been used.
            OfferRejected: the offer cannot be answered.
            AgentStartError: the agent does not come; the browser is disconnected again.
        """
        self._use(grant)
        hosted = self._rooms.get(grant.room)
        empty = hosted is None or not hosted.members
        room = await self._rooms.join(
            grant.room, grant.identity, name=grant.name, metadata=grant.metadata, attributes=grant.attributes
        )
        browser = await WebRTCParticipant.accept(room, offer, ice_servers=self._ice_servers)
        leg = BrowserLeg(browser)
        browser.on_connected = leg.connected
        watch = asyncio.get_running_loop().create_task(self._watch(browser, leg, grant.room))
        self._browsers[browser] = watch
        if empty and grant.agent:
            try:
                await self._start_agent(grant, leg)
            except BaseException:
                await browser.aclose("the assistant could not be started")
                await asyncio.wait([watch])
                await self._rooms.close(grant.room)
                raise
        return browser.answer

    async def aclose(self) -> None:
        """Disconnect all browsers."""
        watches = list(self._browsers.values())
        for browser in tuple(self._browsers):
            await browser.aclose("server shutting down")
        if watches:
            await asyncio.wait(watches)

    def _use(self, grant: Grant) -> None:
        # Expiry is a time of day, as in the token.
        now = time.time()
        self._used = {key: expires for key, expires in self._used.items() if expires > now - 60}
        key = (grant.room, grant.identity)
        if key in self._used:
            raise TokenUsed(
                f"{grant.identity!r} has used this token already; get a new token for each connection"
            )
        self._used[key] = grant.expires_at

    async def _start_agent(self, grant: Grant, leg: BrowserLeg) -> None:
        call = WebCall(grant.agent, grant.room, grant.identity, leg, grant.agent_metadata)
        try:
            async with asyncio.timeout(AGENT_START_DEADLINE):
                await self._dispatcher.start(call)
        except TimeoutError as error:
            raise AgentStartError(
                f"assistant {grant.agent!r} did not start within {AGENT_START_DEADLINE:g} s"
            ) from error
        except AgentStartError:
            raise
        except AntiphonError as error:
            raise AgentStartError(f"assistant {grant.agent!r} could not be started: {error}") from error
        except Exception as error:
            logger.exception("assistant %r could not be started in room %r", grant.agent, grant.room)
            raise AgentStartError(
                f"assistant {grant.agent!r} could not be started; the server's log says why"
            ) from error

    async def _watch(self, browser: WebRTCParticipant, leg: BrowserLeg, room_name: str) -> None:
        try:
            await browser.wait_closed()
        finally:
            del self._browsers[browser]
            leg.ended(browser.reason)
            logger.info("%s left %s: %s", browser.identity, room_name, browser.reason)
