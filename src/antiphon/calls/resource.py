"""Documents that people write and the store keeps: saved with every check, changed in part, shown without secrets.

`assistants`, `tools`, `trunks`, `numbers` and `context_strategies` each declare one `Resource`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from ..models.errors import AntiphonError
from ..store import Changes, Conflict, OneOf, Page, SecretError, Store, Where, mask
from ..store import Document as Stored
from .document import MASK, Document, DocumentRefused, DocumentT, FieldProblem, merge, parse, secret_paths
from .secret_changes import keep_secrets_at_home, keep_unreadable

SYSTEM_FIELDS = ("id", "version", "created_at", "updated_at")
_RACES = 40
_PAUSE = 0.05  # seconds at most until a change that somebody else was faster than is tried again


@dataclass(frozen=True, slots=True)
class Use:
    """A document that needs another one: its kind as the REST interface names it, id, and name for people."""

    kind: str
    id: str
    name: str


class InUse(AntiphonError):
    """A document cannot be deleted while others need it; `uses` says which."""

    def __init__(self, what: str, uses: Sequence[Use]) -> None:
        named = ", ".join(f"{use.kind} {use.name}" for use in uses[:5])
        more = f" and {len(uses) - 5} more" if len(uses) > 5 else ""
        super().__init__(f"{what} is in use by {named}{more}; change or delete that first")
        self.uses = list(uses)


Check = Callable[[Store, DocumentT, str | None], Awaitable[list[FieldProblem]]]
UsedBy = Callable[[Store, str], Awaitable[list[Use]]]


async def _nothing_to_check(_store: Store, _document: Any, _id: str | None) -> list[FieldProblem]:
    return []


async def _never_used(_store: Store, _id: str) -> list[Use]:
    return []


@dataclass(frozen=True)
class Resource(Generic[DocumentT]):
    """One kind of document.

    Attributes:
        collection: where the store keeps it.
        noun: what people call one of them.
        model: what it must look like.
        check: what the text alone does not show to be wrong: references, and whether it could work here. It gets the
            document and its id, which is None for a new one.
        used_by: who would miss it.
    """

    collection: str
    noun: str
    model: type[DocumentT]
    check: Check[DocumentT] = _nothing_to_check
    used_by: UsedBy = _never_used

    async def create(self, store: Store, data: object) -> Stored:
        """Save a new document and show it.

        Raises:
            DocumentRefused: with every problem by field.
            AlreadyExists: a unique field has the value that another document has.
            SecretError: it has a secret and the store has no key.
        """
        document = parse(self.model, data)
        await self._refuse_problems(store, document, None)
        stored = await store.create(self.collection, self._fields(document))
        return self._shown({**stored, **document.model_dump(mode="json")})

    async def get(self, store: Store, id: str) -> Stored:
        """One document, with masks in place of its secrets. Raises NotFound."""
        try:
            return self._shown(await store.get(self.collection, id, reveal=True))
        except SecretError:
            return self._shown(await store.get(self.collection, id))

    async def find(
        self, store: Store, where: Where, *, limit: int, cursor: str | None, newest_first: bool
    ) -> Page:
        """A page of documents, as `get` shows them. Raises InvalidCursor."""

        async def page(reveal: bool) -> Page:
            return await store.find(
                self.collection, where, limit=limit, cursor=cursor, newest_first=newest_first, reveal=reveal
            )

        try:
            found = await page(reveal=True)
        except SecretError:
            found = await page(reveal=False)
        return Page([self._shown(item) for item in found.items], found.next_cursor)

    async def update(
        self, store: Store, id: str, patch: Mapping[str, Any], *, expected_version: int | None = None
    ) -> Stored:
        """Apply a partial update by the rules of `document.merge`, check the whole, and write the fields that changed.

        Args:
            expected_version: the version that was read before; None: the patch is applied to whatever is there.

        Raises:
            NotFound: no such document.
            Conflict: it is at another version, or changes too often.
            DocumentRefused, AlreadyExists, SecretError: as for `create`.
        """
        for attempt in range(_RACES):
            stored, unreadable = await store.get_readable(self.collection, id)
            if expected_version is not None and stored["version"] != expected_version:
                raise Conflict(f"{self.noun} {id} is at version {stored['version']}, not {expected_version}")
            current = own_fields(stored)
            document = parse(self.model, merge(self.model, _complete(self.model, current), patch))
            await self._refuse_problems(store, document, id)
            fields = self._fields(document)
            keep_unreadable(unreadable, current, fields, patch)
            keep_secrets_at_home(current, fields, patch)
            changes = Changes(
                set={
                    name: value
                    for name, value in fields.items()
                    if name not in current or current[name] != value
                },
                unset=[name for name in current if name not in fields],
            )
            if changes.paths():
                try:
                    stored = await store.update(
                        self.collection, id, changes, expected_version=stored["version"]
                    )
                except Conflict:
                    if expected_version is not None or attempt == _RACES - 1:
                        raise
                    await asyncio.sleep(random.uniform(0, _PAUSE))
                    continue
            if unreadable:
                return await self.get(store, id)
            return self._shown({**stored, **document.model_dump(mode="json")})
        raise AssertionError("unreachable")

    async def delete(self, store: Store, id: str, *, expected_version: int | None = None) -> None:
        """Delete a document that nobody needs. Raises NotFound, InUse, and Conflict at another version."""
        stored = await store.get(self.collection, id)
        if expected_version is not None and stored["version"] != expected_version:
            raise Conflict(f"{self.noun} {id} is at version {stored['version']}, not {expected_version}")
        if uses := await self.used_by(store, id):
            raise InUse(f"{self.noun} {stored.get('name', id)}", uses)
        await store.delete(self.collection, id, expected_version=expected_version)

    async def load(self, store: Store, id: str) -> DocumentT:
        """The document itself, secrets readable. Raises NotFound, SecretError, DocumentRefused."""
        return parse(self.model, own_fields(await store.get(self.collection, id, reveal=True)))

    async def _refuse_problems(self, store: Store, document: DocumentT, id: str | None) -> None:
        if problems := await self.check(store, document, id):
            raise DocumentRefused(problems)

    def _fields(self, document: DocumentT) -> dict[str, Any]:
        """What is stored: without empty secrets, for which no key should be needed."""
        fields = document.model_dump(mode="json")
        for path in secret_paths(self.model):
            _take(fields, path, only_empty=True)
        return fields

    def _shown(self, stored: Stored) -> Stored:
        fields = own_fields(stored)
        secrets = {path: _take(fields, path) for path in secret_paths(self.model)}
        fields = _complete(self.model, fields)
        for path, value in secrets.items():
            if value:
                _put(fields, path, _masked(path, value))
        return {**fields, **{name: stored[name] for name in SYSTEM_FIELDS}}


def own_fields(stored: Stored) -> dict[str, Any]:
    """A document of the store without the fields that are the store's."""
    return {name: _copy(value) for name, value in stored.items() if name not in _STORES}


