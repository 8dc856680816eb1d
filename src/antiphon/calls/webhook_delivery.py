"""Delivers webhooks: at least once, with the same `webhook-id` each time, until the receiver says 2xx or all attempts are used up.

A delivery is a document of work. Whoever claims it posts it and writes down what came of it; a process that dies in
between leaves it to the next one, which cannot know whether the receiver had it already. Receivers tell repetitions by
`webhook-id`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..models.errors import ConfigurationError
from ..models.outbound_http import OutboundError, OutboundPolicy
from ..models.webhook_message import post_message
from ..observability.log_context import bind
from ..store import Changes, Document, LeaseLost, SecretError, Store, StoreError
from .background_loop import BackgroundLoop
from .delivery_lanes import DeliveryLanes
from .webhook_outcome import Backoff, Outcome, of_answer, of_error
from .webhook_target import target_of

logger = logging.getLogger(__name__)

COLLECTION = "webhook_deliveries"
ATTEMPTS_REMEMBERED = 20

# The lease goes on so long after the deadline of the attempt, for writing down what came of it.
_LEASE_MARGIN = 15.0
_FIRST_SETTLE_DELAY = 0.2
_MOST_SETTLE_DELAY = 5.0


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How webhooks are delivered.

    Attributes:
        concurrency: attempts at once.
        per_host: of them to one host.
        poll_seconds: how often it looks for deliveries that other processes filed, or that are due again.
        lease_seconds: how long after the death of a process its deliveries are taken over.
        backoff: the waits between attempts.
        drain_seconds: how long attempts may go on after `aclose`.
    """

    concurrency: int = 64
    per_host: int = 4
    poll_seconds: float = 1.0
    lease_seconds: float = 45.0
    backoff: Backoff = field(default_factory=Backoff)
    drain_seconds: float = 5.0


def new_delivery(
    event: Mapping[str, Any],
    call: Mapping[str, Any],
    target: Mapping[str, Any],
    body: str,
    undeliverable: str | None = None,
) -> dict[str, Any]:
    """The fields of a delivery that waits for its first attempt.

    Its `status` is `pending`, `delivered` or `dead`; `reason` says why it is dead. `tries` counts the attempts since it was
    filed or replayed, of `max_attempts`; `history` keeps the last ones: `at`, `status`, `error`, `seconds`.

    Args:
        event: of the call's outbox.
        target: as `webhook_target.target_of` returns it.
        body: JSON as it will be sent.
        undeliverable: why it cannot be delivered as it is, if so.
    """
    return {
        "event_id": event["id"],
        "call_id": call["id"],
        "assistant_id": call.get("assistant_id"),
        "type": event["webhook"],
        "status": "pending",
        **target,
        "body": body,
        "tries": 0,
        "history": [],
        "replays": 0,
        "undeliverable": undeliverable,
        "reason": None,
        "next_attempt_at": None,
        "delivered_at": None,
    }


async def replay(store: Store, delivery_id: str) -> Document:
    """Put a delivered or dead delivery back into the queue, with all its attempts anew.

    Body and `webhook-id` stay; it goes to the address that its assistant has now, or if there is none to the old one.

    Raises:
        NotFound: no such delivery.
        Conflict: it still waits for an attempt.
        SecretError: the assistant's secrets cannot be read.
    """
    delivery = await store.get(COLLECTION, delivery_id)
    target = await target_of(store, delivery.get("assistant_id"))
    again = {"status": "pending", "tries": 0, "reason": None, "next_attempt_at": None, "delivered_at": None}
    if target is not None:
        again |= {**target, "undeliverable": None}
    return await store.reopen(COLLECTION, delivery_id, Changes(set=again, increment={"replays": 1}))


