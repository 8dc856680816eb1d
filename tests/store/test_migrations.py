"""Migrations: once, in order, by one process; and never backwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.store import Migration, SchemaError


def test_many_processes_migrate_once_in_order(open_it: Any, run_clean: Any) -> None:
    ran: list[int] = []

    def step(version: int) -> Migration:
        async def run(store: Any) -> None:
            ran.append(version)
            await asyncio.sleep(0.02)
            await store.create("tools", {"name": f"from {version}"})

        return Migration(version, f"step {version}", run)

    async def start(steps: list[Migration]) -> None:
        from antiphon.store import Store

        ready = open_it()
        async with Store(ready.backend, migrations=steps, clock=ready.clock) as store:
            assert await store.count("tools") == len(steps)

    async def main() -> None:
        await asyncio.gather(*(start([step(1), step(2)]) for _ in range(3)))
        assert ran == [1, 2]
        await asyncio.gather(*(start([step(1), step(2), step(3)]) for _ in range(3)))
        assert ran == [1, 2, 3]
        with pytest.raises(SchemaError, match="version 3, and this program knows versions up to 2"):
            await start([step(1), step(2)])

    run_clean(main())


def test_a_failed_migration_runs_again(open_it: Any, run_clean: Any) -> None:
    tries: list[int] = []

    async def fail_once(store: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("power cut")

    async def main() -> None:
        from antiphon.store import Store

        steps = [Migration(1, "fail once", fail_once)]
        for attempt in range(3):
            ready = open_it()
            store = Store(ready.backend, migrations=steps, clock=ready.clock)
            if attempt == 0:
                with pytest.raises(RuntimeError, match="power cut"):
                    await store.open()
            else:
                await store.open()
                await store.close()
        assert len(tries) == 2

    run_clean(main())
