"""Stored assistants answer browsers: the server's `AgentDispatcher` over the calls of this process."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from ...models.errors import AntiphonError
from ...store import Document, NotFound, Store, Where
from ...telephony import Leg
from ..dispatch import AgentInfo, AgentStartError, WebCall

MOST_LISTED = 200
LIST_SECONDS = 2.0
"""How long a list of assistants is used again: anybody may ask for it."""


class WebCallHost(Protocol):
    """What runs calls from browsers: `calls.call_host.CallHost`."""

    async def start_web(
        self,
        assistant_doc: Document,
        room: str,
        identity: str,
        leg: Leg,
        variables: Mapping[str, Any],
    ) -> Any:
        """Begin the call; its agent comes in its own time."""


class StoredAssistants:
    """Offers what is marked public to everybody, and everything to those with a key.

    Args:
        store: where the assistants are.
        host: runs the calls; None: this process runs none.
        load: loads what an assistant runs on, before its call is connected.
        clock: seconds, on any monotonic clock.
    """

    def __init__(
        self,
        store: Store,
        host: WebCallHost | None,
        *,
        load: Callable[[Document], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._host = host
        self._load = load
        self._clock = clock
        self._listed: tuple[float, list[AgentInfo]] | None = None

    async def agents(self) -> Sequence[AgentInfo]:
        """See `AgentDispatcher.agents`: the public ones, oldest first."""
        now = self._clock()
        if self._listed is None or now - self._listed[0] > LIST_SECONDS:
            page = await self._store.find("assistants", {"public": True}, limit=MOST_LISTED)
            self._listed = (now, [_info(document) for document in page.items if _is_active(document)])
        return self._listed[1]

    async def find(self, agent: str, *, private: bool) -> AgentInfo | None:
        """See `AgentDispatcher.find`: by id, else by name."""
        for field in ("id", "name"):
            where: Where = {field: agent} if private else {field: agent, "public": True}
            if (document := await self._store.find_one("assistants", where)) is not None:
                return _info(document) if _is_active(document) else None
        return None

    async def start(self, call: WebCall) -> None:
        """See `AgentDispatcher.start`."""
        if self._host is None:
            raise AgentStartError("this server runs no calls: start one with the role worker")
        try:
            assistant = await self._store.get("assistants", call.agent, reveal=True)
            if not _is_active(assistant):
                raise AgentStartError("this assistant is not active any more")
            if self._load is not None:
                await self._load(assistant)
            variables = json.loads(call.metadata) if call.metadata else {}
            await self._host.start_web(assistant, call.room, call.identity, call.leg, variables)
        except NotFound as error:
            raise AgentStartError("this assistant is not there any more") from error
        except AntiphonError as error:
            raise AgentStartError(f"the assistant could not be started: {error}") from error

    async def aclose(self) -> None:
        """Calls are ended by their host."""


def _is_active(document: Document) -> bool:
    return bool(document.get("active", True))


def _info(document: Document) -> AgentInfo:
    return AgentInfo(
        document["id"],
        document["name"],
        document.get("description", ""),
        tuple(document.get("examples", ())),
    )
