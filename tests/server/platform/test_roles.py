"""A part of the platform that dies is started again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from antiphon.models.errors import ConfigurationError
from antiphon.server.platform.roles import SupervisedRole
from support.virtual_time import run


def test_it_starts_again_and_is_not_ready_meanwhile() -> None:
    seen: list[bool] = []
    starts: list[float] = []

    async def scene() -> None:
        async def part(ready: Callable[[], None]) -> None:
            starts.append(asyncio.get_running_loop().time())
            ready()
            await asyncio.sleep(1)
            if len(starts) < 4:
                raise RuntimeError("broken")
            await asyncio.Event().wait()

        role = SupervisedRole("part", part)
        await role.start()
        seen.append(role.ready)
        await asyncio.sleep(1.1)
        seen.append(role.ready)
        await asyncio.sleep(30)
        seen.append(role.ready)
        await role.aclose()
        seen.append(role.ready)

    run(scene())
    assert seen == [True, False, True, False]
    gaps = [later - before - 1 for before, later in itertools.pairwise(starts)]
    assert [0.25 * 2**n <= gap <= 0.5 * 2**n for n, gap in enumerate(gaps)] == [True] * 3


def test_a_part_that_never_worked_is_an_error_of_the_start() -> None:
    async def scene() -> None:
        async def part(ready: Callable[[], None]) -> None:
            raise ConfigurationError("port 80 is in use")

        with pytest.raises(ConfigurationError, match="port 80"):
            await SupervisedRole("part", part).start()

    run(scene())


def test_one_that_returns_is_started_again_too() -> None:
    count = 0

    async def scene() -> None:
        async def part(ready: Callable[[], None]) -> None:
            nonlocal count
            count += 1
            ready()

        role = SupervisedRole("part", part)
        await role.start()
        await asyncio.sleep(3)
        await role.aclose()
        await role.aclose()

    run(scene())
    assert count >= 3
