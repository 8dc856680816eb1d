"""No request waits long for a store that does not answer."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...store import hurried

STORE_SECONDS = 2.5


class PromptAnswers:
    """ASGI middleware; until the answer begins, the store must answer each question within `STORE_SECONDS`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with hurried(STORE_SECONDS) as hurry:

            async def send_and_relax(message: Message) -> None:
                if message["type"] == "http.response.start":
                    hurry.over = True  # streams may follow a store that is back after a while
                await send(message)

            await self._app(scope, receive, send_and_relax)
