"""A database that may be away: one request asks whether it is back, and the others need not wait, so they do not pile up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from .backend import Backend
from .errors import StoreError, StoreUnavailable
from .hurry import hurry_now
from .wrapped_backend import WrappedBackend

T = TypeVar("T")


class GuardedBackend(WrappedBackend):
    """Does what `inner` does, or fails at once for those in a hurry while somebody asks whether it is back."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self._answers = 0
        self._away = False
        self._asking = False

    async def _do(self, operation: str, doing: Callable[[], Awaitable[T]]) -> T:
        hurry = hurry_now()
        if hurry is not None and (hurry.failed or (self._away and self._asking)):
            raise StoreUnavailable("the database did not answer a moment ago")
        alone = hurry is not None and self._away
        self._asking = self._asking or alone
        answers = self._answers
        try:
            result = await doing()
        except StoreUnavailable:
            # One that is slow for one question, but answered others meanwhile, is not away.
            self._away = self._away or self._answers == answers
            if hurry is not None:
                hurry.failed = True
            raise
        except StoreError:
            self._answered()
            raise
        finally:
            if alone:
                self._asking = False
        self._answered()
        return result

    def _answered(self) -> None:
        self._answers += 1
        self._away = False