async def find_missing(store: Store, collection: str, ids: Sequence[str]) -> list[str]:
    """Those of `ids` that no document of the collection has."""
    if not ids:
        return []
    found = await store.find(collection, {"id": OneOf(tuple(ids))}, limit=len(ids))
    present = {document["id"] for document in found.items}
    return [id for id in ids if id not in present]


_STORES = frozenset({*SYSTEM_FIELDS, "deleted_at", "outbox", "outbox_due"})


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _complete(model: type[Document], fields: dict[str, Any]) -> dict[str, Any]:
    """`fields` with the defaults of those that are not stored; as they are if an older version wrote something else."""
    try:
        return parse(model, fields).model_dump(mode="json")
    except DocumentRefused:
        return fields


def _take(fields: dict[str, Any], path: str, *, only_empty: bool = False) -> Any:
    """Remove the value at a path, and return it; None if there is none."""
    *way, name = path.split(".")
    for step in way:
        inner = fields.get(step)
        if not isinstance(inner, dict):
            return None
        fields = inner
    if only_empty and fields.get(name):
        return None
    return fields.pop(name, None)


def _put(fields: dict[str, Any], path: str, value: Any) -> None:
    *way, name = path.split(".")
    for step in way:
        fields = fields[step]
    fields[name] = value


def _masked(path: str, value: Any) -> Any:
    """The mask of a secret. Of headers the names stay, unless they cannot be read without the key."""
    if isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    if path.rpartition(".")[2] == "headers":
        return {"*": MASK}
    return value if value.startswith(MASK) else mask(value)
