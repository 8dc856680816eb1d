"""What SQLite's errors mean, and what to do about them.

Source: https://www.sqlite.org/rescode.html.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from .errors import StoreCorrupt, StoreError, StoreFull, StoreUnavailable

# The low byte of an extended result code is its primary code.
_PRIMARY = 0xFF


def translated(error: OSError | sqlite3.Error, path: Path) -> StoreError:
    """The store's error for one of SQLite or of the file system."""
    if isinstance(error, OSError):
        return StoreError(
            f"cannot open the store {path}: {error.strerror}. Its folder must exist and be writable by this user"
        )
    match getattr(error, "sqlite_errorcode", 0) & _PRIMARY:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreUnavailable(f"another process keeps {path} locked; try again, or end that process")
        case sqlite3.SQLITE_INTERRUPT:
            return StoreUnavailable(f"an operation on {path} was interrupted")
        case sqlite3.SQLITE_FULL:
            return StoreFull(
                f"the disk of {path} is full; nothing of this write was stored. Make room and try again"
            )
        case sqlite3.SQLITE_CORRUPT:
            return StoreCorrupt(
                f"{path} is damaged: restore a backup, or save what `sqlite3 {path} .recover` finds"
            )
        case sqlite3.SQLITE_NOTADB:
            return StoreCorrupt(f"{path} is not an SQLite database; name another file for the store")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            return StoreError(
                f"cannot write to {path} and its folder: {error}. Both must be writable by this user"
            )
        case sqlite3.SQLITE_IOERR:
            return StoreError(f"the disk of {path} failed: {error}")
    return StoreError(f"the store {path} failed: {error}")
