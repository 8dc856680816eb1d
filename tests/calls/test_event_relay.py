"""Events of calls are filed once each, and become webhooks, whatever dies in between."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from antiphon.calls.event_relay import EventRelay, RelayOptions
from antiphon.calls.webhook_body import webhook_body
from antiphon.store import Keyring, StoreUnavailable

ENDED = {
    "type": "call.ended",
    "at": 1_800_000_000.25,
    "data": {"status": "completed"},
    "webhook": "call.ended",
}
HOOK = {
    "url": "https://example.com/hook",
    "headers": {"X-Key": "k"},
    "secret": "whsec_c2VjcmV0",
    "attempts": 3,
}


async def made_call(store: Any, webhook: dict[str, Any] | None = HOOK, **fields: Any) -> Any:
    """An ended call of an assistant with this webhook."""
    assistant = await store.create("assistants", {"name": "Bank", "end_call_webhook": webhook})
    call = {"assistant_id": assistant["id"], "status": "answered", **fields}
    made = await store.create("calls", call, emit=[{"type": "call.answered", "data": {"status": "answered"}}])
    return await store.update("calls", made["id"], {"status": "completed"}, emit=[ENDED], complete=True)


async def all_of(store: Any, collection: str, **options: Any) -> list[Any]:
    return [document async for document in store.each(collection, **options)]


def test_an_end_becomes_its_events_and_one_webhook(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            recording = {"id": "rec_1", "state": "stored", "seconds": 61.5, "bytes": 9, "error": None}
            call = await made_call(
                store,
                caller_number="+14155550123",
                owner="host:1",
                requests=[{"id": "r"}],
                idempotency_key="d1",
                usage={"llm": {"input_tokens": 5}},
                recording=recording,
            )
            for seq, text in enumerate(["Hello", "Hi"]):
                entry = {"call_id": call["id"], "seq": seq, "role": "user", "text": text, "at": 5.5}
                await store.create("transcripts", entry)
            events: list[Any] = []
            pokes: list[int] = []
            relay = EventRelay(
                store,
                public_url="https://voice.example.com/",
                on_event=events.append,
                on_delivery=lambda: pokes.append(1),
            )
            assert await relay.relay_all() == 1
            assert await relay.relay_all() == 0

            filed = sorted(await all_of(store, "call_events"), key=lambda event: event["at"])
            assert [(event["type"], event["call_id"]) for event in filed] == [
                ("call.answered", call["id"]),
                ("call.ended", call["id"]),
            ]
            assert (filed[1]["at"], filed[1]["data"]) == (ENDED["at"], ENDED["data"])
            assert [event["id"] for event in events] == [event["id"] for event in filed]

            [delivery] = await all_of(store, "webhook_deliveries", reveal=True)
            assert pokes == [1]
            assert delivery["event_id"] == filed[1]["event_id"]
            shown = {name: delivery[name] for name in ("url", "headers", "secret", "max_attempts", "status")}
            assert shown == {
                "url": HOOK["url"],
                "headers": HOOK["headers"],
                "secret": HOOK["secret"],
                "max_attempts": 3,
                "status": "pending",
            }
            body = json.loads(delivery["body"])
            assert (body["type"], body["timestamp"]) == ("call.ended", "2027-01-15T08:00:00.250Z")
            data = body["data"]
            assert data["call"] == {
                "id": call["id"],
                "created_at": call["created_at"],
                "assistant_id": call["assistant_id"],
                "status": "completed",
                "caller_number": "+14155550123",
                "usage": {"llm": {"input_tokens": 5}},
                "recording": recording,
            }
            assert data["transcript"] == [
                {"seq": 0, "role": "user", "text": "Hello", "at": 5.5},
                {"seq": 1, "role": "user", "text": "Hi", "at": 5.5},
            ]
            assert data["usage"] == {"llm": {"input_tokens": 5}}
            assert data["recording_url"] == f"https://voice.example.com/calls/{call['id']}/recording"
            # Encrypted at rest, and masked for whoever reads it.
            [masked] = await all_of(store, "webhook_deliveries")
            assert "c2VjcmV0" not in json.dumps(masked)

    run_clean(main())


def test_a_deleted_assistant_still_tells_and_others_do_not(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it() as store:
            deleted = await made_call(store)
            await store.delete("assistants", deleted["assistant_id"])
            await made_call(store, None)
            await store.create("calls", {"status": "completed"}, emit=[ENDED])
            await store.create("calls", {"status": "completed", "assistant_id": "asst_0"}, emit=[ENDED])
            assert await EventRelay(store).relay_all() == 4
            [delivery] = await all_of(store, "webhook_deliveries")
            assert delivery["call_id"] == deleted["id"]
            assert json.loads(delivery["body"])["data"]["recording_url"] is None
            assert await store.count("call_events") == 6
            assert await store.pending("calls") == 0

    run_clean(main())


def test_without_secrets_no_key_is_needed(open_it: Any, run_clean: Any) -> None:
    async def main() -> None:
        async with open_it(keyring=Keyring([])) as store:
            await made_call(store, {"url": "https://example.com/hook"})
            await EventRelay(store).relay_all()
            [delivery] = await all_of(store, "webhook_deliveries", reveal=True)
            assert (delivery["headers"], delivery["secret"]) == (None, None)

    run_clean(main())


@pytest.mark.time_limit(180)
def test_three_relays_and_their_deaths_file_each_event_once(open_it: Any, run_clean: Any, clock: Any) -> None:
    """A relay that dies at any write leaves the rest to the others, who find what is done."""

    class Dying:
        """A store that the process loses its life at, after so many writes."""

        def __init__(self, store: Any, writes: int) -> None:
            self._store, self._left = store, writes

        def __getattr__(self, name: str) -> Any:
            method = getattr(self._store, name)
            if name not in ("create", "acknowledge"):
                return method

            async def counted(*args: Any, **options: Any) -> Any:
                if self._left == 0:
                    raise StoreUnavailable("dead")
                self._left -= 1
                return await method(*args, **options)

            return counted

    async def main() -> None:
        async with open_it() as one, open_it() as two:
            calls = await asyncio.gather(*(made_call(one) for _ in range(12)))
            for writes in range(8):
                with pytest.raises(StoreUnavailable):
                    await EventRelay(Dying(one, writes)).relay_all()  # type: ignore[arg-type]
                clock.now += 31
            counts = await asyncio.gather(*(EventRelay(store).relay_all() for store in (one, two, one)))
            assert sum(counts) >= 1
            events = Counter((event["call_id"], event["type"]) for event in await all_of(one, "call_events"))
            assert events == {
                (call["id"], kind): 1 for call in calls for kind in ("call.answered", "call.ended")
            }
            deliveries = Counter(delivery["call_id"] for delivery in await all_of(one, "webhook_deliveries"))
            assert deliveries == {call["id"]: 1 for call in calls}
            clock.now += 31
            assert await EventRelay(two).relay_all() == 0

    run_clean(main(), timeout=170)


def test_a_webhook_waits_for_the_key_of_its_secrets_and_then_is_dead(
    open_it: Any, run_clean: Any, clock: Any
) -> None:
    async def main() -> None:
        async with open_it() as keyed, open_it(keyring=Keyring([])) as keyless:
            clock.now = ENDED["at"]
            await made_call(keyed)
            relay = EventRelay(keyless, options=RelayOptions(secret_patience=100))
            assert await relay.relay_all() == 1
            assert await keyed.count("webhook_deliveries") == 0
            assert await keyed.count("call_events") == 2
            assert await relay.relay_all() == 0  # no busy loop
            clock.now += 31
            # The key is there again.
            assert await EventRelay(keyed).relay_all() == 1
            assert await keyed.count("webhook_deliveries", {"undeliverable": None}) == 1

            await made_call(keyed)
            clock.now += 100
            assert await relay.relay_all() == 1
            [dead] = (await keyed.find("webhook_deliveries", newest_first=True, limit=1)).items
            assert "ANTIPHON_SECRET_KEY" in dead["undeliverable"]
            assert (dead["secret"], await keyed.pending("calls")) == (None, 0)

    run_clean(main())


def test_it_outlives_a_store_that_is_away_and_is_fast_when_poked(open_it: Any, run_clean: Any) -> None:
    class Flaky:
        """A store that is away for the first two looks."""

        def __init__(self, store: Any) -> None:
            self._store, self.looks = store, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def claim_outbox(self, *args: Any, **options: Any) -> Any:
            self.looks += 1
            if self.looks <= 2:
                raise StoreUnavailable("away")
            return await self._store.claim_outbox(*args, **options)

    async def main() -> None:
        async with open_it() as store:
            flaky, filed = Flaky(store), asyncio.Event()
            relay = EventRelay(flaky, on_delivery=filed.set, options=RelayOptions(poll_seconds=3600))  # type: ignore[arg-type]
            await made_call(store)
            relay.start()
            await filed.wait()
            filed.clear()
            await asyncio.sleep(0.05)
            await made_call(store)
            relay.poke()
            async with asyncio.timeout(5):
                await filed.wait()
            await relay.aclose()

    run_clean(main())


def test_a_long_transcript_is_cut_and_says_so() -> None:
    call = {"id": "call_1", "status": "completed"}
    entries = [{"seq": seq, "text": "ü" * 100} for seq in reversed(range(100))]
    whole = json.loads(webhook_body({**ENDED, "webhook": "call.ended"}, call, entries))["data"]
    assert whole["usage"] == {}, "an object also when nothing is known"
    assert [entry["seq"] for entry in whole["transcript"]] == list(range(100))
    assert whole["transcript_truncated"] is False
    text = webhook_body(ENDED, call, entries, most_bytes=5000)
    assert 4500 < len(text.encode()) <= 5000
    cut = json.loads(text)["data"]
    assert cut["transcript"] == whole["transcript"][: len(cut["transcript"])]
    assert cut["transcript_truncated"] is True


@pytest.mark.parametrize(
    ("recording", "public_url", "url"),
    [
        ({"state": "recording"}, "https://a.example/", "https://a.example/calls/c/recording"),
        ({"state": "stored"}, "https://a.example/base", "https://a.example/base/calls/c/recording"),
        ({"state": "failed"}, "https://a.example", None),
        ({"state": "stored"}, "", None),
        (None, "https://a.example", None),
    ],
)
def test_the_address_of_the_recording(recording: Any, public_url: str, url: str | None) -> None:
    body = webhook_body(ENDED, {"id": "c", "recording": recording}, [], public_url=public_url)
    assert json.loads(body)["data"]["recording_url"] == url
