"""HEAD is answered as GET, without the content.

Source: RFC 9110 section 9.3.2.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A stream of events has no end to come to, and a recording is not read in vain: its route answers HEAD itself.
_ON_THEIR_OWN = ("/events", "/recording")


def head_is_get(path: str) -> bool:
    """Whether HEAD of this path is answered by its GET."""
    return not path.endswith(_ON_THEIR_OWN)


class HeadRequests:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or not head_is_get(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_without_content(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self._app({**scope, "method": "GET"}, receive, send_without_content)
