"""Migrations: what brings the data of an older version to this one.

The data's version is in one document, and only who holds that document's lease migrates. Forward only: a program that meets
data of a newer version refuses to touch it. A migration must be able to run again over its own half-done work.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .changes import Changes
from .documents import Collection, Document
from .errors import AlreadyExists, SchemaError
from .filters import Range

if TYPE_CHECKING:
    from .store import Store

SCHEMA = Collection("schema", "schema")
_ID = "schema"
_LEASE_SECONDS = 600.0
_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Migration:
    """One step: the version that it leads to, what it does in words, and how."""

    version: int
    name: str
    run: Callable[[Store], Awaitable[None]]


# Collections and indexes are made where they are missing, without a migration; these are for changes of what is in documents.
MIGRATIONS: tuple[Migration, ...] = ()


async def migrate(store: Store, collections: Sequence[Collection], migrations: Sequence[Migration]) -> None:
    """Bring the data to the newest version; several processes may do so at once, and one of them does the work.

    Raises:
        SchemaError: the data is of a newer version, or another process did not finish migrating.
    """
    newest = max((migration.version for migration in migrations), default=0)
    await store.backend.prepare(SCHEMA)
    schema = await _schema(store)
    _refuse_newer(schema, newest)
    for collection in collections:
        await store.backend.prepare(collection)
    token = uuid.uuid4().hex
    deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
    while schema["data_version"] < newest:
        if await _take(store, token):
            try:
                await _run(store, migrations, token)
            finally:
                await _change(store, {"token": token}, Changes(set={"held_until": 0.0}))
        elif asyncio.get_running_loop().time() > deadline:
            raise SchemaError(
                "another process is migrating the store and did not finish; wait for it, or, if it died, try again in "
                f"{_LEASE_SECONDS / 60:g} minutes"
            )
        else:
            await asyncio.sleep(_POLL_SECONDS)
        schema = await _schema(store)
        _refuse_newer(schema, newest)


def _refuse_newer(schema: Document, newest: int) -> None:
    if schema["data_version"] > newest:
        raise SchemaError(
            f"the store's data is of version {schema['data_version']}, and this program knows versions up to {newest}: "
            "start a newer Antiphon, or restore the backup from before its first start"
        )


async def _schema(store: Store) -> Document:
    """The document with the data's version, which is 0 in an empty store."""
    present = await store.backend.fetch(SCHEMA, _ID)
    if present is not None:
        return present
    new: Document = {
        "id": _ID,
        "created_at": store.clock(),
        "data_version": 0,
        "held_until": 0.0,
        "token": "",
    }
    try:
        await store.backend.insert(SCHEMA, new)
    except AlreadyExists:
        return await _schema(store)
    return new


async def _take(store: Store, token: str) -> bool:
    now = store.clock()
    mine = Changes(set={"held_until": now + _LEASE_SECONDS, "token": token})
    return await _change(store, {"held_until": Range(lte=now)}, mine)


async def _run(store: Store, migrations: Sequence[Migration], token: str) -> None:
    for migration in sorted(migrations, key=lambda migration: migration.version):
        present = await store.backend.fetch(SCHEMA, _ID)
        if present is None or present["data_version"] >= migration.version:
            continue
        await migration.run(store)
        done = Changes(set={"data_version": migration.version, "held_until": store.clock() + _LEASE_SECONDS})
        if not await _change(store, {"token": token, "data_version": present["data_version"]}, done):
            raise SchemaError(
                f"lost the lease on the store while running migration {migration.name!r}; start again"
            )


async def _change(store: Store, where: dict[str, str | int | Range], changes: Changes) -> bool:
    return await store.backend.modify(SCHEMA, {"id": _ID, **where}, changes) is not None
