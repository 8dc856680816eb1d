"""A database that does not answer: those in a hurry know soon, do not pile up, and are served again when it is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.store import NotFound, Store, StoreUnavailable, hurried, open_store
from antiphon.store.hurry import seconds_allowed

pytestmark = pytest.mark.needs("aiosqlite")

LIMIT = 0.3  # seconds that those in a hurry have


class Switch:
    """Lets the operations of a database through, or holds them up."""

    def __init__(self, store: Store) -> None:
        self.inner = store.backend.inner  # type: ignore[attr-defined]
        self.on = asyncio.Event()
        self.on.set()
        self.begun = 0

    def __getattr__(self, name: str) -> Any:
        async def held_up(*given: Any, **named: Any) -> Any:
            self.begun += 1
            try:
                async with asyncio.timeout(seconds_allowed(60.0)):
                    await self.on.wait()
            except TimeoutError:
                raise StoreUnavailable("held up") from None
            return await getattr(self.inner, name)(*given, **named)

        return held_up


@asynccontextmanager
async def store_with_switch(path: Path) -> AsyncIterator[tuple[Store, Switch]]:
    async with open_store(f"sqlite:{path / 'store.db'}") as store:
        switch = Switch(store)
        store.backend.inner = switch  # type: ignore[attr-defined]
        try:
            yield store, switch
        finally:
            store.backend.inner = switch.inner  # type: ignore[attr-defined]


async def asked(store: Store) -> str:
    with hurried(LIMIT):
        try:
            await store.get("calls", "none")
        except NotFound:
            return "answered"
        except StoreUnavailable:
            return "unavailable"
    raise AssertionError


def test_who_is_in_a_hurry_does_not_wait_for_a_store_that_is_away(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with store_with_switch(tmp_path) as (store, switch):
            switch.on.clear()
            unhurried = asyncio.create_task(store.count("calls"))
            assert await asked(store) == "unavailable"
            assert not unhurried.done()
            switch.on.set()
            assert await unhurried == 0
            assert await asked(store) == "answered"

    run_clean(main())


def test_while_it_is_away_one_asks_and_the_others_know_at_once(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with store_with_switch(tmp_path) as (store, switch):
            switch.on.clear()
            assert await asked(store) == "unavailable"
            before, began = switch.begun, time.monotonic()
            outcomes = await asyncio.gather(*(asked(store) for _ in range(200)))
            assert set(outcomes) == {"unavailable"}
            assert switch.begun == before + 1
            assert time.monotonic() - began < 100 * LIMIT  # one after the other would be twice that
            probe = asyncio.create_task(asked(store))
            await asyncio.sleep(LIMIT / 10)
            switch.on.set()
            assert await probe == "answered"
            assert set(await asyncio.gather(*(asked(store) for _ in range(20)))) == {"answered"}

    run_clean(main())


def test_after_one_vain_wait_the_same_request_waits_no_more(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with store_with_switch(tmp_path) as (store, switch):
            switch.on.clear()
            with hurried(LIMIT):
                for _ in range(3):
                    with pytest.raises(StoreUnavailable):
                        await store.count("calls")
            assert switch.begun == 1

    run_clean(main())


def test_one_slow_question_does_not_make_a_store_be_away(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with store_with_switch(tmp_path) as (store, switch):
            switch.on.clear()
            slow = asyncio.create_task(asked(store))
            await asyncio.sleep(LIMIT / 10)
            held, store.backend.inner = store.backend.inner, switch.inner  # type: ignore[attr-defined]
            assert await asked(store) == "answered"
            assert await slow == "unavailable"
            outcomes = await asyncio.gather(*(asked(store) for _ in range(20)))
            assert set(outcomes) == {"answered"}
            store.backend.inner = held  # type: ignore[attr-defined]

    run_clean(main())


def test_what_goes_on_after_the_answer_takes_its_time(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with store_with_switch(tmp_path) as (store, switch):
            switch.on.clear()
            with hurried(LIMIT) as hurry:
                hurry.over = True
                later = asyncio.create_task(store.count("calls"))
            await asyncio.sleep(2 * LIMIT)
            switch.on.set()
            assert await later == 0

    run_clean(main())
