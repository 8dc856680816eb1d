"""Connections kept between requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from antiphon.models.connection_pool import ConnectionPool, PoolState
from antiphon.models.errors import ProviderConnectionError, ProviderStatusError, ProviderTimeout


class Network:
    """Numbered connections; remembers which are open."""

    def __init__(self) -> None:
        self.made = 0
        self.open: set[int] = set()
        self.dead: set[int] = set()
        self.now = 0.0
        self.act: Callable[[], Any] | None = None

    async def connect(self) -> int:
        await asyncio.sleep(0)
        if self.act is not None:
            await self.act()
        self.made += 1
        self.open.add(self.made)
        return self.made

    async def close(self, connection: int) -> None:
        await asyncio.sleep(0)
        self.open.remove(connection)

    def pool(self, **options: Any) -> ConnectionPool[int]:
        return ConnectionPool(
            self.connect,
            self.close,
            is_open=lambda connection: connection not in self.dead,
            clock=lambda: self.now,
            provider="acme",
            **options,
        )


async def use(pool: ConnectionPool[int], error: BaseException | None = None) -> int:
    async with pool.connection() as connection:
        if error is not None:
            raise error
        return connection


def test_an_idle_connection_is_used_again_and_broken_ones_are_not() -> None:
    async def main() -> None:
        network = Network()
        pool = network.pool()
        assert [await use(pool), await use(pool)] == [1, 1]
        with pytest.raises(ValueError, match="mid-request"):
            await use(pool, ValueError("mid-request"))
        assert await use(pool) == 2
        network.dead.add(2)
        assert await use(pool) == 3
        await pool.aclose()
        assert network.open == set()

    asyncio.run(main())


def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    async def main() -> None:
        network = Network()
        pool = network.pool()
        async with pool.connection() as one, pool.connection() as two:
            assert one != two
            assert pool.state == PoolState(idle=0, in_use=2, closing=0)
        assert pool.state == PoolState(idle=2, in_use=0, closing=0)
        await pool.aclose()

    asyncio.run(main())


def test_a_cancelled_request_leaves_its_connection_to_nobody() -> None:
    async def main() -> None:
        network = Network()
        pool = network.pool()

        async def wait() -> None:
            async with pool.connection():
                await asyncio.Event().wait()

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert await use(pool) == 2
        await pool.aclose()
        assert network.open == set()

    asyncio.run(main())


@pytest.mark.parametrize(("refreshed", "used"), [(False, [1, 1, 2]), (True, [1, 1, 1])])
def test_age_counts_from_the_opening_or_from_the_last_use(refreshed: bool, used: list[int]) -> None:
    async def main() -> list[int]:
        network = Network()
        pool = network.pool(max_session_duration=10, mark_refreshed_on_get=refreshed)
        connections = []
        for network.now in (0, 8, 16):
            connections.append(await use(pool))
        network.now = 26
        assert await use(pool) == used[-1] + 1
        await pool.aclose()
        return connections

    assert asyncio.run(main()) == used


def test_invalidate_spares_a_running_request_but_not_its_connection() -> None:
    async def main() -> None:
        network = Network()
        pool = network.pool()
        await use(pool)
        async with pool.connection() as connection:
            pool.invalidate()
            await asyncio.sleep(0.01)
            assert connection in network.open
        assert await use(pool) == 2
        await pool.aclose()
        assert network.open == set()

    asyncio.run(main())


def test_prewarm_opens_one_that_the_first_request_gets() -> None:
    async def main() -> None:
        network = Network()
        pool = network.pool()
        pool.prewarm()
        pool.prewarm()
        assert await use(pool) == 1  # waits for the one that is being opened
        pool.prewarm()
        await asyncio.sleep(0.01)
        assert network.made == 1
        await pool.aclose()

    asyncio.run(main())


def test_a_failed_prewarm_is_told_to_whoever_needs_a_connection() -> None:
    async def main() -> None:
        network = Network()

        async def refuse() -> None:
            raise OSError("unreachable")

        network.act = refuse
        pool = network.pool()
        pool.prewarm()
        await asyncio.sleep(0.01)
        with pytest.raises(ProviderConnectionError, match="could not connect to acme: unreachable"):
            await use(pool)

    asyncio.run(main())


def test_what_goes_wrong_when_connecting() -> None:
    async def main() -> None:
        network = Network()
        pool = network.pool(connect_timeout=0.02)

        async def deny() -> None:
            raise ProviderStatusError("bad key", status=401)

        network.act = asyncio.Event().wait
        with pytest.raises(ProviderTimeout, match=r"no connection to acme within 0\.02 s"):
            await use(pool)
        network.act = deny
        with pytest.raises(ProviderStatusError, match="bad key"):
            await use(pool)
        assert pool.state == PoolState(0, 0, 0)

    asyncio.run(main())


def test_closing_does_not_wait_for_one_that_hangs_nor_for_one_in_use() -> None:
    async def main() -> None:
        network = Network()
        pool = network.pool(close_timeout=0.02)

        async def hang(connection: int) -> None:
            await asyncio.Event().wait()

        pool._close = hang
        await use(pool)
        await asyncio.wait_for(pool.aclose(), 1)
        pool._close = network.close
        with pytest.raises(ProviderConnectionError, match="closed"):
            await use(pool)

        other = network.pool()
        async with other.connection() as connection:
            await other.aclose()
            assert connection in network.open
        await asyncio.sleep(0.01)
        assert connection not in network.open

    asyncio.run(main())


class PoolMachine(RuleBasedStateMachine):
    """Requests begin and end, with or without errors, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.network = Network()
        self.pool = self.network.pool(max_session_duration=10)
        self.requests: list[tuple[Any, int]] = []
        self.stale: set[int] = set()

    def run(self, awaitable: Any) -> Any:
        async def settle() -> Any:
            result = await awaitable
            for _ in range(4):
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(settle())

    @rule()
    def begin(self) -> None:
        context = self.pool.connection()
        connection = self.run(context.__aenter__())
        assert connection in self.network.open
        assert connection not in self.stale | self.network.dead
        self.requests.append((context, connection))

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), fails=st.booleans())
    def end(self, data: st.DataObject, fails: bool) -> None:
        context, connection = self.requests.pop(data.draw(st.integers(0, len(self.requests) - 1)))
        if not fails:
            self.run(context.__aexit__(None, None, None))
            return
        error = ValueError("x")
        assert self.run(context.__aexit__(ValueError, error, None)) is False
        assert connection not in self.network.open

    @rule()
    def invalidate(self) -> None:
        async def now() -> None:
            self.pool.invalidate()

        self.stale |= self.network.open
        self.run(now())

    @rule(seconds=st.floats(0, 12))
    def time_passes(self, seconds: float) -> None:
        self.network.now += seconds

    @precondition(lambda self: self.network.open)
    @rule(data=st.data())
    def connection_dies(self, data: st.DataObject) -> None:
        self.network.dead.add(data.draw(st.sampled_from(sorted(self.network.open))))

    @invariant()
    def nobody_shares_and_nothing_leaks(self) -> None:
        used = [connection for _, connection in self.requests]
        assert len(set(used)) == len(used)
        assert set(used) <= self.network.open
        assert self.pool.state == PoolState(len(self.network.open) - len(used), len(used), 0)

    def teardown(self) -> None:
        for context, _ in self.requests:
            self.run(context.__aexit__(None, None, None))
        self.run(self.pool.aclose())
        assert self.network.open == set()
        self.loop.close()


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
