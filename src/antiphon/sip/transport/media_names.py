"""Looks up the host names in the `c=` lines of descriptions (RFC 8866 section 5.7), before the user agent sees them.

It and the media engine know addresses only. A message that waits for a name keeps all that follow of its call waiting, so that no
CANCEL overtakes its INVITE. A name that cannot be looked up in time stays what it is, and the offer is refused for it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from ..effects import Source
from ..message import Message
from .resolver import Resolver, is_address

logger = logging.getLogger(__name__)

NAME_SECONDS = 2.0
_MOST_NAMES = 3
_MOST_CALLS = 100
_MOST_MESSAGES = 20  # of one call; what comes then comes again
_NAMED = re.compile(rb"(?m)^c=[ \t]*IN[ \t]+IP([46])[ \t]+([A-Za-z0-9.-]{1,253})(?=[\s/]|\Z)")


def names_of(body: bytes) -> list[tuple[str, int]]:
    """The host names in the `c=` lines of a body, each once, with the IP version that each is to have."""
    found = {(match[2].decode(), int(match[1])): None for match in _NAMED.finditer(body)}
    return [
        (name, version) for name, version in found if not is_address(name) and re.search("[A-Za-z]", name)
    ]


@dataclass(slots=True)
class MediaNames:
    """Holds messages back while names are looked up.

    Attributes:
        deliver: takes a message once its turn has come.
        spawn: runs a look-up.
    """

    resolver: Resolver
    deliver: Callable[[Message, Source], None]
    spawn: Callable[[Coroutine[Any, Any, None]], None]
    _waiting: dict[str, deque[tuple[Message, Source]]] = field(default_factory=dict)

    def holds(self, message: Message, source: Source) -> bool:
        """Whether the message has to wait; it is delivered later then."""
        call = message.headers.get("Call-ID") or ""
        queue = self._waiting.get(call)
        if queue is not None:
            if len(queue) < _MOST_MESSAGES:
                queue.append((message, source))
            return True
        if not message.body or len(self._waiting) >= _MOST_CALLS or not names_of(message.body):
            return False
        self._waiting[call] = deque([(message, source)])
        self.spawn(self._look_up(call))
        return True

    async def _look_up(self, call: str) -> None:
        queue = self._waiting[call]
        try:
            while queue:
                message, source = queue.popleft()
                for name, version in names_of(message.body)[:_MOST_NAMES]:
                    address = await self._address(name, version)
                    if address:
                        message.body = _replaced(message.body, name, address)
                self.deliver(message, source)
        finally:
            del self._waiting[call]

    async def _address(self, name: str, version: int) -> str:
        """Empty: it has none, or it cannot be told in time."""
        try:
            async with asyncio.timeout(NAME_SECONDS):
                return await self.resolver.address(name, version)
        except (OSError, UnicodeError, TimeoutError) as error:
            logger.warning(
                "sip: %s, where media is wanted, cannot be looked up: %s", name, error or "timed out"
            )
            return ""


def _replaced(body: bytes, name: str, address: str) -> bytes:
    def one(match: re.Match[bytes]) -> bytes:
        if match[2].decode() != name:
            return match[0]
        return match[0][: match.start(2) - match.start()] + address.encode()

    return _NAMED.sub(one, body)
