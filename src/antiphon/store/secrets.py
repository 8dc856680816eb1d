"""Secrets at rest: AES-256-GCM with keys from the environment, and the mask that readers see instead.

A sealed value is the text `secret:1:<key id>:<nonce and ciphertext, base64url>`; the key id is the start of the key's SHA-256.
The collection, document and field are authenticated with it, so a sealed value does not open anywhere else.
Source: NIST SP 800-38D (a random nonce of 96 bits for each value).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .changes import Changes
from .documents import Collection, Document
from .errors import InvalidDocument, SecretError

VARIABLE = "ANTIPHON_SECRET_KEY"
HOW_TO_MAKE_A_KEY = "openssl rand -base64 32"
MASK = "********"

_SEALED = "secret:1:"
_NONCE_BYTES = 12
# The end of a long secret tells its owner which one it is, and nobody else what it is.
_SHOWN = 4
_LONG_ENOUGH_TO_SHOW = 16


def mask(value: Any) -> str:
    """What readers see of a secret: `"********"`, and the last four characters of a long one."""
    long = isinstance(value, str) and len(value) >= _LONG_ENOUGH_TO_SHOW
    return MASK + (value[-_SHOWN:] if long else "")


def is_masked(value: Any) -> bool:
    """Whether `value` is, or holds, what `mask` returned: storing it would replace a secret by its mask."""
    if isinstance(value, dict | list):
        return any(is_masked(item) for item in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and MASK in value


class Keyring:
    """The keys for secrets: the first one seals, all of them open.

    Args:
        keys: 32 bytes each.
    """

    def __init__(self, keys: list[bytes]) -> None:
        for key in keys:
            if len(key) != 32:
                raise SecretError(
                    f"a key of {VARIABLE} has {len(key)} bytes instead of 32. Make one with: {HOW_TO_MAKE_A_KEY}"
                )
        self._keys = {hashlib.sha256(key).hexdigest()[:8]: key for key in keys}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Keyring:
        """The keys of ANTIPHON_SECRET_KEY: base64, separated by commas, the newest first. None is no error until one is needed.

        Raises:
            SecretError: a key is not 32 bytes in base64.
        """
        text = (os.environ if environment is None else environment).get(VARIABLE, "")
        keys = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            try:
                keys.append(
                    base64.b64decode(part, altchars=b"-_" if {"-", "_"} & set(part) else None, validate=True)
                )
            except (binascii.Error, ValueError):
                raise SecretError(
                    f"{VARIABLE} holds a key that is not base64. Make one with: {HOW_TO_MAKE_A_KEY}"
                ) from None
        return cls(keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def seal(self, value: Any, *, place: str) -> str:
        """`value` (JSON) encrypted for `place`; raises SecretError without a key."""
        if not self._keys:
            raise SecretError(
                f"{place} is secret and {VARIABLE} is not set, so it is not stored. Set {VARIABLE} to the output of: "
                f"{HOW_TO_MAKE_A_KEY} (keep it: what it encrypted cannot be read without it)"
            )
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key_id, key = next(iter(self._keys.items()))
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + AESGCM(key).encrypt(nonce, json.dumps(value).encode(), place.encode())
        return f"{_SEALED}{key_id}:{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, sealed: Any, *, place: str) -> Any:
        """The value that `seal` encrypted for the same place.

        Raises:
            SecretError: the key is not here, or the value was altered or moved.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if not isinstance(sealed, str) or not sealed.startswith(_SEALED):
            raise SecretError(f"{place} is stored without encryption; set it anew")
        key_id, _, data = sealed.removeprefix(_SEALED).partition(":")
        key = self._keys.get(key_id)
        if key is None:
            raise SecretError(f"{place} was encrypted with the key {key_id}, which {VARIABLE} does not hold")
        try:
            raw = base64.urlsafe_b64decode(data)
            return json.loads(AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode()))
        except (InvalidTag, ValueError):
            raise SecretError(f"{place} cannot be decrypted: it was altered or moved; set it anew") from None

    def is_current(self, sealed: Any) -> bool:
        """Whether `sealed` is under the key that seals now."""
        return isinstance(sealed, str) and sealed.startswith(f"{_SEALED}{next(iter(self._keys), '')}:")


