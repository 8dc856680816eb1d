"""Which provider of a chain to try next: in the order given, without those that failed a moment ago.

There is no background task. A provider that failed is left out until its back-off has passed, which doubles with each
failure, and then tried by the next request, with half the time to answer as long as another can take over.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..deadlines import close_within
from ..errors import AllProvidersFailed, ConfigurationError, ProviderError, describe

logger = logging.getLogger(__name__)

PREWARM_TIMEOUT = 30.0


class Provider(Protocol):
    """What STT, LLM and TTS have in common."""

    @property
    def label(self) -> str: ...

    async def prewarm(self) -> None: ...

    async def aclose(self) -> None: ...


ProviderT = TypeVar("ProviderT", bound=Provider)


@dataclass(frozen=True)
class BackOff:
    """How long a failed provider is left alone.

    Attributes:
        base: seconds after the first failure; doubled with each further one in a row.
        maximum: seconds at most.
        jitter: part by which the time varies, so that many processes do not come back at once.
        random: gives numbers from 0 to 1.
    """

    base: float = 1.0
    maximum: float = 60.0
    jitter: float = 0.2
    random: Callable[[], float] = random.random

    def delay(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row."""
        plain = min(self.maximum, self.base * 2.0 ** min(failures - 1, 60))
        return plain * (1 + self.jitter * (2 * self.random() - 1))


@dataclass(frozen=True)
class AvailabilityChanged:
    """A provider of a chain failed, or works again.

    Attributes:
        provider: its label.
        available: whether it works.
        error: why it failed.
        retry_in: seconds until it is tried again.
    """

    provider: str
    available: bool
    error: BaseException | None = None
    retry_in: float | None = None


OnAvailabilityChanged = Callable[[AvailabilityChanged], None]


@dataclass(frozen=True)
class Attempt(Generic[ProviderT]):
    """One provider's turn; `timeout` is the seconds that it has to begin."""

    provider: ProviderT
    timeout: float


@dataclass
class _Health:
    failures: int = 0
    retry_at: float = 0.0


class ProviderChain(Generic[ProviderT]):
    """The providers of a fallback adapter and what is known about them."""

    def __init__(
        self,
        providers: Sequence[ProviderT],
        *,
        attempt_timeout: float,
        back_off: BackOff | None = None,
        on_availability_changed: OnAvailabilityChanged | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """
        Raises:
            ConfigurationError: no providers were given.
        """
        if not providers:
            raise ConfigurationError("a fallback adapter needs at least one provider")
        self.providers = list(providers)
        self._attempt_timeout = attempt_timeout
        self._back_off = back_off or BackOff()
        self._on_availability_changed = on_availability_changed
        self._clock = clock
        self._health = [_Health() for _ in self.providers]

    @property
    def label(self) -> str:
        return " > ".join(provider.label for provider in self.providers)

    def attempts(self) -> list[Attempt[ProviderT]]:
        """Every provider: those that work, in order; then, as a last resort, the others, the longest rested first."""
        now = self._now()
        resting = [i for i, health in enumerate(self._health) if health.retry_at > now]
        ready = [i for i in range(len(self.providers)) if i not in resting]
        order = ready + sorted(resting, key=lambda i: self._health[i].retry_at)
        return [
            Attempt(
                self.providers[index],
                self._attempt_timeout / 2
                if self._health[index].failures and index != order[-1]
                else self._attempt_timeout,
            )
            for index in order
        ]

    def is_available(self, provider: ProviderT) -> bool:
        """Whether the provider has not failed since it last worked."""
        return self._health_of(provider).failures == 0

    def worked(self, provider: ProviderT) -> None:
        health = self._health_of(provider)
        recovered, health.failures, health.retry_at = health.failures > 0, 0, 0.0
        if recovered:
            logger.info("%s works again", provider.label)
            self._announce(AvailabilityChanged(provider.label, True))

    def failed(self, provider: ProviderT, error: BaseException) -> None:
        health = self._health_of(provider)
        health.failures += 1
        delay = self._back_off.delay(health.failures)
        health.retry_at = self._now() + delay
        logger.warning("%s failed, left alone for %.1f s: %s", provider.label, delay, describe(error))
        if health.failures == 1:
            self._announce(AvailabilityChanged(provider.label, False, error, delay))

    def all_failed(self, what: str, causes: list[BaseException]) -> AllProvidersFailed:
        reasons = "; ".join(describe(cause) for cause in causes)
        return AllProvidersFailed(f"no provider {what}: {reasons}", causes)

    async def prewarm(self) -> None:
        """Warm up all; one that fails is left out at first.

        Raises:
            AllProvidersFailed: none could be warmed up.
        """
        results = await asyncio.gather(*map(self._prewarm_one, self.providers))
        causes: list[BaseException] = [error for error in results if error is not None]
        if len(causes) == len(self.providers):
            raise self.all_failed("could be warmed up", causes)

    async def _prewarm_one(self, provider: ProviderT) -> Exception | None:
        try:
            async with asyncio.timeout(PREWARM_TIMEOUT):
                await provider.prewarm()
        except Exception as error:  # any failure of a vendor's code counts against that vendor
            self.failed(provider, error)
            return error
        return None

    async def aclose(self) -> None:
        await asyncio.gather(*(close_within(each.aclose(), each.label) for each in self.providers))

    def _health_of(self, provider: ProviderT) -> _Health:
        return next(h for each, h in zip(self.providers, self._health, strict=True) if each is provider)

    def _now(self) -> float:
        return self._clock() if self._clock else asyncio.get_running_loop().time()

    def _announce(self, event: AvailabilityChanged) -> None:
        if self._on_availability_changed is not None:
            self._on_availability_changed(event)


def as_provider_error(error: Exception, provider: str) -> ProviderError:
    """The error itself, or a `ProviderError` in place of what a vendor's code let through."""
    if isinstance(error, ProviderError):
        return error
    wrapped = ProviderError(f"{provider} failed: {describe(error)}", provider=provider)
    wrapped.__cause__ = error
    return wrapped
