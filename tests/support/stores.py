"""The databases that what is kept is tested on, each test with its own data.

A folder of tests gets these fixtures by importing them in its conftest.py.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import document_server

if TYPE_CHECKING:
    from antiphon.store import Store

KEY = bytes(range(32))


class Clock:
    """A wall clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Tick(Clock):
    """A clock that moves on by itself, a little with each look."""

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def document_server_url() -> Iterator[str]:
    with document_server.running() as url:
        yield url


@pytest.fixture(
    params=[
        pytest.param("sqlite", marks=pytest.mark.needs("aiosqlite", "cryptography")),
        pytest.param("mongodb", marks=pytest.mark.needs("pymongo", "cryptography", "java", "mvn")),
    ]
)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store, on each database."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'store.db'}"
    return f"{request.getfixturevalue('document_server_url')}/test_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def open_it(address: str, clock: Clock) -> Callable[..., Store]:
    """`open_it(**options)` is a store on the test's database, to be entered; several share its data."""
    from antiphon.store import Keyring, open_store

    def open_it(**options: Any) -> Store:
        return open_store(address, **{"keyring": Keyring([KEY]), "clock": clock, **options})

    return open_it
