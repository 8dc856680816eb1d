"""What is too old goes, and secrets come under the newest key."""

from __future__ import annotations

from collections.abc import Iterable

from . import cursor as cursors
from .changes import Changes
from .checked_documents import CheckedDocuments
from .documents import Collection, Document
from .errors import SecretError
from .filters import Range, Where
from .secrets import SecretFields

DAY = 86400.0

# Deleted documents are kept this long, so that what refers to them can still be understood.
DELETED_KEPT = 30 * DAY

_SWEEP_BATCH = 500


class StoreUpkeep(CheckedDocuments):
    """The part of `Store` that keeps it in order."""

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
        """Encrypt all secrets with the newest key, after a new one was put first.

        Returns:
            The number of documents changed.

        Raises:
            SecretError: some cannot be read; the others are under the newest key all the same.
        """
        changed, failures = 0, []
        for kind in self._collections.values():
            if not kind.secret:
                continue
            after = None
            while found := await self.backend.select(kind, {}, limit=200, after=after):
                for document in found:
                    done, failed = await self._reencrypt(kind, document)
                    changed += done
                    failures += failed
                after = cursors.Place(found[-1]["created_at"], found[-1]["id"])
        if failures:
            raise SecretError(
                f"{len(failures)} secrets cannot be brought under the newest key ({changed} documents were): {failures[0]}"
            )
        return changed

    async def _reencrypt(self, kind: Collection, document: Document) -> tuple[bool, list[SecretError]]:
        fields = SecretFields(kind, self._keyring)
        outdated, failures = fields.outdated(document)
        if not outdated:
            return False, failures
        sealed = fields.sealed_changes(document["id"], Changes(set=outdated))
        where = {"id": document["id"], "version": document["version"]}
        # One that changed in the meantime has its other secrets renewed by the next run.
        changes = sealed.plus(Changes(increment={"version": 1}))
        return await self.backend.modify(kind, where, changes) is not None, failures
