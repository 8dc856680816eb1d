"""What waits in the store, as gauges: read when somebody asks, within a deadline, and not again for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ..store import Range, Store, StoreError

logger = logging.getLogger(__name__)

DEADLINE = 2.0  # seconds; a scrape times out after ten by default
KEPT = 5.0  # seconds that numbers are good for, however many ask


class StoreGauges(Collector):
    """Depth of the queue and backlog of webhooks. A number that cannot be read is left out, and `antiphon_store_up` is 0."""

    def __init__(
        self,
        store: Store,
        *,
        deadline: float = DEADLINE,
        kept: float = KEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._deadline = deadline
        self._kept = kept
        self._clock = clock
        self._read_at: float | None = None
        self._reading = asyncio.Lock()
        self._up = False
        self._values: dict[str, int] = {}

    async def refresh(self) -> None:
        """Read the numbers anew if they are old; those who ask meanwhile wait for the same answer."""
        async with self._reading:
            now = self._clock()
            if self._read_at is not None and now - self._read_at < self._kept:
                return
            gauges: dict[str, Callable[[], Awaitable[int]]] = {
                "antiphon_queue_depth": self._queued,
                "antiphon_webhook_backlog": self._undelivered,
            }
            values: dict[str, int] = {}
            try:
                async with asyncio.timeout(self._deadline):
                    for name, read in gauges.items():
                        values[name] = await read()
            except (StoreError, TimeoutError) as error:
                logger.warning("the store did not give its numbers: %s", error or "it took too long")
            self._values, self._up = values, len(values) == len(gauges)
            self._read_at = self._clock()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(
            "antiphon_store_up", "Whether the store answers in time.", value=float(self._up)
        )
        for name, help in (
            ("antiphon_queue_depth", "Calls that are due and wait to be dialled."),
            ("antiphon_webhook_backlog", "Webhooks that are not delivered yet, and events not looked at."),
        ):
            if name in self._values:
                yield GaugeMetricFamily(name, help, value=float(self._values[name]))

    async def _queued(self) -> int:
        return await self._store.count(
            "calls", {"status": "queued", "claimable_at": Range(lte=self._store.clock())}
        )

    async def _undelivered(self) -> int:
        # What is complete, delivered or given up, has no time at which it may be claimed.
        waiting = await self._store.count("webhook_deliveries", {"claimable_at": Range(gte=0)})
        return waiting + await self._store.pending("calls")