class WebhookDeliverer:
    """Delivers in the background what is in the store; several may share one.

    Args:
        store: with the deliveries.
        policy: where webhooks may go beyond the public internet.
        owner: what this process is called in the store.
        on_attempt: told how each attempt ended: `delivered`, `retried` later, or `dead`.
    """

    def __init__(
        self,
        store: Store,
        *,
        policy: OutboundPolicy | None = None,
        options: DeliveryOptions | None = None,
        owner: str = "",
        on_attempt: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._policy = policy or OutboundPolicy()
        self._options = options or DeliveryOptions()
        self._owner = owner or f"{socket.gethostname()}:{os.getpid()}"
        self._on_attempt = on_attempt or (lambda _outcome: None)
        self._lanes = DeliveryLanes(self._options.concurrency, self._options.per_host)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = BackgroundLoop("webhooks", self._begin_all, interval=self._options.poll_seconds)

    def start(self) -> None:
        self._loop.start()

    def poke(self) -> None:
        """A delivery was filed in this process."""
        self._loop.poke()

    async def aclose(self) -> None:
        """Begin nothing more, and let what is under way end; what does not is sent again after its lease."""
        await self._loop.aclose()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._options.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begin_all(self) -> None:
        """Begin an attempt for everything that is due, as far as there are places."""
        while not self._lanes.full:
            claimed = await self._store.claim(
                COLLECTION,
                owner=self._owner,
                lease_seconds=self._options.lease_seconds,
                order_by="claimable_at",
            )
            if claimed is None:
                return
            host = claimed["host"]
            if not self._lanes.enter(host):
                wait = self._lanes.wait(host, asyncio.get_running_loop().time())
                await self._store.release(COLLECTION, claimed, retry_at=self._store.clock() + wait)
                continue
            task = asyncio.create_task(self._deliver(claimed), name=f"webhook {claimed['id']}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, claimed: Document) -> None:
        """One attempt, and what came of it."""
        bind(call_id=claimed.get("call_id"))  # this is a task of its own
        loop = asyncio.get_running_loop()
        began, at = loop.time(), self._store.clock()
        works, seconds = False, 0.0
        try:
            outcome = await self._attempt(claimed)
            works, seconds = outcome.host_works, loop.time() - began
            await self._settle(claimed, outcome, at, seconds)
        except LeaseLost as error:
            logger.warning("webhook %s was taken over: %s", claimed["id"], error)
        except StoreError as error:
            logger.error("webhook %s: %s; it is tried again when its lease is over", claimed["id"], error)
        finally:
            self._lanes.leave(claimed["host"], ok=works, seconds=seconds)
            self._loop.poke()

    async def _attempt(self, claimed: Document) -> Outcome:
        if claimed.get("undeliverable"):
            return Outcome(error=claimed["undeliverable"], final=True)
        timeout = claimed["timeout_seconds"]
        if timeout + _LEASE_MARGIN > self._options.lease_seconds:
            await self._store.renew(COLLECTION, claimed, timeout + _LEASE_MARGIN)
        try:
            # Not before it is claimed: one whose secret cannot be read would otherwise keep others from being claimed.
            delivery = await self._store.get(COLLECTION, claimed["id"], reveal=True)
            response = await post_message(
                delivery["url"],
                delivery["body"].encode(),
                message_id=delivery["event_id"],
                headers=delivery["headers"],
                secret=delivery["secret"],
                timeout=timeout,
                policy=self._policy,
                # A receiver that said 2xx has it, whatever becomes of the rest of its answer.
                read_body=False,
            )
        except SecretError as error:
            return Outcome(error=f"its secrets cannot be read: {error}")
        except (OutboundError, ConfigurationError) as error:
            return of_error(error)
        return of_answer(response, self._store.clock())

    async def _settle(self, claimed: Document, outcome: Outcome, at: float, seconds: float) -> None:
        """Write down what came of an attempt, however long the store is away: the receiver must not be asked again for that."""
        delay = _FIRST_SETTLE_DELAY
        while True:
            try:
                return await self._write(claimed, outcome, at, seconds)
            except StoreError as error:
                if not error.retryable:
                    raise
                logger.warning("webhook %s: its outcome waits for the store: %s", claimed["id"], error)
            await asyncio.sleep(delay)
            delay = min(2 * delay, _MOST_SETTLE_DELAY)

    async def _write(self, claimed: Document, outcome: Outcome, at: float, seconds: float) -> None:
        tries = claimed["tries"] + 1
        entry = {
            "at": at,
            "status": outcome.status,
            "error": outcome.error,
            "seconds": round(seconds, 3),
        }
        history = [*claimed["history"], entry][-ATTEMPTS_REMEMBERED:]
        done = {"tries": tries, "history": history, "next_attempt_at": None}
        if outcome.delivered:
            delivered = {**done, "status": "delivered", "delivered_at": self._store.clock()}
            await self._store.complete(COLLECTION, claimed, delivered)
            self._on_attempt("delivered")
        elif outcome.final or tries >= claimed["max_attempts"]:
            await self._store.complete(
                COLLECTION, claimed, {**done, "status": "dead", "reason": outcome.error}
            )
            self._on_attempt("dead")
            logger.error("webhook %s to %s is dead after %d attempts", claimed["id"], claimed["host"], tries)
        else:
            delay = self._options.backoff.delay(tries, outcome.retry_after)
            due = self._store.clock() + delay
            await self._store.release(COLLECTION, claimed, {**done, "next_attempt_at": due}, retry_at=due)
            self._on_attempt("retried")
            logger.warning(
                "webhook %s to %s: attempt %d of %d failed, next in %.0f s",
                claimed["id"],
                claimed["host"],
                tries,
                claimed["max_attempts"],
                delay,
            )
