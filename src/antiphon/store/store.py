"""The store: documents in collections, with versions, secrets, leases, and events that are written with their cause.

Everything is built on single-document operations of a `Backend`, so it is the same on SQLite and MongoDB, and a standalone
`mongod` is enough. Times are wall-clock seconds, because leases must hold across processes and restarts; the machines that
share a store need clocks that agree to well under the length of a lease.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from . import cursor as cursors
from .backend import Backend
from .catalogue import COLLECTIONS
from .changes import Changes
from .cursor import Page
from .documents import UNIQUE, Collection, Document, check_fields, check_text, check_value, new_id
from .errors import AlreadyExists, Conflict, InvalidDocument, LeaseLost, NotFound, StoreUnavailable
from .filters import Range, Where, check_where
from .migrations import MIGRATIONS, Migration, migrate
from .secrets import Keyring, SecretFields

MOST_ITEMS_IN_A_PAGE = 500
DAY = 86400.0

# Deleted documents are kept this long, so that what refers to them can still be understood.
DELETED_KEPT = 30 * DAY

_SWEEP_BATCH = 500
_RACES = 50


class Store:
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
        self.backend = backend
        self.clock = clock
        self._collections = {collection.name: collection for collection in collections}
        self._keyring = Keyring.from_environment() if keyring is None else keyring
        self.retention = {self._collection(name).name: age for name, age in (retention or {}).items()}
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

    # ---- documents

    async def create(
        self,
        collection: str,
        fields: Mapping[str, Any],
        *,
        id: str | None = None,
        emit: Sequence[Mapping[str, Any]] = (),
        owner: str | None = None,
        lease_seconds: float = 0.0,
        complete: bool = False,
    ) -> Document:
        """Store a new document, and the events that come of it, in one write.

        `expires_at` among the fields is when `sweep` removes it; `claimable_at`, in a collection of work, is when it may first
        be claimed. With an `owner` it is work that is claimed already, for `lease_seconds`; `complete`: work that is finished.

        Raises:
            AlreadyExists: a unique field has a value that another document has; or `id` is taken.
            InvalidDocument: a field cannot be stored.
            SecretError: a secret field without a key.
        """
        kind = self._collection(collection)
        check_fields(fields, allowed=frozenset({"claimable_at"}) if kind.leased else frozenset())
        now = self._now()
        document: Document = {
            **fields,
            "id": new_id(kind.prefix, now) if id is None else id,
            "version": 1,
            "created_at": now,
            "updated_at": now,
        }
        check_text(document["id"], "id")
        if kind.leased:
            document = {"claimable_at": now, "attempts": 0, **document}
            _check_times(document, "claimable_at")
        if owner is not None:
            self._work(collection)
            document |= {
                "lease": _lease(owner, now),
                "claimable_at": now + lease_seconds,
                "attempts": 1,
            }
        if complete:
            self._work(collection)
            del document["claimable_at"]
            document["completed_at"] = now
        _check_times(document, "expires_at")
        _check_unique(kind, fields)
        if unique := {name: fields[name] for name in kind.unique if fields.get(name) is not None}:
            document[UNIQUE] = unique
        if emit:
            document |= {"outbox": self._events(emit), "outbox_due": now}
        sealed = SecretFields(kind, self._keyring).sealed(document)
        try:
            await self.backend.insert(kind, sealed)
        except AlreadyExists as error:
            # A driver that sends a write again, because the answer got lost, finds what it wrote itself.
            if (
                id is not None
                or error.field != "id"
                or await self.backend.fetch(kind, sealed["id"]) != sealed
            ):
                raise
        return self._shown(kind, sealed, reveal=False)

    async def get(
        self, collection: str, id: str, *, reveal: bool = False, include_deleted: bool = False
    ) -> Document:
        """The document; its secrets are masked unless `reveal`. Raises NotFound."""
        kind = self._collection(collection)
        document = await self.backend.fetch(kind, id)
        if document is None or (document.get("deleted_at") is not None and not include_deleted):
            raise NotFound(collection, id)
        return self._shown(kind, document, reveal=reveal)

    async def find(
        self,
        collection: str,
        where: Where | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
        newest_first: bool = False,
        reveal: bool = False,
        include_deleted: bool = False,
    ) -> Page:
        """A page of the documents that `where` chooses, in the order of their creation.

        Raises:
            InvalidCursor: `cursor` is not the `next_cursor` of a page of this list.
            InvalidDocument: a filter that cannot be.
        """
        kind = self._collection(collection)
        where = self._where(kind, where, include_deleted)
        limit = max(1, min(limit, MOST_ITEMS_IN_A_PAGE))
        after = None if cursor is None else cursors.decode(cursor, collection, newest_first)
        found = await self.backend.select(
            kind, where, limit=limit + 1, after=after, newest_first=newest_first
        )
        items = [self._shown(kind, document, reveal=reveal) for document in found[:limit]]
        more = len(found) > limit
        return Page(items, cursors.encode(collection, newest_first, items[-1]) if more else None)

    async def find_one(self, collection: str, where: Where, *, reveal: bool = False) -> Document | None:
        """The oldest document that `where` chooses."""
        page = await self.find(collection, where, limit=1, reveal=reveal)
        return page.items[0] if page.items else None

    async def each(
        self,
        collection: str,
        where: Where | None = None,
        *,
        reveal: bool = False,
        include_deleted: bool = False,
    ) -> AsyncIterator[Document]:
        """All documents that `where` chooses, page by page."""
        cursor = None
        while True:
            page = await self.find(
                collection, where, limit=200, cursor=cursor, reveal=reveal, include_deleted=include_deleted
            )
            for document in page.items:
                yield document
            if (cursor := page.next_cursor) is None:
                return

    async def count(self, collection: str, where: Where | None = None) -> int:
        kind = self._collection(collection)
        return await self.backend.count(kind, self._where(kind, where))

    async def update(
        self,
        collection: str,
        id: str,
        changes: Changes | Mapping[str, Any],
        *,
        expected_version: int | None = None,
        where: Where | None = None,
        emit: Sequence[Mapping[str, Any]] = (),
        complete: bool = False,
    ) -> Document:
        """Change fields of a document, and append the events that come of it to its outbox, in one write.

        Args:
            changes: what to change; a mapping from paths to values sets them.
            expected_version: the version that the caller decided upon.
            where: what must hold for the document, such as `{"status": "ringing"}`.
            emit: `{"type": …, "data": …}` each; an `id` is added unless given.
            complete: the document is work that is finished with this change; any lease on it is over. Say in `where` whose
                lease that may be, as in `{"lease.token": …}` or `{"lease": None}`.

        Raises:
            NotFound: no such document.
            Conflict: the version is another one, or `where` does not hold; nothing was changed.
            AlreadyExists, InvalidDocument, SecretError: as for `create`.
        """
        kind = self._collection(collection)
        where = {**self._where(kind, where), "id": id}
        if expected_version is not None:
            where = {**where, "version": expected_version}
        merged = self._changes(kind, id, changes, emit)
        if complete:
            self._work(collection)
            merged = merged.plus(self._completion())
        changed = await self.backend.modify(kind, where, merged)
        if changed is None:
            present = await self.get(collection, id)
            raise Conflict(
                f"{collection} {id} is not as expected: it is at version {present['version']}"
                + (f", not {expected_version}" if expected_version is not None else "")
            )
        return self._shown(kind, changed, reveal=False)

    async def delete(
        self, collection: str, id: str, *, hard: bool = False, expected_version: int | None = None
    ) -> None:
        """Delete a document: hidden at once, its unique values free again, removed by `sweep` later; with `hard`, now, also one
        that is hidden already.

        Raises:
            NotFound: no such document.
            Conflict: `expected_version` is not its version.
        """
        kind = self._collection(collection)
        where = {
            **self._where(
                kind, {} if expected_version is None else {"version": expected_version}, include_deleted=hard
            ),
            "id": id,
        }
        if hard:
            done = bool(await self.backend.remove(kind, where, limit=1))
        else:
            now = self._now()
            gone = Changes(
                set={"deleted_at": now, "updated_at": now},
                unset=[UNIQUE, *(["claimable_at", "lease"] if kind.leased else [])],
                increment={"version": 1},
            )
            done = await self.backend.modify(kind, where, gone) is not None
        if not done:
            present = await self.get(collection, id)
            raise Conflict(f"{collection} {id} is at version {present['version']}, not {expected_version}")

    # ---- work: leased claims

    async def claim(
        self,
        collection: str,
        where: Where | None = None,
        *,
        owner: str,
        lease_seconds: float,
        order_by: str = "created_at",
        reveal: bool = False,
    ) -> Document | None:
        """Take one document that nobody works on, for `lease_seconds`; None if there is none.

        A document can be claimed when it is not complete and nobody holds a lease that still runs: so also when its last
        holder died. `attempts` counts the claims. Hand the returned document to `renew`, `release` or `complete`.
        """
        kind = self._work(collection)
        now = self._now()
        where = {"claimable_at": Range(lte=now), **self._where(kind, where)}
        changes = Changes(
            set={"lease": _lease(owner, now), "claimable_at": now + lease_seconds, "updated_at": now},
            increment={"version": 1, "attempts": 1},
        )
        claimed = await self.backend.modify(kind, where, changes, order_by=order_by)
        return None if claimed is None else self._shown(kind, claimed, reveal=reveal)

    async def renew(self, collection: str, claimed: Document, lease_seconds: float) -> Document:
        """Hold a claimed document for `lease_seconds` from now; raises LeaseLost if somebody else has it."""
        return await self._as_holder(
            collection, claimed, Changes(set={"claimable_at": self._now() + lease_seconds})
        )

    async def release(
        self,
        collection: str,
        claimed: Document,
        changes: Changes | Mapping[str, Any] | None = None,
        *,
        retry_at: float | None = None,
        emit: Sequence[Mapping[str, Any]] = (),
    ) -> Document:
        """Give a claimed document back, to be claimed again, not before `retry_at`; raises LeaseLost."""
        free = Changes(set={"claimable_at": self._now() if retry_at is None else retry_at}, unset=["lease"])
        return await self._as_holder(collection, claimed, free, changes, emit)

    async def complete(
        self,
        collection: str,
        claimed: Document,
        changes: Changes | Mapping[str, Any] | None = None,
        *,
        emit: Sequence[Mapping[str, Any]] = (),
    ) -> Document:
        """Finish a claimed document: nobody can claim it any more; raises LeaseLost."""
        return await self._as_holder(collection, claimed, self._completion(), changes, emit)

    async def reopen(
        self,
        collection: str,
        id: str,
        changes: Changes | Mapping[str, Any] | None = None,
        *,
        where: Where | None = None,
        emit: Sequence[Mapping[str, Any]] = (),
    ) -> Document:
        """Make finished work claimable again, at once.

        Raises:
            NotFound: no such document.
            Conflict: it is not finished, or `where` does not hold; nothing was changed.
        """
        kind = self._work(collection)
        where = {**self._where(kind, where), "id": id, "completed_at": Range(gte=0)}
        again = Changes(set={"claimable_at": self._now()}, unset=["completed_at"])
        changed = await self.backend.modify(
            kind, where, self._changes(kind, id, changes or {}, emit).plus(again)
        )
        if changed is None:
            await self.get(collection, id)
            raise Conflict(f"{collection} {id} is not finished, or not as expected")
        return self._shown(kind, changed, reveal=False)

    def _completion(self) -> Changes:
        return Changes(set={"completed_at": self._now()}, unset=["lease", "claimable_at"])

    async def _as_holder(
        self,
        collection: str,
        claimed: Document,
        system: Changes,
        changes: Changes | Mapping[str, Any] | None = None,
        emit: Sequence[Mapping[str, Any]] = (),
    ) -> Document:
        kind = self._work(collection)
        id = claimed["id"]
        where = {"id": id, "lease.token": claimed["lease"]["token"]}
        merged = self._changes(kind, id, changes or {}, emit).plus(system)
        changed = await self.backend.modify(kind, where, merged)
        if changed is None:
            raise LeaseLost(f"the lease of {claimed['lease']['owner']} on {collection} {id} is over")
        return self._shown(kind, changed, reveal=False)

    # ---- events: the outbox of each document

    async def pending(self, collection: str) -> int:
        """How many documents have events that wait to be collected now."""
        return await self.backend.count(self._collection(collection), {"outbox_due": Range(lte=self._now())})

    async def claim_outbox(self, collection: str, *, lease_seconds: float) -> Document | None:
        """A document with events in its `outbox`, which nobody else gets for `lease_seconds`; None if there is none.

        Deal with the events in order, then `acknowledge` them. Events that are not acknowledged come again, with the same ids.
        Deleted documents have their events delivered too.
        """
        kind = self._collection(collection)
        now = self._now()
        due = Changes(set={"outbox_due": now + lease_seconds}, increment={"version": 1})
        claimed = await self.backend.modify(kind, {"outbox_due": Range(lte=now)}, due, order_by="outbox_due")
        return None if claimed is None else self._shown(kind, claimed, reveal=False)

    async def acknowledge(self, collection: str, id: str, event_ids: Iterable[str]) -> None:
        """Take events out of a document's outbox; those of them that are not there are no error. Raises NotFound."""
        kind = self._collection(collection)
        gone = set(event_ids)
        for _ in range(_RACES):
            document = await self.backend.fetch(kind, id)
            if document is None:
                raise NotFound(collection, id)
            left = [event for event in document.get("outbox", []) if event["id"] not in gone]
            if left:
                changes = Changes(set={"outbox": left, "outbox_due": self._now()}, increment={"version": 1})
            else:
                changes = Changes(unset=["outbox", "outbox_due"], increment={"version": 1})
            if await self.backend.modify(kind, {"id": id, "version": document["version"]}, changes):
                return
            await asyncio.sleep(0.01)
        raise StoreUnavailable(f"{collection} {id} changes too often to acknowledge its events; try again")

    # ---- upkeep

    async def sweep(self, now: float | None = None, *, skip: Iterable[str] = ()) -> dict[str, int]:
        """Remove what is too old: expired, deleted long ago, or past the collection's retention. Returns how many of each.

        Work that is not complete and documents with events in their outbox stay. Collections in `skip` stay as they are.
        """
        now = self._now() if now is None else now
        removed: dict[str, int] = {}
        skipped = {self._collection(name).name for name in skip}
        for name, kind in self._collections.items():
            if name in skipped:
                continue
            keep: Where = {"outbox_due": None, **({"claimable_at": None} if kind.leased else {})}
            old: list[Where] = [
                {"expires_at": Range(lte=now), **keep},
                {"deleted_at": Range(lte=now - DELETED_KEPT), **keep},
            ]
            if (age := self.retention.get(name)) is not None:
                old.append({"created_at": Range(lte=now - age), **keep})
            count = 0
            for where in old:
                while batch := await self.backend.remove(kind, where, limit=_SWEEP_BATCH):
                    count += batch
            if count:
                removed[name] = count
        return removed

    async def reencrypt(self) -> int:
        """Encrypt all secrets with the newest key, after a new one was put first. Returns the number of documents changed."""
        changed = 0
        for kind in self._collections.values():
            if not kind.secret:
                continue
            fields = SecretFields(kind, self._keyring)
            after = None
            while found := await self.backend.select(kind, {}, limit=200, after=after):
                for document in found:
                    if outdated := fields.outdated(document):
                        sealed = fields.sealed_changes(document["id"], Changes(set=outdated))
                        where = {"id": document["id"], "version": document["version"]}
                        # One that changed in the meantime has its other secrets renewed by the next run.
                        done = await self.backend.modify(
                            kind, where, sealed.plus(Changes(increment={"version": 1}))
                        )
                        changed += done is not None
                after = cursors.Place(found[-1]["created_at"], found[-1]["id"])
        return changed

    # ---- what the above share

    def _now(self) -> float:
        return round(self.clock(), 6)

    def _collection(self, name: str) -> Collection:
        try:
            return self._collections[name]
        except KeyError:
            raise InvalidDocument(
                f"there is no collection {name!r}: {', '.join(self._collections)}"
            ) from None

    def _work(self, name: str) -> Collection:
        kind = self._collection(name)
        if not kind.leased:
            raise InvalidDocument(f"{name} is not a collection of work, so nothing in it is claimed")
        return kind

    def _where(self, kind: Collection, where: Where | None, include_deleted: bool = False) -> Where:
        where = where or {}
        check_where(where, kind.secret)
        return dict(where) if include_deleted else {**where, "deleted_at": None}

    def _changes(
        self,
        kind: Collection,
        id: str,
        changes: Changes | Mapping[str, Any],
        emit: Sequence[Mapping[str, Any]],
    ) -> Changes:
        """`changes`, checked and sealed, with what every change of this document also changes."""
        if not isinstance(changes, Changes):
            changes = Changes(set=changes)
        changes.check()
        now = self._now()
        for path in changes.paths():
            name, below, _ = path.partition(".")
            if name in kind.unique and (below or path not in (*changes.set, *changes.unset)):
                raise InvalidDocument(f"{path} is unique: it can only be set or unset", field=path)
        _check_unique(kind, changes.set)
        _check_times(changes.set, "expires_at")
        system = Changes(set={"updated_at": now}, increment={"version": 1})
        for name in kind.unique:
            if changes.set.get(name) is not None:
                system = system.plus(Changes(set={f"{UNIQUE}.{name}": changes.set[name]}))
            elif name in changes.set or name in changes.unset:
                system = system.plus(Changes(unset=[f"{UNIQUE}.{name}"]))
        if emit:
            # Never earlier than a deliverer's lease: it holds the events before these.
            system = system.plus(Changes(append={"outbox": self._events(emit)}, raise_to={"outbox_due": now}))
        return SecretFields(kind, self._keyring).sealed_changes(id, changes).plus(system)

    def _events(self, emit: Sequence[Mapping[str, Any]]) -> list[Document]:
        now = self._now()
        events = [{"id": new_id("evt", now), "at": now, **event} for event in emit]
        for event in events:
            check_value(event, "emit")
            if not isinstance(event.get("type"), str):
                raise InvalidDocument("an event needs a type", field="emit")
        return events

    def _shown(self, kind: Collection, document: Document, *, reveal: bool) -> Document:
        fields = SecretFields(kind, self._keyring)
        shown = fields.revealed(document) if reveal else fields.masked(document)
        return {name: value for name, value in shown.items() if name != UNIQUE}


def _lease(owner: str, now: float) -> Document:
    return {"owner": owner, "token": uuid.uuid4().hex, "since": now}


def _check_times(fields: Mapping[str, Any], name: str) -> None:
    value = fields.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidDocument(f"{name} is a time in seconds since 1970", field=name)


def _check_unique(kind: Collection, fields: Mapping[str, Any]) -> None:
    for name in kind.unique:
        if isinstance(fields.get(name), list | dict | bool | float):
            raise InvalidDocument(f"{name} is unique: it is text, an integer or null", field=name)
