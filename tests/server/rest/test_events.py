"""Events of calls as a stream: replayed, followed, taken up again, ended, and not too many at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

pytestmark = pytest.mark.needs("aiosqlite", "fastapi", "httpx")


async def file(api: Any, call_id: str, kind: str, **data: Any) -> str:
    """An event as the relay files it, without telling anybody."""
    event_id = f"evt_{call_id}_{kind}"
    event = {"event_id": event_id, "call_id": call_id, "type": f"call.{kind}", "at": 1.0, "data": data}
    await api.store.create("call_events", event)
    return event_id


async def a_call(api: Any, status: str = "answered") -> str:
    fields = {"status": status, "direction": "inbound", "requests": []}
    call = await api.store.create("calls", fields, owner="a process", lease_seconds=600)
    return str(call["id"])


async def end(api: Any, call_id: str) -> None:
    await file(api, call_id, "ended", status="completed")
    await api.store.update("calls", call_id, {"status": "completed"})


def events_in(text: str) -> list[str]:
    return [line.removeprefix("event: call.") for line in text.splitlines() if line.startswith("event: ")]


async def next_event(stream: AsyncIterator[str]) -> str:
    async with asyncio.timeout(5):
        async for text in stream:
            if found := events_in(text):
                return found[0]
    raise AssertionError("the stream ended")


async def opened(api: Any, count: int) -> None:
    """Wait until so many streams are open."""
    while api.state.events.count < count:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


def test_a_call_that_is_over_is_told_and_ends(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            call_id = await a_call(api)
            await file(api, call_id, "ringing", status="ringing")
            answered = await file(api, call_id, "answered", status="answered", detail="two\nlines")
            await file(api, "another call", "answered")
            await end(api, call_id)
            path = f"/calls/{call_id}/events"
            answer = await api.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/event-stream"
            assert answer.headers["cache-control"] == "no-store"
            assert events_in(answer.text) == ["ringing", "answered", "ended"]
            blocks = answer.text.split("\n\n")
            assert blocks[0].startswith("retry: ")
            fields = dict(line.split(": ", 1) for line in blocks[2].splitlines())
            assert fields["id"] == answered
            data = json.loads(fields["data"])
            assert (data["call_id"], data["type"]) == (call_id, "call.answered")
            assert data["data"] == {"status": "answered", "detail": "two\nlines"}

            later = await api.get(path, headers={"Last-Event-ID": answered})
            assert events_in(later.text) == ["ended"]
            unknown = await api.get(path, headers={"Last-Event-ID": "evt_unknown"})
            assert events_in(unknown.text) == ["ringing", "answered", "ended"]
            assert (await api.get("/calls/nothing/events")).status_code == 404
            assert api.state.events.count == 0

    run_clean(scenario())


def test_a_running_call_is_followed(rest: Any, run_clean: Any) -> None:
    from antiphon.server.rest import EventStreams

    async def scenario() -> None:
        async with rest() as api:
            call_id = await a_call(api, "ringing")
            await file(api, call_id, "ringing")
            streams = EventStreams(look_every=30.0)
            async with aclosing(streams.follow(api.store, call_id, None)) as stream:
                assert await next_event(stream) == "ringing"
                waiting = asyncio.create_task(next_event(stream))
                await asyncio.sleep(0.05)
                await file(api, call_id, "answered")
                streams.publish({"call_id": "another"})
                await asyncio.sleep(0.05)
                assert not waiting.done()
                streams.publish({"call_id": call_id})
                assert await waiting == "answered"
                await end(api, call_id)
                streams.publish({"call_id": call_id})
                assert await next_event(stream) == "ended"
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)

            # Events of other processes are found by looking.
            other = await a_call(api, "ringing")
            streams = EventStreams(look_every=0.02, heartbeat=0.05)
            async with aclosing(streams.follow(api.store, other, None)) as stream:
                assert (await anext(stream)).startswith("retry")
                assert (await anext(stream)).startswith(":")
                await file(api, other, "answered")
                assert await next_event(stream) == "answered"

    run_clean(scenario())


def test_the_end_is_awaited_while_events_are_on_their_way(rest: Any, run_clean: Any) -> None:
    from antiphon.server.rest import EventStreams

    async def scenario() -> None:
        async with rest() as api:
            call_id = await a_call(api)
            event = {"id": "evt_last", "type": "call.ended", "data": {"status": "completed"}}
            await api.store.update("calls", call_id, {"status": "completed"}, emit=[event])
            async with aclosing(EventStreams(look_every=0.02).follow(api.store, call_id, None)) as stream:
                waiting = asyncio.create_task(next_event(stream))
                await asyncio.sleep(0.1)
                assert not waiting.done()
                stored = {
                    "event_id": "evt_last",
                    "call_id": call_id,
                    "type": "call.ended",
                    "at": 1.0,
                    "data": {},
                }
                await api.store.create("call_events", stored)
                assert await waiting == "ended"
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)

    run_clean(scenario())


def test_streams_end_when_the_server_does(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            call_id = await a_call(api)
            following = [asyncio.create_task(api.get(f"/calls/{call_id}/events")) for _ in range(3)]
            await opened(api, 3)
            api.state.events.close()
            for task in following:
                assert (await task).status_code == 200
            assert api.state.events.count == 0

    run_clean(scenario())


def test_there_are_not_too_many_streams(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest(most_streams=3, most_streams_per_key=2) as api:
            call_id = await a_call(api)
            path = f"/calls/{call_id}/events"
            other = await api.with_scopes("calls:read")
            open_ones = [asyncio.create_task(one.get(path)) for one in (api, api, other)]
            await opened(api, 3)
            for one in (api, other):
                refused = await one.get(path)
                assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
                assert refused.headers["retry-after"]
            await end(api, call_id)
            api.state.events.publish({"call_id": call_id})
            for task in open_ones:
                assert events_in((await task).text) == ["ended"]
            assert (await api.get(path)).status_code == 200

    run_clean(scenario())


@pytest.mark.parametrize("how", ["revoked", "expired"])
def test_a_stream_ends_with_its_key(rest: Any, run_clean: Any, how: str) -> None:
    from antiphon.server.rest import EventStreams

    async def scenario() -> None:
        async with rest() as api:
            api.state.events = EventStreams(look_every=0.02, heartbeat=0.05)
            key = await api.with_scopes("calls:read")
            call_id = await a_call(api)
            reading = asyncio.create_task(key.get(f"/calls/{call_id}/events"))
            await opened(api, 1)
            await asyncio.sleep(0.2)
            assert not reading.done()
            document = await api.store.find_one("api_keys", {"name": "of a test"})
            if how == "revoked":
                await api.delete(f"/keys/{document['id']}")
            else:
                await api.store.update("api_keys", document["id"], {"expires_at": time.time() - 1})
            async with asyncio.timeout(5):
                answer = await reading
            assert answer.status_code == 200
            assert api.state.events.count == 0

    run_clean(scenario())


def test_a_stream_outlives_a_store_that_is_away(rest: Any, run_clean: Any) -> None:
    from antiphon.server.rest import EventStreams
    from antiphon.store import StoreUnavailable

    async def away(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the database does not answer")

    async def scenario() -> None:
        async with rest() as api:
            api.state.events = EventStreams(look_every=0.02, heartbeat=0.05)
            call_id = await a_call(api)
            await file(api, call_id, "answered")
            get = api.store.get
            reading = asyncio.create_task(api.get(f"/calls/{call_id}/events"))
            await opened(api, 1)
            api.store.get = away
            await asyncio.sleep(0.3)
            assert not reading.done()
            api.store.get = get
            await end(api, call_id)
            async with asyncio.timeout(5):
                text = (await reading).text
            assert events_in(text) == ["answered", "ended"]
            assert ": still here" in text

    run_clean(scenario())
