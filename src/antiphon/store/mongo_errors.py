"""What MongoDB and its driver say, as errors of the store."""

from __future__ import annotations

from bson.errors import BSONError
from pymongo.errors import (
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    WTimeoutError,
)

from .documents import UNIQUE, Collection
from .errors import AlreadyExists, InvalidDocument, StoreError, StoreFull, StoreUnavailable

# TypeMismatch, PathNotViable, BadValue.
_WRONG_TYPES = {14, 28, 2}
# HostUnreachable, HostNotFound, LockTimeout, LockBusy, MaxTimeMSExpired, WriteConcernFailed, NetworkTimeout, ShutdownInProgress,
# WriteConflict, PrimarySteppedDown, ExceededTimeLimit, SocketException, NotWritablePrimary, InterruptedAtShutdown, Interrupted,
# InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary: they pass.
# Source: src/mongo/base/error_codes.yml of MongoDB.
_PASSING = {6, 7, 24, 46, 50, 64, 89, 91, 112, 189, 262, 9001, 10107, 11600, 11601, 11602, 13435, 13436}
_OUT_OF_DISK_SPACE = 14031


def translated(
    error: PyMongoError | BSONError | OSError, collection: Collection | None, deadline: float
) -> StoreError:
    """The store's error for one of the driver.

    Args:
        collection: of the operation; None: it was for the server.
        deadline: seconds that the operation had.
    """
    name = collection.name if collection else "the server"
    match error:
        case DuplicateKeyError():
            return AlreadyExists(name, _field_of(error, collection))
        case DocumentTooLarge():
            return InvalidDocument(f"a document of {name} is too large for MongoDB: {error}")
        case BSONError():
            return InvalidDocument(f"MongoDB cannot hold a value of {name}: {error}")
        case ConnectionFailure() | NetworkTimeout() | ExecutionTimeout() | WTimeoutError():
            # What follows these words describes the driver's own state.
            said = str(error).partition(" (configured timeouts")[0].partition(", Timeout:")[0]
            return StoreUnavailable(f"MongoDB does not answer: {said}")
        case OperationFailure(code=code) if code in _PASSING:
            return StoreUnavailable(f"MongoDB cannot answer now: {error}")
        case OperationFailure(code=code) if code == _OUT_OF_DISK_SPACE:
            return StoreFull(f"MongoDB has no room left: {error}")
        case OperationFailure(code=code) if code in _WRONG_TYPES:
            return InvalidDocument(f"a change does not fit a document of {name}: {error}")
        case InvalidOperation():
            return StoreUnavailable(f"the store was closed meanwhile: {error}")
        case OSError():
            return StoreUnavailable(f"MongoDB is out of reach: {error}")
        case PyMongoError(timeout=True):
            return StoreUnavailable(f"MongoDB did not answer within {deadline:g} s")
        case OperationFailure():
            return StoreError(f"MongoDB refused an operation on {name}: {error}")
        case _:
            return StoreError(f"MongoDB failed: {error}")


def _field_of(error: DuplicateKeyError, collection: Collection | None) -> str:
    """Which field it is that another document has too."""
    said = str((error.details or {}).get("keyPattern", "")) + str(error)
    for name in collection.unique if collection else ():
        if f"{UNIQUE}.{name}" in said or f"unique_{name}" in said:
            return name
    return "id"
