"""Connections to a provider, kept open between requests: a handshake costs more than many an answer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from .deadlines import CLOSE_TIMEOUT, cancel_all, close_within
from .errors import ProviderConnectionError, ProviderError, ProviderTimeout

CONNECT_TIMEOUT = 10.0

ConnectionT = TypeVar("ConnectionT")


@dataclass(eq=False)
class _Kept(Generic[ConnectionT]):
    connection: ConnectionT
    made_at: float  # or refreshed at
    generation: int


@dataclass(frozen=True)
class PoolState:
    """How many connections are `idle`, `in_use`, and being closed (`closing`)."""

    idle: int
    in_use: int
    closing: int


class ConnectionPool(Generic[ConnectionT]):
    """Reuses connections that can serve one request at a time, such as WebSockets.

    Belongs to one event loop. It has no size limit: as many connections are open as requests run at once, and
    those that grow too old are closed when they are next looked at.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[ConnectionT]],
        close: Callable[[ConnectionT], Awaitable[None]],
        *,
        max_session_duration: float | None = None,
        mark_refreshed_on_get: bool = False,
        connect_timeout: float = CONNECT_TIMEOUT,
        close_timeout: float = CLOSE_TIMEOUT,
        is_open: Callable[[ConnectionT], bool] = lambda _connection: True,
        provider: str = "the provider",
        clock: Callable[[], float] | None = None,
    ) -> None:
        """
        Args:
            connect: opens a connection.
            close: closes one.
            max_session_duration: seconds after which a connection is not used again; None for no limit.
            mark_refreshed_on_get: count them from the last use instead of from the opening, for providers that
                close idle connections.
            connect_timeout: seconds that `connect` may take.
            close_timeout: seconds that `close` may take; then the connection is given up.
            is_open: whether an idle connection still works; asked before it is used again.
            provider: whom to name in errors.
            clock: seconds, instead of the event loop's.
        """
        self._connect = connect
        self._close = close
        self._max_age = max_session_duration
        self._refresh = mark_refreshed_on_get
        self._connect_timeout = connect_timeout
        self._close_timeout = close_timeout
        self._is_open = is_open
        self._provider = provider
        self._clock = clock
        self._idle: deque[_Kept[ConnectionT]] = deque()  # the last used is at the right
        self._in_use: set[_Kept[ConnectionT]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._warming: asyncio.Task[None] | None = None
        self._generation = 0
        self._closed = False

    @property
    def state(self) -> PoolState:
        return PoolState(len(self._idle), len(self._in_use), len(self._closing))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[ConnectionT]:
        """Borrow a connection: an idle one, or a new one.

        It is kept for the next unless the block raises or is cancelled: what is then still to come on it would be
        taken for the answer to the next request.

        Raises:
            ProviderTimeout: no connection within `connect_timeout`.
            ProviderConnectionError: connecting failed, or the pool is closed.
        """
        kept = await self._get()
        self._in_use.add(kept)
        try:
            yield kept.connection
        except BaseException:
            self._discard(kept)
            raise
        else:
            self._put_back(kept)
        finally:
            self._in_use.discard(kept)

    def prewarm(self) -> None:
        """Open a connection in the background, if none is idle; a failure shows when one is needed."""
        if self._closed or self._idle or (self._warming and not self._warming.done()):
            return
        self._warming = asyncio.create_task(self._warm_up(), name=f"prewarm {self._provider}")

    def invalidate(self) -> None:
        """Use none of the connections opened so far again, as after a change of options or of the key."""
        self._generation += 1
        while self._idle:
            self._discard(self._idle.popleft())

    async def aclose(self) -> None:
        """Close what is idle, within `close_timeout`. What is in use is closed when it is given back."""
        self._closed = True
        if self._warming is not None:
            await cancel_all([self._warming])
        self.invalidate()
        if self._closing:
            await asyncio.wait(set(self._closing), timeout=self._close_timeout + 0.1)

    async def _get(self) -> _Kept[ConnectionT]:
        if self._closed:
            raise ProviderConnectionError(
                f"the connections to {self._provider} are closed", provider=self._provider, retryable=False
            )
        if not self._idle and self._warming is not None and not self._warming.done():
            await asyncio.wait([self._warming], timeout=self._connect_timeout)
        while self._idle:
            kept = self._idle.pop()
            if self._usable(kept):
                if self._refresh:
                    kept.made_at = self._now()
                return kept
            self._discard(kept)
        return await self._open()

    async def _open(self) -> _Kept[ConnectionT]:
        generation = self._generation
        scope = asyncio.timeout(self._connect_timeout)
        try:
            async with scope:
                connection = await self._connect()
        except ProviderError:
            raise
        except TimeoutError as error:
            if not scope.expired():
                raise self._failed(error) from error
            raise ProviderTimeout(
                f"no connection to {self._provider} within {self._connect_timeout:g} s",
                provider=self._provider,
            ) from error
        except Exception as error:  # whatever the transport raises
            raise self._failed(error) from error
        return _Kept(connection, self._now(), generation)

    def _failed(self, error: Exception) -> ProviderConnectionError:
        return ProviderConnectionError(
            f"could not connect to {self._provider}: {error or repr(error)}", provider=self._provider
        )

    async def _warm_up(self) -> None:
        try:
            kept = await self._open()
        except ProviderError:
            return  # whoever needs a connection tries again, and is told
        self._put_back(kept)

    def _put_back(self, kept: _Kept[ConnectionT]) -> None:
        if self._closed or not self._usable(kept):
            self._discard(kept)
            return
        self._idle.append(kept)
        while self._idle and not self._usable(self._idle[0]):
            self._discard(self._idle.popleft())

    def _usable(self, kept: _Kept[ConnectionT]) -> bool:
        if kept.generation != self._generation:
            return False
        if self._max_age is not None and self._now() - kept.made_at >= self._max_age:
            return False
        return self._is_open(kept.connection)

    def _discard(self, kept: _Kept[ConnectionT]) -> None:
        """Close in the background: nobody should wait for the farewell of a connection he does not want."""
        task = asyncio.create_task(
            close_within(self._close(kept.connection), self._provider, self._close_timeout),
            name=f"close {self._provider}",
        )
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()
