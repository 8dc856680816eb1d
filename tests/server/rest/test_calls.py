"""Calls over REST: placed, found, read, steered, ended."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.needs("aiosqlite", "fastapi", "httpx")


@pytest.fixture
def rest_store(address: str) -> str:
    """Each test on both databases."""
    return address


TRUNK = {"name": "Main", "address": "sip.example.com", "numbers": ["+14155550199"]}
INTERNAL = {
    *("lease", "lease_seconds", "owner", "outbox", "outbox_due", "requests", "requests_pending"),
    *(
        "idempotency_key",
        "request_digest",
        "claimable_at",
        "attempts",
        "attempts_failed",
        "last_commit",
        "version",
    ),
}


async def place(api: Any, key: str | None = None, **fields: Any) -> Any:
    body = {**api.order, **fields}
    return await api.post("/calls/outbound", body, headers={} if key is None else {"Idempotency-Key": key})


async def ready(api: Any) -> None:
    """An assistant and a trunk to call with: `api.order`."""
    assistant = await api.assistant()
    trunk = await api.create("/trunks", TRUNK)
    api.order = {"assistant_id": assistant["id"], "trunk_id": trunk["id"], "to_number": "+14155550123"}


async def running(api: Any, status: str = "answered") -> str:
    fields = {"status": status, "direction": "inbound", "requests": []}
    call = await api.store.create("calls", fields, owner="a process", lease_seconds=600)
    return str(call["id"])


def test_a_call_is_queued_found_and_cancelled(rest: Any, run_clean: Any) -> None:
    woken: list[str] = []

    async def scenario() -> None:
        services = {"on_enqueued": lambda: woken.append("queue"), "on_event": lambda: woken.append("event")}
        async with rest(**services) as api:
            await ready(api)
            answer = await place(api, variables={"context": {"name": "Ann"}}, metadata={"campaign": "spring"})
            assert answer.status_code == 202, answer.text
            call_id = answer.json()["call_id"]
            assert answer.json() == {"call_id": call_id, "status": "queued"}
            assert answer.headers["location"] == f"/calls/{call_id}"
            assert woken == ["queue", "event"]

            call = (await api.get(f"/calls/{call_id}")).json()
            assert (call["status"], call["direction"]) == ("queued", "outbound")
            assert (call["called_number"], call["metadata"]) == ("+14155550123", {"campaign": "spring"})
            assert not INTERNAL & call.keys()
            assert (await api.get("/calls")).json()["items"] == [call]

            ended = await api.delete(f"/calls/{call_id}")
            assert (ended.status_code, ended.json()) == (200, {"call_id": call_id, "status": "cancelled"})
            again = await api.delete(f"/calls/{call_id}")
            assert (again.status_code, again.json()) == (200, {"call_id": call_id, "status": "cancelled"})
            assert (await api.get(f"/calls/{call_id}")).json()["status"] == "cancelled"
            assert await api.store.claim("calls", owner="dispatcher", lease_seconds=5) is None

    run_clean(scenario())


def test_the_same_request_with_the_same_key_is_one_call(rest: Any, run_clean: Any) -> None:
    import asyncio

    async def scenario() -> None:
        async with rest() as api:
            await ready(api)
            answers = await asyncio.gather(*(place(api, "order 1") for _ in range(5)))
            assert {answer.status_code for answer in answers} == {202}
            assert len({answer.json()["call_id"] for answer in answers}) == 1
            other = await place(api, "order 1", to_number="+14155550124")
            assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
            assert other.json()["call_id"] == answers[0].json()["call_id"]
            assert (await place(api, "order 2")).json()["call_id"] != answers[0].json()["call_id"]
            assert (await place(api, "x" * 300)).status_code == 422
            # Another API key has idempotency keys of its own.
            stranger = await api.with_scopes("calls:write")
            stranger.order = api.order
            assert (await place(stranger, "order 1")).json()["call_id"] != answers[0].json()["call_id"]

    run_clean(scenario())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"assistant_id": "nobody"}, "assistant_id"),
        ({"trunk_id": "none"}, "trunk_id"),
        ({"to_number": "12"}, "to_number"),
        ({"from_number": "+14155550100"}, "from_number"),
        ({"to": "+14155550123"}, "to"),
        ({"scheduled_at": "tomorrow"}, "scheduled_at"),
    ],
    ids=str,
)
def test_calls_that_could_never_be_placed(rest: Any, run_clean: Any, change: Any, field: str) -> None:
    async def scenario() -> None:
        async with rest() as api:
            await ready(api)
            refused = await place(api, **change)
            assert refused.status_code == 422
            assert field in [fault["field"] for fault in refused.json()["errors"]]
            assert (await api.get("/calls")).json()["items"] == []

    run_clean(scenario())


def test_calls_are_found_by_what_they_are(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            made = {}
            for name, status, direction, assistant_id in (
                ("a", "completed", "inbound", "asst_1"),
                ("b", "failed", "outbound", "asst_1"),
                ("c", "completed", "web", "asst_2"),
                ("d", "answered", "inbound", "asst_2"),
            ):
                fields = {"status": status, "direction": direction, "assistant_id": assistant_id}
                made[name] = await api.store.create("calls", fields, owner="x", lease_seconds=600)
            between = made["c"]["created_at"]
            for query, expected in (
                ({}, "dcba"),
                ({"order": "oldest"}, "abcd"),
                ({"status": "completed"}, "ca"),
                ({"status": ["failed", "answered"]}, "db"),
                ({"direction": "inbound"}, "da"),
                ({"assistant_id": "asst_1", "status": "completed"}, "a"),
                ({"created_from": between}, "dc"),
                ({"created_to": between}, "ba"),
                ({"created_from": between, "created_to": between}, ""),
            ):
                answer = await api.get("/calls", params=query)
                assert answer.status_code == 200, answer.text
                ids = [call["id"] for call in answer.json()["items"]]
                assert ids == [made[name]["id"] for name in expected], query
            for query in (
                {"status": "lost"},
                {"direction": "up"},
                {"created_from": "now"},
                {"created_to": -1},
            ):
                refused = await api.get("/calls", params=query)
                assert refused.status_code == 422
                assert refused.json()["errors"][0]["field"].partition(".")[0] in query

    run_clean(scenario())


@pytest.mark.parametrize(
    ("action", "body", "stored"),
    [
        ("say", {"text": "One moment."}, {"text": "One moment.", "allow_interruptions": True}),
        ("dtmf", {"digits": "12w#"}, {"digits": "12w#"}),
        ("transfer", {"target": "+1 415 555 0142"}, {"target": "+14155550142"}),
        ("transfer", {"target": "sip:desk@example.com"}, {"target": "sip:desk@example.com"}),
    ],
    ids=str,
)
def test_a_running_call_is_steered(rest: Any, run_clean: Any, action: str, body: Any, stored: Any) -> None:
    poked: list[str] = []

    class Host:
        def poke(self, call_id: str) -> None:
            poked.append(call_id)

    async def scenario() -> None:
        async with rest(host=Host()) as api:
            call_id = await running(api)
            answer = await api.post(f"/calls/{call_id}/{action}", body)
            assert answer.status_code == 202, answer.text
            assert answer.json()["call_id"] == call_id
            [request] = (await api.store.get("calls", call_id))["requests"]
            assert (request["id"], request["type"], request["args"]) == (
                answer.json()["request_id"],
                action,
                stored,
            )
            assert poked == [call_id]
            poked.clear()

            await api.store.update("calls", call_id, {"status": "ringing"})
            early = await api.post(f"/calls/{call_id}/{action}", body)
            assert (early.status_code, early.json()["code"]) == (409, "not_in_progress")
            await api.store.update("calls", call_id, {"status": "completed"})
            late = await api.post(f"/calls/{call_id}/{action}", body)
            assert (late.status_code, late.json()["code"]) == (409, "call_over")
            assert late.json()["call_status"] == "completed"
            assert (await api.post(f"/calls/nothing/{action}", body)).status_code == 404

    run_clean(scenario())


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("say", {"text": "  "}, "text"),
        ("say", {"text": "x" * 2001}, "text"),
        ("dtmf", {"digits": "12a!"}, "digits"),
        ("dtmf", {"digits": ""}, "digits"),
        ("transfer", {"target": "desk"}, "target"),
        ("transfer", {"target": "sip:desk@example.com\r\nX: y"}, "target"),
        ("transfer", {}, "target"),
    ],
    ids=str,
)
def test_what_no_call_can_do(rest: Any, run_clean: Any, action: str, body: Any, field: str) -> None:
    async def scenario() -> None:
        async with rest() as api:
            refused = await api.post(f"/calls/{await running(api)}/{action}", body)
            assert refused.status_code == 422
            assert [fault["field"] for fault in refused.json()["errors"]] == [field]

    run_clean(scenario())


def test_a_running_call_is_asked_to_hang_up(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            call_id = await running(api)
            answer = await api.delete(f"/calls/{call_id}")
            assert (answer.status_code, answer.json()["status"]) == (202, "answered")
            [request] = (await api.store.get("calls", call_id))["requests"]
            assert request["type"] == "hang_up"
            assert (await api.delete("/calls/nothing")).status_code == 404

    run_clean(scenario())


def test_the_transcript_comes_in_the_order_of_speech(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            call_id = await running(api)
            for seq in range(5):
                entry = {"call_id": call_id, "seq": seq, "role": "user", "text": f"{seq}", "at": 1.0 + seq}
                await api.store.create("transcripts", entry)
            await api.store.create(
                "transcripts", {"call_id": "another", "seq": 0, "role": "user", "text": "-", "at": 1}
            )
            first = (await api.get(f"/calls/{call_id}/transcript", params={"limit": 3})).json()
            query = {"limit": 3, "cursor": first["next_cursor"]}
            rest_of_it = (await api.get(f"/calls/{call_id}/transcript", params=query)).json()
            assert [entry["seq"] for entry in first["items"] + rest_of_it["items"]] == [0, 1, 2, 3, 4]
            assert first["items"][0] == {"seq": 0, "role": "user", "text": "0", "at": 1.0}
            assert rest_of_it["next_cursor"] is None
            assert (await api.get("/calls/nothing/transcript")).status_code == 404

    run_clean(scenario())


def test_deliveries_are_listed_read_and_replayed(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest(on_delivery=lambda: woken.append(1)) as api:
            fields = {
                "event_id": "evt_1",
                "call_id": "call_1",
                "type": "call.ended",
                "status": "dead",
                "tries": 8,
            }
            made = await api.store.create(
                "webhook_deliveries",
                {**fields, "url": "https://x.example.com", "secret": "whsec_abcdefghijklmnop", "replays": 0},
                owner="x",
            )
            one = f"/webhook_deliveries/{made['id']}"
            busy = await api.post(f"{one}/replay")
            assert busy.status_code == 409
            await api.store.complete("webhook_deliveries", made)
            shown = (await api.get(one)).json()
            assert shown["status"] == "dead"
            assert "abcdefghijkl" not in str(shown)
            assert not {"lease", "claimable_at"} & shown.keys()
            for query, count in (
                ({"status": "dead"}, 1),
                ({"status": "pending"}, 0),
                ({"call_id": "call_1"}, 1),
            ):
                assert len((await api.get("/webhook_deliveries", params=query)).json()["items"]) == count
            again = await api.post(f"{one}/replay")
            assert (again.status_code, again.json()["status"], again.json()["replays"]) == (202, "pending", 1)
            assert woken == [1]
            assert (await api.store.claim("webhook_deliveries", owner="y", lease_seconds=5))["id"] == made[
                "id"
            ]

    woken: list[int] = []
    run_clean(scenario())


def test_ready_when_the_store_answers_and_nothing_is_missing(rest: Any, run_clean: Any) -> None:
    missing = ["the recogniser is loading"]

    async def scenario() -> None:
        async with rest(ready=lambda: missing) as api:
            answer = await api.client.get("/readyz")
            assert (answer.status_code, answer.json()) == (503, {"status": "not_ready", "missing": missing})
            missing.clear()
            answer = await api.client.get("/readyz")
            assert (answer.status_code, answer.json()) == (200, {"status": "ready", "missing": []})
            await api.store.close()
            answer = await api.client.get("/readyz")
            assert (answer.status_code, answer.json()["missing"]) == (503, ["the store does not answer"])
            down = await api.get("/calls")
            assert (down.status_code, down.json()["code"]) == (503, "store_unavailable")
            assert down.headers["retry-after"]
            await api.store.open()

    run_clean(scenario())


def test_rest_answers_head_where_an_answer_has_an_end(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            assert (await api("HEAD", "/calls")).status_code == 200
            assert (await api.client.head("/calls")).status_code == 401
            assert (await api.client.head("/readyz")).status_code == 200
            call = await api.store.create("calls", {"status": "answered", "direction": "inbound"})
            stream = await api("HEAD", f"/calls/{call['id']}/events")
            assert (stream.status_code, stream.headers["allow"]) == (405, "GET")
            assert (await api("HEAD", f"/calls/{call['id']}/recording")).status_code == 404

    run_clean(scenario())


def test_two_idempotency_keys_are_refused(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            assistant = await api.assistant()
            trunk = await api.create("/trunks", {"name": "line", "provider": "loopback", "numbers": []})
            body = {"assistant_id": assistant["id"], "trunk_id": trunk["id"], "to_number": "+14155550123"}
            headers = [
                ("Authorization", f"Bearer {api.key}"),
                ("Idempotency-Key", "a"),
                ("Idempotency-Key", "b"),
            ]
            answer = await api.client.post("/calls/outbound", json=body, headers=headers)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Idempotency-Key")
            assert (await api.get("/calls")).json()["items"] == []

    run_clean(scenario())


def test_a_call_that_takes_nothing_is_not_asked_for_ever(
    rest: Any, run_clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when its process has died, and no supervisor has found it yet."""
    from antiphon.calls import call_requests

    monkeypatch.setattr(call_requests, "MOST_WAITING", 5)

    async def scenario() -> None:
        async with rest() as api:
            call = await api.store.create(
                "calls", {"status": "answered", "direction": "inbound"}, owner="gone", lease_seconds=60
            )
            one = f"/calls/{call['id']}"
            answers = [await api.post(f"{one}/say", {"text": "Hello."}) for _ in range(7)]
            assert [answer.status_code for answer in answers] == [202] * 5 + [429] * 2
            assert answers[-1].json()["code"] == "too_many_requests"
            assert answers[-1].headers["retry-after"] == "1"
            for _ in range(3):
                assert (await api.delete(one)).status_code == 202
            requests = (await api.store.get("calls", call["id"]))["requests"]
            assert [request["type"] for request in requests] == ["say"] * 5 + ["hang_up"]

    run_clean(scenario())
