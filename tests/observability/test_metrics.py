"""Metrics count what happens in calls and what waits in the store, and cannot be held up by it."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from antiphon.models.errors import ProviderError
from antiphon.observability.measured_backend import MeasuredBackend
from antiphon.observability.metrics import Metrics, setup_seconds
from antiphon.observability.store_gauges import StoreGauges
from antiphon.store import AlreadyExists, Keyring, Store, StoreUnavailable, open_store
from antiphon.voice.latency import STAGES
from support import virtual_time
from support.scripted import Answer, ScriptedLLM, Speech, converse

CALL = {"direction": "outbound", "status": "completed", "end_reason": "caller_hangup"}


def samples(body: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }


async def numbers(metrics: Metrics) -> Any:
    """`numbers(name, **labels)` after one scrape; None for what is not there."""
    body, _ = await metrics.render()
    read = samples(body)
    return lambda name, **labels: read.get((name, tuple(sorted(labels.items()))))


def converse_under(metrics: Metrics, speeches: list[Speech], **options: Any) -> Any:
    async def scene() -> Any:
        await converse(
            speeches,
            script=[(0.0, lambda session: metrics.call_started("call_1", CALL, session))],
            **options,
        )
        during = await numbers(metrics)
        metrics.call_ended("call_1", CALL)
        return during, await numbers(metrics)

    return virtual_time.run(scene())


def test_a_call_is_active_until_it_is_counted_by_its_end() -> None:
    during, after = converse_under(Metrics(), [], until=1)
    assert during("antiphon_calls_active", direction="outbound") == 1
    assert after("antiphon_calls_active", direction="outbound") == 0
    labels = {"direction": "outbound", "status": "completed", "end_reason": "caller_hangup"}
    assert during("antiphon_calls_total", **labels) is None
    assert after("antiphon_calls_total", **labels) == 1


def test_a_call_that_never_had_an_agent_is_counted_and_was_never_active() -> None:
    metrics = Metrics()
    metrics.call_ended("call_1", {"direction": "outbound", "status": "busy", "end_reason": None})

    read = asyncio.run(numbers(metrics))
    assert read("antiphon_calls_total", direction="outbound", status="busy", end_reason="none") == 1
    assert read("antiphon_calls_active", direction="outbound") is None


class Unsure:
    """A turn detector that changes nothing."""

    def supports_language(self, language: str | None) -> bool:
        return True

    async def score(self, context: Any, text: str) -> float:
        return 0.6


def test_stages_of_a_turn_add_up_to_its_latency() -> None:
    speeches = [Speech(1, 2.5, "hello", 2.8), Speech(9, 10, "and again", 10.3)]
    during, _ = converse_under(Metrics(), speeches, until=16, turn_detection=Unsure())
    sums = [during("antiphon_turn_latency_seconds_sum", stage=stage) for stage in STAGES]
    assert [during("antiphon_turn_latency_seconds_count", stage=stage) for stage in STAGES] == [2] * len(
        STAGES
    )
    assert sum(sums) == pytest.approx(during("antiphon_turn_latency_seconds_sum", stage="total"))
    assert sum(sums) / 2 == pytest.approx(0.9, abs=0.3)


def test_an_announcement_is_no_answer() -> None:
    metrics = Metrics()

    async def scene() -> Any:
        await converse(
            [],
            until=5,
            script=[
                (0.0, lambda session: metrics.call_started("call_1", CALL, session)),
                (0.1, lambda session: session.say("Welcome.")),
            ],
        )
        return await numbers(metrics)

    assert virtual_time.run(scene())("antiphon_turn_latency_seconds_count", stage="total") is None


@pytest.mark.parametrize(
    ("error", "provider"),
    [
        (ProviderError("down", provider="openai/gpt-4o-mini"), "openai/gpt-4o-mini"),
        (ValueError("strange"), "support/ScriptedLLM"),
    ],
)
def test_failures_of_providers_are_counted_by_provider_and_kind(error: BaseException, provider: str) -> None:
    during, _ = converse_under(
        Metrics(), [Speech(1, 2.5, "hello", 2.8)], until=9, llm=ScriptedLLM(Answer(error=error))
    )
    assert during("antiphon_provider_errors_total", provider=provider, kind="llm") == 1


SETUPS = [
    ({"direction": "outbound", "dialing_at": 100.0, "answered_at": 107.5, "agent_ready_at": 101.0}, 7.5),
    ({"direction": "inbound", "ringing_at": 100.0, "answered_at": 102.0, "agent_ready_at": 102.5}, 2.5),
    ({"direction": "web", "created_at": 100.0, "answered_at": 100.1, "agent_ready_at": 100.9}, 0.9),
    ({"direction": "outbound", "dialing_at": 100.0, "answered_at": None, "agent_ready_at": 101.0}, None),
    ({"direction": "outbound"}, None),
    ({"direction": "web", "created_at": 100.0, "answered_at": 99.9, "agent_ready_at": 99.9}, 0.0),
]


@pytest.mark.parametrize(("call", "seconds"), SETUPS)
def test_set_up_lasts_until_both_sides_are_there(call: dict[str, Any], seconds: float | None) -> None:
    assert setup_seconds(call) == (None if seconds is None else pytest.approx(seconds))


def test_two_in_one_process_do_not_mix() -> None:
    one, other = Metrics(), Metrics(rooms=lambda: 3)
    one.webhook_attempted("delivered")

    async def scene() -> None:
        assert (await numbers(one))("antiphon_webhook_attempts_total", outcome="delivered") == 1
        read = await numbers(other)
        assert read("antiphon_webhook_attempts_total", outcome="delivered") is None
        assert read("antiphon_rooms") == 3

    asyncio.run(scene())


def test_those_who_ask_for_openmetrics_get_it() -> None:
    async def scene() -> None:
        body, content_type = await Metrics().render("application/openmetrics-text; version=1.0.0")
        assert content_type.startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        assert (await Metrics().render())[1].startswith("text/plain")

    asyncio.run(scene())


def test_a_blocked_event_loop_shows(run_clean: Any) -> None:
    async def scene() -> None:
        metrics = Metrics()
        await metrics.start()
        await asyncio.sleep(0.05)
        time.sleep(0.4)  # noqa: ASYNC251 - the point of it
        await asyncio.sleep(0.05)
        await metrics.aclose()
        await metrics.aclose()
        assert (await numbers(metrics))("antiphon_event_loop_lag_seconds_sum") > 0.1

    run_clean(scene())


@pytest.mark.needs("aiosqlite", "cryptography")
def test_the_store_tells_what_waits(tmp_path: Path, run_clean: Any) -> None:
    async def scene() -> None:
        store = open_store(f"sqlite:{tmp_path / 'store.db'}", keyring=Keyring([bytes(32)]))
        metrics = Metrics(store)
        store.backend = MeasuredBackend(store.backend, metrics)
        async with store:
            await store.create("calls", {"status": "queued"})
            await store.create("calls", {"status": "queued"}, emit=[{"type": "call.queued"}])
            await store.create("calls", {"status": "queued", "claimable_at": store.clock() + 60})
            await store.create("calls", {"status": "answered"}, owner="p", lease_seconds=30)
            for number in range(3):
                await store.create("webhook_deliveries", {"event_id": str(number), "status": "pending"})
            claimed = await store.claim("webhook_deliveries", owner="p", lease_seconds=30)
            assert claimed is not None
            await store.complete("webhook_deliveries", claimed, {"status": "delivered"})
            with pytest.raises(AlreadyExists):
                await store.create("webhook_deliveries", {"event_id": "0"})
            read = await numbers(metrics)
        assert read("antiphon_queue_depth") == 2
        assert read("antiphon_webhook_backlog") == 2 + 1
        assert read("antiphon_store_up") == 1
        assert read("antiphon_store_operation_seconds_count", operation="insert", outcome="ok") >= 8
        assert read("antiphon_store_operation_seconds_count", operation="insert", outcome="error") is None
        assert read("antiphon_store_operation_seconds_count", operation="modify", outcome="ok") == 2

    run_clean(scene())


class SlowStore:
    """A store that may hang or be away; counts how often it was asked."""

    def __init__(self) -> None:
        self.answer: Any = 7
        self.asked = 0

    def clock(self) -> float:
        return 0.0

    async def count(self, *_: Any) -> int:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is None:
            await asyncio.Event().wait()
        await asyncio.sleep(0.1)
        return int(self.answer)

    pending = count


def test_a_store_that_hangs_or_is_away_costs_its_numbers_and_no_more() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        slow = SlowStore()
        store: Any = slow
        metrics = Metrics()
        gauges = StoreGauges(store, deadline=2.0, kept=5.0, clock=loop.time)
        metrics._store_gauges = gauges
        metrics.registry.register(gauges)
        read = (await asyncio.gather(*(numbers(metrics) for _ in range(10))))[-1]
        assert read("antiphon_queue_depth") == 7
        assert slow.asked == 3
        await asyncio.sleep(5)
        for answer in (None, StoreUnavailable("away")):
            slow.answer = answer
            began = loop.time()
            read = await numbers(metrics)
            assert loop.time() - began <= 2.0
            assert read("antiphon_store_up") == 0
            assert read("antiphon_queue_depth") is None
            await asyncio.sleep(5)
        slow.answer = 1
        assert (await numbers(metrics))("antiphon_webhook_backlog") == 2

    virtual_time.run(scene())


def test_failed_operations_of_the_store_are_told_apart() -> None:
    class Broken:
        async def ping(self) -> None:
            raise StoreUnavailable("away")

    async def scene() -> None:
        metrics = Metrics()
        backend: Any = Broken()
        with pytest.raises(StoreUnavailable):
            await Store(MeasuredBackend(backend, metrics), keyring=Keyring([bytes(32)])).ping()
        read = await numbers(metrics)
        assert read("antiphon_store_operation_seconds_count", operation="ping", outcome="error") == 1

    asyncio.run(scene())


def test_the_page_describes_the_metrics_that_exist() -> None:
    page = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    described = set(re.findall(r"^\| `(antiphon_\w+)`", page, re.MULTILINE))
    stages = re.findall(
        r"^\| `(\w+)` \| [^|]*\|$",
        page.split("The stages of a reply")[1].split("If the store")[0],
        re.MULTILINE,
    )
    store: Any = SlowStore()

    async def exist() -> set[str]:
        metrics = Metrics(store, rooms=lambda: 0)
        families = {family.name: family.type for family in metrics.registry.collect()}
        return {
            f"{name}_total" if kind == "counter" else f"{name}_info" if kind == "info" else name
            for name, kind in families.items()
        }

    # What is read from a store that was not asked yet is missing.
    unread = {"antiphon_queue_depth", "antiphon_webhook_backlog"}
    assert {name for name in asyncio.run(exist()) if name.startswith("antiphon_")} | unread == described
    assert tuple(stages) == STAGES
