"""Who sends a request: the API key of `Authorization: Bearer ak_…`, what it may do, and how often one may guess."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict

from fastapi import Request

from ..store import NotFound, Store, StoreUnavailable, hurried
from . import api_keys
from .api_keys import Principal
from .problems import Problem
from .rate_limit import RateLimit

FAILURES_PER_MINUTE = 30.0
FAILURES_AT_ONCE = 20
_REMEMBERED = 1000
_STORE_ANSWERS_WITHIN = 2.0
"""Seconds, for requests that a remembered key may make."""
_NOTED_WITHIN = 0.5
"""Seconds, for noting when a key was used."""


class Authenticator:
    """Finds the key of a request in the store, each time, so that a revoked key is useless at once.

    An address that sent too many wrong keys is refused before the store is asked, except with a key that was right before:
    who shares an address with an attacker is not locked out.
    """

    def __init__(
        self, store: Store, *, per_minute: float = FAILURES_PER_MINUTE, burst: int = FAILURES_AT_ONCE
    ) -> None:
        self._store = store
        self._failures = RateLimit(per_minute, burst)
        self._proven: OrderedDict[str, Principal] = OrderedDict()

    async def authenticate(self, request: Request, *, remembered: bool = False) -> Principal:
        """Who sends `request`.

        Args:
            request: what came.
            remembered: when the store does not answer, a key will do that was right before; for what must be seen then.

        Raises:
            Problem: 401 without a valid key, 429 after too many wrong ones.
            StoreUnavailable: the store does not answer.
        """
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        key = credentials.strip()
        if scheme.lower() != "bearer" or not key:
            raise _unauthorized(
                "Send an API key as 'Authorization: Bearer ak_…'; 'antiphon keys create' makes one.",
                "missing_key",
            )
        address = request.client.host if request.client else ""
        hashed = api_keys.digest(key)
        if hashed not in self._proven and (wait := self._failures.wait(address)):
            raise _too_many(wait)
        try:
            async with asyncio.timeout(_STORE_ANSWERS_WITHIN if remembered else None):
                document = await api_keys.find_key(self._store, key)
        except (StoreUnavailable, TimeoutError) as error:
            known = self._proven.get(hashed)
            if remembered and known is not None and _is_valid(known):
                return known
            raise StoreUnavailable(str(error) or "the store did not answer in time") from error
        if document is None:
            self._failures.take(address)
            self._proven.pop(hashed, None)
            raise _unauthorized(
                "This API key is not valid: it is unknown, expired or revoked.", "invalid_key"
            )
        principal = api_keys.principal_of(document)
        self._remember(hashed, principal)
        with hurried(_NOTED_WITHIN):  # of its own: what is asked for may go well although this does not
            await api_keys.note_use(self._store, document)
        return principal

    async def still_valid(self, principal: Principal) -> bool:
        """Whether a key that was good is so still; while the store is away, whether it would be by its date."""
        try:
            principal = api_keys.principal_of(await self._store.get(api_keys.COLLECTION, principal.key_id))
        except NotFound:
            return False
        except StoreUnavailable:
            pass
        return _is_valid(principal)

    def _remember(self, hashed: str, principal: Principal) -> None:
        self._proven[hashed] = principal
        self._proven.move_to_end(hashed)
        if len(self._proven) > _REMEMBERED:
            self._proven.popitem(last=False)


def check_scope(principal: Principal, scope: str) -> None:
    """Raises Problem 403 unless the key may do this."""
    if not principal.allows(scope):
        raise Problem(
            403,
            "scope_missing",
            f"This needs the scope {scope}, which the key {principal.name!r} does not have.",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
            scope=scope,
        )


def _is_valid(principal: Principal) -> bool:
    return principal.expires_at is None or principal.expires_at > time.time()


def _unauthorized(detail: str, code: str) -> Problem:
    # RFC 6750 section 3: no error code when no credentials were sent.
    challenge = "Bearer" if code == "missing_key" else 'Bearer error="invalid_token"'
    return Problem(401, code, detail, headers={"WWW-Authenticate": challenge})


def _too_many(wait: float) -> Problem:
    seconds = max(1, math.ceil(min(wait, 3600)))
    return Problem(
        429,
        "too_many_failures",
        f"Too many wrong API keys from this address; try again in {seconds} s.",
        headers={"Retry-After": str(seconds)},
    )
