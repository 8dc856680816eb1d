"""From the outbox of a call to `call_events` and `webhook_deliveries`.

The change of a call and its events are one write; this brings them on afterwards, so that no call waits for it. An event comes
again until it is acknowledged, and both collections take each event id once: so it is filed exactly once, whatever
dies in between and however many relays share the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..observability.log_context import bind
from ..store import AlreadyExists, Document, NotFound, SecretError, Store, StoreError
from .background_loop import BackgroundLoop
from .webhook_body import MOST_BYTES, webhook_body
from .webhook_delivery import new_delivery
from .webhook_target import target_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """How events are relayed.

    Attributes:
        poll_seconds: how often it looks for events that other processes wrote.
        lease_seconds: how long no other relay takes the events that this one works on; also when they are tried again.
        concurrency: calls whose events are relayed at once.
        secret_patience: for so many seconds a webhook waits for the key of the secrets to be there again.
        most_body_bytes: how long a webhook may be.
    """

    poll_seconds: float = 1.0
    lease_seconds: float = 30.0
    concurrency: int = 8
    secret_patience: float = 86400.0
    most_body_bytes: int = MOST_BYTES


class EventRelay:
    """Files the events of calls, and the webhooks that they cause, in the background.

    Args:
        store: of the calls.
        public_url: where this platform is reached, for the address of the recording; empty: not given.
        on_event: told of each event that is filed, as it is in `call_events`, for those who wait in this process.
        on_delivery: told that a webhook was filed, as `WebhookDeliverer.poke`.
    """

    def __init__(
        self,
        store: Store,
        *,
        public_url: str = "",
        on_event: Callable[[Document], None] | None = None,
        on_delivery: Callable[[], None] | None = None,
        options: RelayOptions | None = None,
    ) -> None:
        self._store = store
        self._public_url = public_url
        self._on_event = on_event
        self._on_delivery = on_delivery
        self._options = options or RelayOptions()
        self._loop = BackgroundLoop("event relay", self.relay_all, interval=self._options.poll_seconds)

    def start(self) -> None:
        self._loop.start()

    def poke(self) -> None:
        """A call of this process has new events."""
        self._loop.poke()

    async def aclose(self) -> None:
        """Stop at once; what was not acknowledged comes again, here or elsewhere."""
        await self._loop.aclose()

    async def relay_all(self) -> int:
        """Relay what waits now; returns for how many calls. Raises StoreError if the store fails."""
        slots = asyncio.Semaphore(self._options.concurrency)
        tasks: list[asyncio.Task[None]] = []
        try:
            while True:
                await slots.acquire()
                call = await self._store.claim_outbox("calls", lease_seconds=self._options.lease_seconds)
                if call is None:
                    break
                tasks.append(asyncio.create_task(self._relay(call)))
                tasks[-1].add_done_callback(lambda _: slots.release())
            results = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if failures := [result for result in results if isinstance(result, BaseException)]:
            raise failures[0]
        return len(tasks)

    async def _relay(self, call: Document) -> None:
        """Relay the events of one call. Those that are not acknowledged come again when the lease is over."""
        bind(call_id=call["id"])  # this is a task of its own
        try:
            filed = [await self._file(call, event) for event in call["outbox"]]
            if all(filed):
                with contextlib.suppress(NotFound):
                    ids = [event["id"] for event in call["outbox"]]
                    await self._store.acknowledge("calls", call["id"], ids)
        except StoreError as error:
            if error.retryable:
                raise
            logger.error("the events of call %s cannot be filed: %s", call["id"], error)

    async def _file(self, call: Document, event: Mapping[str, Any]) -> bool:
        """File an event and its webhook; False: the webhook has to wait."""
        with contextlib.suppress(AlreadyExists):
            document = await self._store.create(
                "call_events",
                {
                    "event_id": event["id"],
                    "call_id": call["id"],
                    "type": event["type"],
                    "at": event["at"],
                    "data": event.get("data"),
                },
            )
            if self._on_event is not None:
                self._on_event(document)
        return not event.get("webhook") or await self._file_delivery(call, event)

    async def _file_delivery(self, call: Document, event: Mapping[str, Any]) -> bool:
        assistant_id, undeliverable = call.get("assistant_id"), None
        try:
            target = await target_of(self._store, assistant_id)
        except SecretError as error:
            if self._store.clock() - event["at"] < self._options.secret_patience:
                logger.error("the webhook of call %s waits: %s", call["id"], error)
                return False
            target = await target_of(self._store, assistant_id, reveal=False)
            undeliverable = f"the assistant's secrets could not be read: {error}"
        if target is None:
            return True
        transcript = [entry async for entry in self._store.each("transcripts", {"call_id": call["id"]})]
        body = webhook_body(
            event,
            call,
            transcript,
            public_url=self._public_url,
            most_bytes=self._options.most_body_bytes,
        )
        delivery = new_delivery(event, call, target, body, undeliverable)
        with contextlib.suppress(AlreadyExists):
            await self._store.create("webhook_deliveries", delivery)
            if self._on_delivery is not None:
                self._on_delivery()
        return True
