"""API keys: made, found, rotated and revoked in the store. Only the digest of a key is kept.

A key is `ak_` and 256 random bits, so that a plain SHA-256 of it cannot be searched for: there is nothing to guess, and no
salt or slow hash would add to that.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..models.errors import AntiphonError
from ..store import Conflict, Document, NotFound, Store, StoreError

logger = logging.getLogger(__name__)

COLLECTION = "api_keys"
ALL = "*"
SCOPES = (
    "assistants:read",
    "assistants:write",
    "tools:read",
    "tools:write",
    "trunks:read",
    "trunks:write",
    "inbound:read",
    "inbound:write",
    "calls:read",
    "calls:write",
    "keys:write",
    "webhooks:read",
    "webhooks:write",
    "metrics:read",
    ALL,
)
MOST_GRACE = 30 * 86_400.0
DEFAULT_GRACE = 86_400.0

_TEXT = re.compile(r"ak_[A-Za-z0-9_-]{43}")
_SHOWN = 9  # characters of a key by which its owner knows it again
_USE_NOTED_EVERY = 60.0


class KeyRefused(AntiphonError):
    """A key cannot be made or changed like this; `field` is what is wrong with the request, if one thing is."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class ScopeExceeded(KeyRefused):
    """It would give more rights, or for longer, than the key has that asks for it."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a key, by its id, with what it may do and until when.

    Attributes:
        lineage: the id of the first of the keys that replaced each other by rotation.
    """

    key_id: str
    name: str
    scopes: frozenset[str]
    expires_at: float | None = None
    lineage: str = ""

    def allows(self, scope: str) -> bool:
        """Whether this key may do what needs `scope`. To write includes to read."""
        return (
            ALL in self.scopes
            or scope in self.scopes
            or (scope.endswith(":read") and f"{scope.removesuffix('read')}write" in self.scopes)
        )

    def covers(self, scopes: Collection[str], expires_at: float | None) -> bool:
        """Whether a key with these scopes and this end can do nothing that this one cannot."""
        outlives = self.expires_at is not None and (expires_at is None or expires_at > self.expires_at)
        return not outlives and all(self.allows(scope) for scope in scopes)


# The operator at the command line, who has the store itself.
OPERATOR = Principal("", "operator", frozenset({ALL}))


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def looks_like_a_key(text: str) -> bool:
    return _TEXT.fullmatch(text) is not None


async def create_key(
    store: Store,
    name: str,
    scopes: Sequence[str],
    *,
    expires_at: float | None = None,
    by: Principal = OPERATOR,
    **more: Any,
) -> tuple[str, Document]:
    """Make a key.

    Args:
        name: for people: who or what uses it.
        scopes: of `SCOPES`, at least one.
        expires_at: in seconds since 1970; None: when the key of `by` does, or never.
        by: who asks for it.

    Returns:
        The key itself, which cannot be had again, and its document.

    Raises:
        KeyRefused: no name, an unknown scope, or an end that is over.
        ScopeExceeded: more rights than `by` has.
    """
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise KeyRefused("a key needs a name of 1 to 100 printable characters", "name")
    if not scopes:
        raise KeyRefused(f"a key needs at least one scope of {', '.join(SCOPES)}", "scopes")
    for scope in scopes:
        if scope not in SCOPES:
            raise KeyRefused(f"there is no scope {scope!r}; scopes are {', '.join(SCOPES)}", "scopes")
    expires_at = by.expires_at if expires_at is None else expires_at
    if expires_at is not None and expires_at <= time.time():
        raise KeyRefused("expires_at is in the past; it is a time in seconds since 1970", "expires_at")
    _check_rights(by, scopes, expires_at)
    key = f"ak_{secrets.token_urlsafe(32)}"
    fields = {
        "name": name,
        "prefix": key[:_SHOWN],
        "hash": digest(key),
        "scopes": sorted(set(scopes)),
        "last_used_at": None,
        **({} if expires_at is None else {"expires_at": expires_at}),
        **more,
    }
    return key, await store.create(COLLECTION, fields)


