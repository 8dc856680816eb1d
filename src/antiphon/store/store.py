"""The store: documents in collections, with versions, secrets, leases, and events that are written with their cause.

Everything is built on single-document operations of a `Backend`, so it is the same on SQLite and MongoDB, and a standalone
`mongod` is enough. Times are wall-clock seconds, because leases must hold across processes and restarts; the machines that
share a store need clocks that agree to well under the length of a lease.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from .backend import Backend
from .catalogue import COLLECTIONS
from .documents import Collection
from .migrations import MIGRATIONS, Migration, migrate
from .outbox import Outbox
from .secrets import Keyring
from .upkeep import StoreUpkeep
from .work import Work


class Store(Work, Outbox, StoreUpkeep):
    """Documents of the platform. Use it as `async with Store(backend) as store`, or call `open` and `close`.

    Args:
        backend: the database.
        keyring: the keys for secrets; by default those of ANTIPHON_SECRET_KEY.
        clock: seconds since 1970.
        retention: for how many seconds the documents of a collection are kept, by its name; for ever if it is not named.
        migrations: what brings older data to this version, in order.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        collections: Iterable[Collection] = COLLECTIONS,
        keyring: Keyring | None = None,
        clock: Callable[[], float] = time.time,
        retention: Mapping[str, float] | None = None,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        super().__init__(backend, collections=collections, keyring=keyring, clock=clock, retention=retention)
        self._migrations = migrations

    async def open(self) -> Self:
        """Connect, and bring the data to this version. Raises SchemaError if it is of a newer one."""
        await self.backend.connect()
        try:
            await migrate(self, list(self._collections.values()), self._migrations)
        except BaseException:
            await self.backend.disconnect()
            raise
        return self

    async def close(self) -> None:
        await self.backend.disconnect()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def ping(self) -> None:
        """Raises StoreUnavailable unless the database answers."""
        await self.backend.ping()
