"""One call in a process: from its first ring to its one end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.calls import Rehearsed, Stage, rehearsed, sqlite_store, until


@pytest.fixture
def vendor() -> Iterator[Rehearsed]:
    with rehearsed() as vendor:
        yield vendor


@pytest.fixture
def play(vendor: Rehearsed, tmp_path: Path, run_clean: Any) -> Callable[..., None]:
    """Run a scene on a stage with an assistant; options are of the calls."""

    def play(scene: Callable[[Stage], Awaitable[None]], **options: Any) -> None:
        async def main() -> None:
            async with sqlite_store(tmp_path) as store:
                stage = Stage(store, **options)
                try:
                    await stage.hire()
                    await scene(stage)
                finally:
                    await stage.aclose()

        run_clean(main())

    return play


def test_an_inbound_call_rings_until_the_agent_is_ready_and_is_recorded_to_its_end(
    play: Any, vendor: Rehearsed
) -> None:
    async def scene(stage: Stage) -> None:
        leg, call = await stage.inbound()
        assert call.document["status"] == "ringing"
        await until(lambda: call.status == "answered")
        leg.talk()
        await until(lambda: vendor.llms and vendor.llms[0].requests)
        await asyncio.sleep(0.3)
        leg.bye()
        document = await call.wait()
        assert leg.asked[:2] == ["ring", "answer"]
        assert leg.closed == 1
        assert document["status"] == "completed"
        assert document["end_reason"] == "caller_hangup"
        assert document["billed_seconds"] == 1
        assert document["caller_number"] == "+14155550123"
        assert document["usage"]["llm_requests"] == 1
        assert "lease" not in document
        assert await stage.events(call.id) == [
            "call.ringing",
            "call.media_path_ready",
            "call.agent_ready",
            "call.answered",
            "call.media_received",
            "call.ended",
        ]
        assert [(e["role"], e["text"]) for e in await stage.transcript(call.id)] == [
            ("assistant", "Hello there.")
        ]
        assert [what for what, _, _ in stage.observed] == ["started", "ended"]
        assert stage.rooms.rooms == {}
        assert stage.host.calls == {}

    play(scene)
