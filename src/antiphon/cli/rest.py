"""When a conversation has come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from ..turns import AgentState, UserState
from ..voice import AgentSession

POLL = 0.005


def at_rest(sessions: Iterable[AgentSession[Any]]) -> bool:
    """Whether nobody speaks and nothing is about to be said; closed sessions rest."""
    return all(
        session.closed
        or (session.agent_state is AgentState.IDLE and session.user_state is not UserState.SPEAKING)
        for session in sessions
    )


async def wait_until(condition: Callable[[], bool], limit: float) -> bool:
    """Wait until `condition()` holds, at most `limit` seconds; returns whether it does."""
    loop = asyncio.get_running_loop()
    until = loop.time() + limit
    while not condition() and loop.time() < until:  # noqa: ASYNC110 - several objects, none of which tells
        await asyncio.sleep(POLL)
    return condition()


async def wait_for_rest(resting: Callable[[], bool], pause: float, limit: float) -> bool:
    """Wait until `resting()` has held for `pause` seconds on end, at most `limit` seconds.

    Returns:
        Whether it has.
    """
    loop = asyncio.get_running_loop()
    since = loop.time()

    def rested() -> bool:
        nonlocal since
        if not resting():
            since = loop.time()
        return loop.time() - since >= pause

    return await wait_until(rested, limit)
