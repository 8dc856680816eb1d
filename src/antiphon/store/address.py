"""Which store an address means: `sqlite:PATH` or `mongodb://…`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time

from antiphon.models.errors import ConfigurationError

from .backend import Backend
from .guarded_backend import GuardedBackend
from .secrets import Keyring
from .store import Store

VARIABLE = "ANTIPHON_STORE"
DEFAULT = "sqlite:antiphon.db"


def open_store(
    address: str = DEFAULT,
    *,
    keyring: Keyring | None = None,
    clock: Callable[[], float] = time,
    retention: Mapping[str, float] | None = None,
) -> Store:
    """The store at `address`, not opened yet: `async with open_store("sqlite:antiphon.db") as store`.

    Raises:
        ConfigurationError: an address of another kind, or the database's package is not installed.
    """
    return Store(GuardedBackend(_backend(address)), keyring=keyring, clock=clock, retention=retention)


def _backend(address: str) -> Backend:
    kind, _, rest = address.partition(":")
    try:
        if kind == "sqlite" and rest.removeprefix("//"):
            from .sqlite import SqliteBackend

            return SqliteBackend(rest.removeprefix("//"))
        if kind in ("mongodb", "mongodb+srv"):
            from .mongo import MongoBackend

            return MongoBackend(address)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"a store at {kind}: needs {error.name}: pip install 'antiphon[platform]'"
        ) from None
    raise ConfigurationError(
        f"{kind}: is no kind of store. {VARIABLE} is sqlite:PATH or mongodb://HOST:PORT/DATABASE; the default is {DEFAULT}"
    )
