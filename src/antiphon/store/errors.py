"""What can go wrong in the store; every message says what is wrong, where, and what to do."""

from __future__ import annotations

from antiphon.models.errors import AntiphonError


class StoreError(AntiphonError):
    """Root of the store's errors. `retryable` says whether the same call may succeed later."""

    retryable = False


class NotFound(StoreError):
    """No such document, or it is deleted."""

    def __init__(self, collection: str, id: str) -> None:
        super().__init__(f"{collection} has no document {id!r}")
        self.collection = collection
        self.id = id


class AlreadyExists(StoreError):
    """Another document of the collection has the same value in `field`, which must be unique."""

    def __init__(self, collection: str, field: str) -> None:
        super().__init__(f"another document of {collection} has the same {field}")
        self.collection = collection
        self.field = field


class Conflict(StoreError):
    """The document is not in the state that the change expected: read it again and decide anew."""


class LeaseLost(Conflict):
    """The lease ran out and somebody else took the document, or it is done: stop working on it."""


class InvalidDocument(StoreError):
    """A field, value, path or filter that a document cannot have; `field` names it."""

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidCursor(StoreError):
    """A cursor that this list did not give out."""


class SecretError(StoreError):
    """A secret cannot be stored or read with the keys at hand."""


class SchemaError(StoreError):
    """The data is of a newer version than this program, or could not be brought to this version."""


class StoreUnavailable(StoreError):
    """The database does not answer, is locked, or answered too late; a write may or may not have happened."""

    retryable = True


class StoreFull(StoreError):
    """There is no room on the disk for the write; nothing of it was stored."""

    retryable = True


class StoreCorrupt(StoreError):
    """The file is damaged or is not a database."""
