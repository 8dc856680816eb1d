"""The HTTP application: tokens, WebRTC offers, status, and the page."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import FastAPI

from ..rooms.local import LocalRooms
from . import problems
from .calls import WebCalls
from .dispatch import AgentDispatcher
from .head_requests import HeadRequests
from .rate_limit import RateLimit
from .routes import pages, rtc, status, token
from .security_headers import SecurityHeaders
from .settings import ServerSettings
from .static_files import StaticFiles
from .tokens import TokenIssuer

if TYPE_CHECKING:
    from .auth import Authenticator

logger = logging.getLogger(__name__)


@dataclass
class ServerState:
    """What the routes share; `app.state.server`."""

    settings: ServerSettings
    dispatcher: AgentDispatcher
    rooms: LocalRooms
    calls: WebCalls
    tokens: TokenIssuer
    token_limit: RateLimit
    static: StaticFiles
    authenticator: Authenticator | None = None
    draining: bool = False
    started_at: float = field(default_factory=time.monotonic)


def create_app(
    settings: ServerSettings,
    dispatcher: AgentDispatcher,
    rooms: LocalRooms,
    *,
    authenticator: Authenticator | None = None,
    shared: bool = False,
) -> FastAPI:
    """Build the application.

    When it shuts down it disconnects all browsers, then closes the dispatcher and the rooms unless they are shared.

    Args:
        settings: see `ServerSettings`.
        dispatcher: starts agents in `rooms`.
        rooms: where browsers and agents meet.
        authenticator: knows API keys, which open what is not for everybody; None: there are none.
        shared: the dispatcher and the rooms outlive the application.
    """
    state = ServerState(
        settings=settings,
        dispatcher=dispatcher,
        rooms=rooms,
        calls=WebCalls(rooms, dispatcher, settings.ice_servers),
        tokens=TokenIssuer(settings.api_key, settings.api_secret, settings.token_lifetime),
        token_limit=RateLimit(settings.tokens_per_minute, settings.token_burst),
        static=StaticFiles(),
        authenticator=authenticator,
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            # Browsers first: to them a server that goes away is not an assistant that hung up.
            deadline = settings.shutdown_deadline / 3
            await _within(deadline, state.calls.aclose(), "browsers")
            if not shared:
                await _within(deadline, dispatcher.aclose(), "agents")
                await _within(deadline, rooms.aclose(), "rooms")

    # The interactive documentation loads scripts from elsewhere, which the content security policy forbids.
    app = FastAPI(
        title="Antiphon",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.server = state
    problems.install(app)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(HeadRequests)
    for module in (token, rtc, status, pages):
        app.include_router(module.router)
    return app


async def _within(deadline: float, closing: Awaitable[None], what: str) -> None:
    try:
        async with asyncio.timeout(deadline):
            await closing
    except TimeoutError:
        logger.error("the %s did not close within %.1f s", what, deadline)