async def find_key(store: Store, key: str) -> Document | None:
    """The document of a key that can be used now."""
    if not looks_like_a_key(key):
        return None
    wanted = digest(key)
    found = await store.find_one(COLLECTION, {"hash": wanted})
    if found is None or not hmac.compare_digest(found["hash"], wanted):
        return None
    expires_at = found.get("expires_at")
    return found if expires_at is None or expires_at > time.time() else None


def principal_of(document: Document) -> Principal:
    return Principal(
        document["id"],
        document["name"],
        frozenset(document["scopes"]),
        document.get("expires_at"),
        document.get("lineage") or document["id"],
    )


async def note_use(store: Store, document: Document) -> None:
    """Keep when a key was last used, once a minute at most; that this fails is no reason to refuse a request."""
    now, before = time.time(), document.get("last_used_at")
    if before is not None and now - before < _USE_NOTED_EVERY:
        return
    try:
        await store.update(
            COLLECTION, document["id"], {"last_used_at": round(now)}, where={"last_used_at": before}
        )
    except (Conflict, NotFound):
        return  # another request or process has noted it, or the key was revoked just now
    except StoreError as error:
        logger.warning("the last use of key %s could not be noted: %s", document["id"], error)


async def rotate_key(
    store: Store, key_id: str, *, grace_seconds: float = DEFAULT_GRACE, by: Principal = OPERATOR
) -> tuple[str, Document]:
    """Make a key that replaces another one, which works for `grace_seconds` more.

    The new key has the same name, scopes and end.

    Raises:
        NotFound: no such key.
        KeyRefused: it was rotated before, or the grace is not between 0 and 30 days.
        ScopeExceeded: it has more rights than `by`.
    """
    if not 0 <= grace_seconds <= MOST_GRACE:
        raise KeyRefused(f"grace_seconds must be between 0 and {MOST_GRACE:.0f}", "grace_seconds")
    old = await store.get(COLLECTION, key_id)
    if old.get("rotated_at") is not None:
        raise KeyRefused(f"key {key_id} was rotated before; rotate the key that replaced it")
    _check_rights(by, old["scopes"], old.get("expires_at"))
    key, new = await create_key(
        store,
        old["name"],
        old["scopes"],
        expires_at=old.get("expires_at"),
        by=by,
        rotated_from=key_id,
        lineage=old.get("lineage") or key_id,
    )
    now = time.time()
    ends = min(now + grace_seconds, old.get("expires_at") or now + grace_seconds)
    try:
        # Written last: a crash before leaves two keys that work rather than none.
        await store.update(
            COLLECTION, key_id, {"rotated_at": now, "expires_at": ends}, where={"rotated_at": None}
        )
    except (Conflict, NotFound):
        await store.delete(COLLECTION, new["id"], hard=True)
        raise KeyRefused(f"key {key_id} was rotated or revoked at the same time") from None
    return key, new


async def revoke_key(
    store: Store, key_id: str, *, by: Principal = OPERATOR, expected_version: int | None = None
) -> None:
    """Make a key useless at once. Raises NotFound, Conflict and ScopeExceeded as `rotate_key`."""
    document = await store.get(COLLECTION, key_id)
    if key_id != by.key_id and not all(by.allows(scope) for scope in document["scopes"]):
        raise ScopeExceeded(f"key {key_id} has more rights than yours, so it cannot be revoked with it")
    await store.delete(COLLECTION, key_id, expected_version=expected_version)


def shown(document: Document) -> Document:
    """A key's document without its digest."""
    kept = ("id", "name", "prefix", "scopes", "created_at", "updated_at", "version")
    optional = ("expires_at", "last_used_at", "rotated_from", "rotated_at")
    return {**{name: document[name] for name in kept}, **{name: document.get(name) for name in optional}}


def _check_rights(by: Principal, scopes: Collection[str], expires_at: float | None) -> None:
    beyond = sorted(scope for scope in scopes if not by.allows(scope))
    if beyond:
        raise ScopeExceeded(
            f"your key does not have {', '.join(beyond)}, so no key with that can be made with it"
        )
    if not by.covers(scopes, expires_at):
        raise ScopeExceeded("a key cannot outlive the key that it is made with; give an earlier expires_at")