@dataclass(frozen=True)
class SecretFields:
    """Seals and opens the secret fields of one collection's documents."""

    collection: Collection
    keyring: Keyring

    def sealed(self, document: Document) -> Document:
        """A copy of a new document with its secrets sealed; raises SecretError or InvalidDocument (a masked value)."""
        return self._mapped(document, lambda path, value: self._seal(document["id"], path, value))

    def sealed_changes(self, id: str, changes: Changes) -> Changes:
        """`changes` of the document `id` with the secrets in them sealed."""
        for path in changes.paths():
            inside = [secret for secret in self.collection.secret if path.startswith(secret + ".")]
            if inside or (path in self.collection.secret and path not in (*changes.set, *changes.unset)):
                raise InvalidDocument(
                    f"{path} is secret: set or unset {(inside or [path])[0]} as a whole", field=path
                )
        if not self.collection.secret:
            return changes
        wrapped = {path: _nested(path, value) for path, value in changes.set.items()}
        sealed = {
            path: _value_at(self._mapped(tree, lambda at, value: self._seal(id, at, value)), path)
            for path, tree in wrapped.items()
        }
        return replace(changes, set=sealed)

    def masked(self, document: Document) -> Document:
        """A copy of a stored document with masks in place of its secrets."""
        return self._mapped(document, lambda path, value: self._mask(document["id"], path, value))

    def revealed(self, document: Document) -> Document:
        """A copy of a stored document with its secrets readable; raises SecretError."""
        return self._mapped(
            document, lambda path, value: self.keyring.open(value, place=self._place(document["id"], path))
        )

    def readable(self, document: Document) -> tuple[Document, list[str]]:
        """A copy of a stored document without the secrets that cannot be read, and their paths."""
        unreadable: list[str] = []

        def opened(path: str, value: Any) -> Any:
            try:
                return self.keyring.open(value, place=self._place(document["id"], path))
            except SecretError:
                unreadable.append(path)
                return None

        shown = self._mapped(document, opened)
        for path in unreadable:
            parent = shown
            for step in _steps(path):
                parent = parent[step]
            del parent[path.rpartition(".")[2]]
        return shown, unreadable

    def outdated(self, document: Document) -> tuple[dict[str, Any], list[SecretError]]:
        """The secrets of a stored document that are not under the newest key, readable, by path; and why others are not."""
        found: dict[str, Any] = {}
        failures: list[SecretError] = []

        def look(path: str, value: Any) -> Any:
            if not self.keyring.is_current(value):
                try:
                    found[path] = self.keyring.open(value, place=self._place(document["id"], path))
                except SecretError as error:
                    failures.append(error)
            return value

        self._mapped(document, look)
        return found, failures

    def _place(self, id: str, path: str) -> str:
        return f"{self.collection.name}/{id}/{path}"

    def _seal(self, id: str, path: str, value: Any) -> str:
        if is_masked(value):
            raise InvalidDocument(
                f"{path} is the mask that reading shows; leave the field out to keep the secret", field=path
            )
        return self.keyring.seal(value, place=self._place(id, path))

    def _mask(self, id: str, path: str, value: Any) -> str:
        try:
            return mask(self.keyring.open(value, place=self._place(id, path)))
        except SecretError:
            return MASK

    def _mapped(self, document: Document, change: Any) -> Document:
        changed = dict(document)
        for path in self.collection.secret:
            parent = changed
            for step in _steps(path):
                below = parent.get(step)
                if not isinstance(below, dict):
                    break
                parent[step] = parent = dict(below)
            else:
                name = path.rpartition(".")[2]
                if parent.get(name) is not None:
                    parent[name] = change(path, parent[name])
        return changed


def _steps(path: str) -> Iterator[str]:
    yield from path.split(".")[:-1]


def _nested(path: str, value: Any) -> Document:
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


def _value_at(tree: Any, path: str) -> Any:
    for name in path.split("."):
        tree = tree[name]
    return tree
