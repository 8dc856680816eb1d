"""Documents that outlive a process: assistants, calls, queues and what else the platform remembers.

One `Store` on SQLite (embedded, one file) or MongoDB: versions, unique fields, secrets encrypted at rest, leased claims, and
events that are written together with the change that caused them.
"""

from .address import open_store
from .backend import Backend
from .catalogue import COLLECTIONS
from .changes import Changes
from .cursor import Page
from .documents import Collection, Document, check_value
from .errors import (
    AlreadyExists,
    Conflict,
    InvalidCursor,
    InvalidDocument,
    LeaseLost,
    NotFound,
    SchemaError,
    SecretError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from .filters import OneOf, Prefix, Range, Where
from .hurry import hurried
from .migrations import Migration
from .secrets import Keyring, is_masked, mask
from .store import Store

__all__ = [
    "COLLECTIONS",
    "AlreadyExists",
    "Backend",
    "Changes",
    "Collection",
    "Conflict",
    "Document",
    "InvalidCursor",
    "InvalidDocument",
    "Keyring",
    "LeaseLost",
    "Migration",
    "NotFound",
    "OneOf",
    "Page",
    "Prefix",
    "Range",
    "SchemaError",
    "SecretError",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreUnavailable",
    "Where",
    "check_value",
    "hurried",
    "is_masked",
    "mask",
    "open_store",
]
