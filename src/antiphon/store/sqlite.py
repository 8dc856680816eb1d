"""The store in one SQLite file: a table per collection with the document as JSON, and generated columns for what is indexed.

One connection writes, taking everything that waits into one transaction (one sync of the disk for many writes); two read.
A write is acknowledged after its transaction is on the disk. Several processes may share the file on one machine.
Source: https://www.sqlite.org/wal.html, https://www.sqlite.org/gencol.html.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite

from . import sql
from .backend import Backend
from .changes import Changes, apply
from .cursor import Place
from .documents import UNIQUE, Collection, Document
from .errors import AlreadyExists, StoreError, StoreUnavailable
from .filters import Where
from .hurry import seconds_allowed
from .sqlite_errors import translated

# How long an operation may take, and how long SQLite waits in it for another process's lock.
DEADLINE_SECONDS = 10.0
BUSY_SECONDS = 5.0
BUSY_RETRY_SECONDS = 0.02

READERS = 2
MOST_WRITES_IN_A_TRANSACTION = 64


@dataclass
class _Write:
    """A write that waits for the writer, and who waits for its outcome."""

    run: Callable[[aiosqlite.Connection], Awaitable[Any]]
    outcome: asyncio.Future[Any]


async def _patiently(connection: aiosqlite.Connection, statement: str) -> None:
    """Run a statement that opens the file, again while another process is just opening or closing it.

    A change of the journal mode fails at once where other statements wait: SQLite does not call its busy handler for
    it (https://www.sqlite.org/c3ref/busy_handler.html).
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + BUSY_SECONDS
    while True:
        try:
            await connection.execute_fetchall(statement)
            return
        except sqlite3.OperationalError as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or loop.time() >= until:
                raise
        await asyncio.sleep(BUSY_RETRY_SECONDS)


class SqliteBackend(Backend):
    """The store in the file `path`, made if it is missing, readable by its owner only."""

    def __init__(self, path: str | os.PathLike[str], *, deadline: float = DEADLINE_SECONDS) -> None:
        self.path = Path(path).expanduser()
        self._deadline = deadline
        self._file: os.stat_result | None = None
        self._writer: aiosqlite.Connection | None = None
        self._writing: asyncio.Task[None] | None = None
        self._writes: asyncio.Queue[_Write | None] = asyncio.Queue()
        self._connections: list[aiosqlite.Connection] = []
        self._readers: asyncio.Queue[aiosqlite.Connection] = asyncio.Queue()

    async def connect(self) -> None:
        self._writes, self._readers = asyncio.Queue(), asyncio.Queue()
        try:
            self._make_file()
            self._writer = await self._open("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL")
            for _ in range(READERS):
                self._readers.put_nowait(await self._open("PRAGMA query_only = ON"))
        except (OSError, sqlite3.Error) as error:
            await self._close_all()
            raise translated(error, self.path) from error
        except BaseException:
            await self._close_all()
            raise
        self._writing = asyncio.create_task(self._write_all(self._writer), name="store writer")

    async def disconnect(self) -> None:
        if self._writing is not None:
            self._writes.put_nowait(None)
            await self._writing
            self._writing = None
        await self._close_all()

    async def ping(self) -> None:
        self._check_file()
        async with self._reading() as reader:
            await reader.execute_fetchall("SELECT 1")

    async def prepare(self, collection: Collection) -> None:
        async def run(writer: aiosqlite.Connection) -> None:
            for statement in await _missing(writer, collection):
                await writer.execute(statement)

        await self._write(run)

    async def insert(self, collection: Collection, document: Document) -> None:
        async def run(writer: aiosqlite.Connection) -> None:
            await writer.execute(
                f"INSERT INTO {collection.name} (id, created_at, body) VALUES (?, ?, ?)",
                (document["id"], document["created_at"], body),
            )

        body = json.dumps(document, allow_nan=False)
        await self._write(_naming_the_field(collection, run))

    async def fetch(self, collection: Collection, id: str) -> Document | None:
        rows = await self._rows(f"SELECT body FROM {collection.name} WHERE id = ?", [id])
        return json.loads(rows[0][0]) if rows else None

    async def select(
        self,
        collection: Collection,
        where: Where,
        *,
        limit: int,
        after: Place | None = None,
        newest_first: bool = False,
    ) -> list[Document]:
        clause, parameters = sql.where_clause(collection, where)
        if after is not None:
            clause += f" AND (created_at, id) {'<' if newest_first else '>'} (?, ?)"
            parameters += [after.created_at, after.id]
        order = "DESC" if newest_first else "ASC"
        rows = await self._rows(
            f"SELECT body FROM {collection.name} WHERE {clause} ORDER BY created_at {order}, id {order} LIMIT ?",
            [*parameters, limit],
        )
        return [json.loads(body) for (body,) in rows]

    async def count(self, collection: Collection, where: Where) -> int:
        clause, parameters = sql.where_clause(collection, where)
        rows = await self._rows(f"SELECT count(*) FROM {collection.name} WHERE {clause}", parameters)
        return int(rows[0][0])

    async def modify(
        self, collection: Collection, where: Where, changes: Changes, *, order_by: str = "created_at"
    ) -> Document | None:
        clause, parameters = sql.where_clause(collection, where)
        choose = (
            f"SELECT id, body FROM {collection.name} WHERE {clause} "
            f"ORDER BY {sql.expression(collection, order_by)}, id LIMIT 1"
        )

        async def run(writer: aiosqlite.Connection) -> Document | None:
            rows = list(await writer.execute_fetchall(choose, parameters))
            if not rows:
                return None
            id, body = rows[0]
            changed = apply(changes, json.loads(body))
            await writer.execute(
                f"UPDATE {collection.name} SET body = ? WHERE id = ?",
                (json.dumps(changed, allow_nan=False), id),
            )
            return changed

        changed: Document | None = await self._write(_naming_the_field(collection, run))
        return changed

    async def remove(self, collection: Collection, where: Where, *, limit: int) -> int:
        clause, parameters = sql.where_clause(collection, where)

        async def run(writer: aiosqlite.Connection) -> int:
            cursor = await writer.execute(
                f"DELETE FROM {collection.name} WHERE id IN (SELECT id FROM {collection.name} WHERE {clause} LIMIT ?)",
                [*parameters, limit],
            )
            return cursor.rowcount

        count: int = await self._write(run)
        return count

    # ---- connections

    def _make_file(self) -> None:
        """Make the file, or take away what other users may do with it; SQLite gives its side files the same mode."""
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
        if self.path.stat().st_mode & 0o077:
            self.path.chmod(0o600)
        self._file = self.path.stat()

    def _check_file(self) -> None:
        """Raises StoreUnavailable when the file was deleted or replaced: what is written to the old one is lost."""
        if self._file is None:
            return
        try:
            there = os.path.samestat(self.path.stat(), self._file)
        except FileNotFoundError:
            there = False
        except OSError as error:
            raise translated(error, self.path) from error
        if not there:
            raise StoreUnavailable(
                f"{self.path} was deleted or replaced while it was open: put the file back, or start again"
            )

    async def _open(self, *pragmas: str) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
        self._connections.append(connection)
        for statement in (*pragmas, "SELECT count(*) FROM sqlite_master"):
            await _patiently(connection, statement)
        return connection

    async def _close_all(self) -> None:
        while self._connections:
            await self._connections.pop().close()
        self._writer = None

    # ---- reading

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[aiosqlite.Connection]:
        """A connection to read with; raises what SQLite says as a StoreError, and StoreUnavailable when time is up."""
        if self._writer is None:
            raise StoreUnavailable(f"the store {self.path} is closed")
        deadline = seconds_allowed(self._deadline)
        try:
            async with asyncio.timeout(deadline):
                reader = await self._readers.get()
                try:
                    yield reader
                except BaseException:
                    # What still runs in the connection's thread would make the next reader wait.
                    if self._writer is not None:
                        await reader.interrupt()
                    raise
                finally:
                    self._readers.put_nowait(reader)
        except TimeoutError:
            raise StoreUnavailable(f"reading from {self.path} took longer than {deadline:g} s") from None
        except sqlite3.Error as error:
            raise translated(error, self.path) from error
        except ValueError as error:
            if self._writer is not None:
                raise
            raise StoreUnavailable(f"the store {self.path} was closed meanwhile") from error

    async def _rows(self, query: str, parameters: Sequence[object]) -> list[Any]:
        async with self._reading() as reader:
            return list(await reader.execute_fetchall(query, parameters))

    # ---- writing

    async def _write(self, run: Callable[[aiosqlite.Connection], Awaitable[Any]]) -> Any:
        """Have the writer do `run`, and return its result once it is on the disk."""
        if self._writing is None or self._writing.done():
            raise StoreUnavailable(f"the store {self.path} is closed")
        write = _Write(run, asyncio.get_running_loop().create_future())
        self._writes.put_nowait(write)
        deadline = seconds_allowed(self._deadline)
        try:
            async with asyncio.timeout(deadline):
                return await write.outcome
        except TimeoutError:
            raise StoreUnavailable(
                f"writing to {self.path} took longer than {deadline:g} s; it may still happen"
            ) from None

    async def _write_all(self, writer: aiosqlite.Connection) -> None:
        """The writer: takes what waits into one transaction, again and again, until it is told to end."""
        ending = False
        while not ending:
            waiting = [await self._writes.get()]
            while len(waiting) < MOST_WRITES_IN_A_TRANSACTION and not self._writes.empty():
                waiting.append(self._writes.get_nowait())
            ending = None in waiting
            # One whose caller gave up before it began does not happen.
            batch = [write for write in waiting if write is not None and not write.outcome.done()]
            if batch:
                await self._commit(writer, batch)
        while not self._writes.empty():
            if late := self._writes.get_nowait():
                _settle(late, StoreUnavailable(f"the store {self.path} is closed"))

    async def _commit(self, writer: aiosqlite.Connection, batch: list[_Write]) -> None:
        outcomes: list[Any] = []
        try:
            self._check_file()
            await writer.execute("BEGIN IMMEDIATE")
            outcomes += [await self._attempt(writer, write) for write in batch]
            await writer.execute("COMMIT")
        except sqlite3.Error as error:
            failure = translated(error, self.path)
            outcomes = [failure] * len(batch)
            if writer.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    await writer.execute("ROLLBACK")
        except StoreError as error:
            outcomes = [error] * len(batch)
        for write, outcome in zip(batch, outcomes, strict=True):
            _settle(write, outcome)

    async def _attempt(self, writer: aiosqlite.Connection, write: _Write) -> Any:
        """The result of one write of a transaction, or the error that undid it alone."""
        await writer.execute("SAVEPOINT one")
        try:
            outcome = await write.run(writer)
        except StoreError as error:
            outcome = error
        except (sqlite3.DataError, sqlite3.IntegrityError, ValueError, TypeError, LookupError) as error:
            outcome = StoreError(f"{self.path} did not take the write: {error}")
        if isinstance(outcome, StoreError):
            await writer.execute("ROLLBACK TO one")
        await writer.execute("RELEASE one")
        return outcome


def _settle(write: _Write, outcome: Any) -> None:
    if write.outcome.done():
        return
    if isinstance(outcome, StoreError):
        write.outcome.set_exception(outcome)
    else:
        write.outcome.set_result(outcome)


def _naming_the_field(
    collection: Collection, run: Callable[[aiosqlite.Connection], Awaitable[Any]]
) -> Callable[[aiosqlite.Connection], Awaitable[Any]]:
    """`run`, with SQLite's word for a broken unique index turned into the name of the field."""

    async def naming(writer: aiosqlite.Connection) -> Any:
        try:
            return await run(writer)
        except sqlite3.IntegrityError as error:
            for name in collection.unique:
                if f"f_{UNIQUE}.{name}" in str(error):
                    raise AlreadyExists(collection.name, name) from None
            if f"{collection.name}.id" in str(error):
                raise AlreadyExists(collection.name, "id") from None
            raise

    return naming


async def _missing(writer: aiosqlite.Connection, collection: Collection) -> list[str]:
    """The statements that make what the collection lacks: its table, generated columns and indexes."""
    name = collection.name
    present = {row[1] for row in await writer.execute_fetchall(f"PRAGMA table_xinfo({name})")}
    statements: list[str] = []
    if not present:
        statements += [
            f"CREATE TABLE {name} (id TEXT PRIMARY KEY NOT NULL, created_at REAL NOT NULL, body TEXT NOT NULL)",
            f"CREATE INDEX {name}_by_time ON {name} (created_at, id)",
        ]
    for path in sql.generated(collection):
        if f"f_{path}" not in present:
            # No type: the column has the value as JSON gives it.
            statements.append(
                f"ALTER TABLE {name} ADD COLUMN {sql.column(path)} GENERATED ALWAYS AS "
                f"(json_extract(body, '{sql.json_path(path)}')) VIRTUAL"
            )
    made = {row[1] for row in await writer.execute_fetchall(f"PRAGMA index_list({name})")}
    statements += [statement for index, statement in _indexes(collection).items() if index not in made]
    return statements


def _indexes(collection: Collection) -> dict[str, str]:
    """The statements that make the collection's indexes, by their names.

    What a filter looks at beside the first column stands in the index too: taking it from the document means parsing its JSON.
    """
    name, deleted = collection.name, sql.column("deleted_at")
    narrowed = [sql.column(path) for path in collection.narrowed]
    found: dict[str, str] = {}

    def add(label: str, columns: list[str], *, unique: bool = False, present: str = "") -> None:
        kind, only = "UNIQUE INDEX" if unique else "INDEX", f" WHERE {present} IS NOT NULL" if present else ""
        found[f"{name}_{label}"] = f'CREATE {kind} "{name}_{label}" ON {name} ({", ".join(columns)}){only}'

    for field in collection.unique:
        add(f"{UNIQUE}.{field}", [sql.column(f"{UNIQUE}.{field}")], unique=True)
    for path in collection.indexed:
        others = [column for column in narrowed if column != sql.column(path)]
        add(f"{path}_by_time", [sql.column(path), "created_at", "id", *others, deleted])
    for path in collection.system_indexed:
        column = sql.column(path)
        add(f"{path}_first", [column, "id", *([deleted] if path != "deleted_at" else [])], present=column)
    for path in collection.queues:
        due = sql.column("claimable_at")
        add(f"{path}_queue", [sql.column(path), due, "id", deleted], present=due)
    return found
