"""What all parts of the store share: the database, the collections, and how documents are checked, sealed and shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .backend import Backend
from .catalogue import COLLECTIONS
from .changes import Changes
from .documents import UNIQUE, Collection, Document, check_value, new_id
from .errors import InvalidDocument
from .filters import Where, check_where
from .secrets import Keyring, SecretFields


class CheckedDocuments:
    """See `Store`, which says what the arguments are."""

    def __init__(
        self,
        backend: Backend,
        *,
        collections: Iterable[Collection] = COLLECTIONS,
        keyring: Keyring | None = None,
        clock: Callable[[], float] = time.time,
        retention: Mapping[str, float] | None = None,
    ) -> None:
        self.backend = backend
        self.clock = clock
        self._collections = {collection.name: collection for collection in collections}
        self._keyring = Keyring.from_environment() if keyring is None else keyring
        self.retention = {self._collection(name).name: age for name, age in (retention or {}).items()}

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
        check_unique(kind, changes.set)
        check_times(changes.set, "expires_at")
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

    def _completion(self) -> Changes:
        return Changes(set={"completed_at": self._now()}, unset=["lease", "claimable_at"])


def check_times(fields: Mapping[str, Any], name: str) -> None:
    """Raises InvalidDocument unless the field is a time, null or missing."""
    value = fields.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidDocument(f"{name} is a time in seconds since 1970", field=name)


def check_unique(kind: Collection, fields: Mapping[str, Any]) -> None:
    """Raises InvalidDocument for a value that no index of either database keeps unique."""
    for name in kind.unique:
        if isinstance(fields.get(name), list | dict | bool | float):
            raise InvalidDocument(f"{name} is unique: it is text, an integer or null", field=name)
