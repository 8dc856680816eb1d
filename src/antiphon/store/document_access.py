"""Documents: created, read, listed, changed and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from . import cursor as cursors
from .changes import Changes
from .checked_documents import CheckedDocuments, check_times, check_unique
from .cursor import Page
from .documents import UNIQUE, Collection, Document, check_fields, check_text, new_id
from .errors import AlreadyExists, Conflict, NotFound
from .filters import Where
from .lease import lease
from .secrets import SecretFields

MOST_ITEMS_IN_A_PAGE = 500


class DocumentAccess(CheckedDocuments):
    """The part of `Store` that deals with one document, or a list of them."""

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
        document = self._new(kind, fields, id, emit)
        now = document["created_at"]
        if owner is not None or complete:
            self._work(collection)
        if owner is not None:
            document |= {"lease": lease(owner, now), "claimable_at": now + lease_seconds, "attempts": 1}
        if complete:
            del document["claimable_at"]
            document["completed_at"] = now
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

    async def get_readable(self, collection: str, id: str) -> tuple[Document, list[str]]:
        """The document with its secrets, but for those that cannot be read; and the paths of these. Raises NotFound."""
        kind = self._collection(collection)
        stored = await self.backend.fetch(kind, id)
        if stored is None or stored.get("deleted_at") is not None:
            raise NotFound(collection, id)
        document, unreadable = SecretFields(kind, self._keyring).readable(stored)
        return {name: value for name, value in document.items() if name != UNIQUE}, unreadable

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

    def _new(
        self, kind: Collection, fields: Mapping[str, Any], id: str | None, emit: Sequence[Mapping[str, Any]]
    ) -> Document:
        """A new document, checked, with what the store adds to it."""
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
            check_times(document, "claimable_at")
        check_times(document, "expires_at")
        check_unique(kind, fields)
        if unique := {name: fields[name] for name in kind.unique if fields.get(name) is not None}:
            document[UNIQUE] = unique
        if emit:
            document |= {"outbox": self._events(emit), "outbox_due": now}
        return document
