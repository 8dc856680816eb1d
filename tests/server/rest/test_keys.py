"""Who may do what: keys, scopes, expiry, rotation, and those who guess."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

pytestmark = pytest.mark.needs("aiosqlite", "fastapi", "httpx")

READS = ("/assistants", "/tools", "/trunks", "/inbound", "/inbound_context_strategy", "/calls", "/keys")


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer ak_", "Bearer ak_" + "A" * 43, "ak_" + "A" * 43],
)
def test_without_a_key_there_is_nothing(rest: Any, run_clean: Any, authorization: str | None) -> None:
    async def scenario() -> None:
        async with rest() as api:
            headers = {} if authorization is None else {"Authorization": authorization}
            for path in READS:
                response = await api.client.get(path, headers=headers)
                assert response.status_code == 401
                assert response.headers["www-authenticate"].startswith("Bearer")
                assert response.headers["content-type"] == "application/problem+json"
                assert response.json()["code"] in ("missing_key", "invalid_key")

    run_clean(scenario())


@pytest.mark.parametrize(
    ("scopes", "allowed", "refused"),
    [
        (["assistants:read"], [("GET", "/assistants")], [("POST", "/assistants"), ("GET", "/tools")]),
        (["tools:write"], [("GET", "/tools"), ("POST", "/tools")], [("GET", "/keys"), ("GET", "/calls")]),
        (["inbound:read"], [("GET", "/inbound_context_strategy")], [("POST", "/inbound")]),
        (["calls:read"], [("GET", "/calls")], [("POST", "/calls/outbound"), ("DELETE", "/calls/x")]),
        (["keys:write"], [("GET", "/keys")], [("GET", "/assistants")]),
        (["metrics:read"], [("GET", "/metrics")], [("GET", "/calls")]),
        (["*"], [("GET", path) for path in READS], []),
    ],
    ids=str,
)
def test_a_key_does_what_its_scopes_say(
    rest: Any, run_clean: Any, scopes: list[str], allowed: Any, refused: Any
) -> None:
    async def scenario() -> None:
        async with rest() as api:
            limited = await api.with_scopes(*scopes)
            for method, path in allowed:
                assert (await limited(method, path)).status_code not in (401, 403), path
            for method, path in refused:
                response = await limited(method, path)
                assert (response.status_code, response.json()["code"]) == (403, "scope_missing"), path
                assert response.json()["scope"] in response.headers["www-authenticate"]

    run_clean(scenario())


def test_a_key_is_shown_once_and_not_kept(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            made = await api.create("/keys", {"name": "reader", "scopes": ["calls:read"]})
            key = made.pop("key")
            assert key.startswith(made["prefix"])
            one = (await api.get(f"/keys/{made['id']}")).json()
            assert one == made
            assert "hash" not in one
            listed = (await api.get("/keys")).json()["items"]
            assert made in listed
            assert key not in str(listed)
            stored = await api.store.get("api_keys", made["id"])
            assert key not in str(stored)

            reader = {"Authorization": f"bearer {key}"}
            assert (await api.client.get("/calls", headers=reader)).status_code == 200
            used = (await api.get(f"/keys/{made['id']}")).json()["last_used_at"]
            assert abs(used - time.time()) < 10
            version = (await api.store.get("api_keys", made["id"]))["version"]
            for _ in range(3):
                await api.client.get("/calls", headers=reader)
            # Once a minute at most.
            assert (await api.store.get("api_keys", made["id"]))["version"] == version

            assert (await api.delete(f"/keys/{made['id']}")).status_code == 204
            assert (await api.client.get("/calls", headers=reader)).status_code == 401
            assert (await api.delete(f"/keys/{made['id']}")).status_code == 404

    run_clean(scenario())


def test_a_key_makes_no_key_that_can_do_more(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            small = await api.with_scopes("keys:write", "calls:write")
            fine = await small.post("/keys", {"name": "x", "scopes": ["calls:read", "calls:write"]})
            assert fine.status_code == 201
            for scopes in (["*"], ["tools:read"], ["calls:read", "assistants:write"]):
                refused = await small.post("/keys", {"name": "x", "scopes": scopes})
                assert (refused.status_code, refused.json()["code"]) == (403, "scope_exceeded"), scopes
            big = await api.create("/keys", {"name": "big", "scopes": ["*"]})
            assert (await small.post(f"/keys/{big['id']}/rotate")).status_code == 403
            assert (await small.delete(f"/keys/{big['id']}")).status_code == 403

            soon = time.time() + 3600
            brief = await api.with_scopes("*", expires_at=soon)
            inherited = await brief.create("/keys", {"name": "x", "scopes": ["calls:read"]})
            assert inherited["expires_at"] == soon
            longer = {"name": "x", "scopes": ["calls:read"], "expires_at": soon + 1}
            assert (await brief.post("/keys", longer)).status_code == 403
            assert (await brief.post(f"/keys/{big['id']}/rotate")).status_code == 403

    run_clean(scenario())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["calls:delete"]}, "scopes"),
        ({"name": " ", "scopes": ["*"]}, "name"),
        ({"name": "x", "scopes": ["*"], "expires_at": 1000.0}, "expires_at"),
        ({"name": "x", "scopes": "*"}, "scopes"),
    ],
    ids=str,
)
def test_keys_that_cannot_be(rest: Any, run_clean: Any, body: Any, field: str) -> None:
    async def scenario() -> None:
        async with rest() as api:
            refused = await api.post("/keys", body)
            assert refused.status_code == 422
            assert [fault["field"] for fault in refused.json()["errors"]] == [field]

    run_clean(scenario())


def test_an_expired_key_is_no_key(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            brief = await api.with_scopes("*", expires_at=time.time() + 3600)
            assert (await brief.get("/calls")).status_code == 200
            document = await api.store.find_one("api_keys", {"name": "of a test"})
            await api.store.update("api_keys", document["id"], {"expires_at": time.time() - 1})
            assert (await brief.get("/calls")).status_code == 401

    run_clean(scenario())


def test_metrics_are_seen_by_a_known_key_while_the_store_is_away(rest: Any, run_clean: Any) -> None:
    from antiphon.store import StoreUnavailable

    async def metrics(_accept: str) -> tuple[bytes, str]:
        return b"antiphon_store_up 0\n", "text/plain"

    async def away(*_args: Any, **_options: Any) -> Any:
        raise StoreUnavailable("the database does not answer")

    async def scenario() -> None:
        async with rest(metrics=metrics) as api:
            known = await api.with_scopes("metrics:read")
            stranger = await api.with_scopes("metrics:read")
            short = await api.with_scopes("metrics:read", expires_at=time.time() + 0.5)
            other = await api.with_scopes("calls:read")
            for one in (known, short):
                assert (await one.get("/metrics")).status_code == 200
            assert (await other.get("/calls")).status_code == 200
            api.store.find_one = away
            await asyncio.sleep(0.5)
            assert (await known.get("/metrics")).text == "antiphon_store_up 0\n"
            assert (await other.get("/metrics")).status_code == 403
            for refused in (stranger, short):
                answer = await refused.get("/metrics")
                assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            assert (await other.get("/calls")).status_code == 503

    run_clean(scenario())


def test_rotation_leaves_the_old_key_a_while(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            old = await api.create("/keys", {"name": "app", "scopes": ["calls:read"]})
            new = (await api.post(f"/keys/{old['id']}/rotate", {"grace_seconds": 600})).json()
            assert (new["rotated_from"], new["name"], new["scopes"]) == (old["id"], "app", ["calls:read"])
            for key in (old["key"], new["key"]):
                headers = {"Authorization": f"Bearer {key}"}
                assert (await api.client.get("/calls", headers=headers)).status_code == 200
            after = (await api.get(f"/keys/{old['id']}")).json()
            assert abs(after["expires_at"] - time.time() - 600) < 10
            again = await api.post(f"/keys/{old['id']}/rotate")
            assert (again.status_code, again.json()["code"]) == (409, "conflict")

            gone = (await api.post(f"/keys/{new['id']}/rotate", {"grace_seconds": 0})).json()
            statuses = {
                name: (await api.client.get("/calls", headers={"Authorization": f"Bearer {key}"})).status_code
                for name, key in (("replaced", new["key"]), ("newest", gone["key"]))
            }
            assert statuses == {"replaced": 401, "newest": 200}
            refused = await api.post(f"/keys/{gone['id']}/rotate", {"grace_seconds": -1})
            assert refused.json()["errors"][0]["field"] == "grace_seconds"

    run_clean(scenario())


def test_two_rotations_at_once_leave_one_new_key(rest: Any, run_clean: Any) -> None:
    import asyncio

    async def scenario() -> None:
        async with rest() as api:
            old = await api.create("/keys", {"name": "app", "scopes": ["calls:read"]})
            answers = await asyncio.gather(*(api.post(f"/keys/{old['id']}/rotate") for _ in range(4)))
            assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
            names = [item["name"] for item in (await api.get("/keys")).json()["items"]]
            assert names.count("app") == 2

    run_clean(scenario())


def test_guessing_is_slowed_down_but_locks_nobody_out(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            assert (await api.get("/calls")).status_code == 200
            other = await api.with_scopes("*")
            statuses = []
            for index in range(30):
                headers = {"Authorization": f"Bearer ak_{index:043d}"}
                response = await api.client.get("/calls", headers=headers)
                statuses.append(response.status_code)
            assert statuses[:20] == [401] * 20
            assert statuses[-1] == 429
            assert int(response.headers["retry-after"]) >= 1
            # A key that was right before still is; one that was never seen from here has to wait.
            assert (await api.get("/calls")).status_code == 200
            assert (await other.get("/calls")).status_code == 429

    run_clean(scenario())


def test_a_request_that_is_repeated_with_a_rotated_key_is_the_same_call(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            assistant = await api.assistant()
            trunk = await api.create("/trunks", {"name": "line", "provider": "loopback", "numbers": []})
            body = {"assistant_id": assistant["id"], "trunk_id": trunk["id"], "to_number": "+14155550123"}

            async def placed(key: str) -> str:
                headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "order-4711"}
                answer = await api.client.post("/calls/outbound", json=body, headers=headers)
                assert answer.status_code == 202
                return str(answer.json()["call_id"])

            first = await api.create("/keys", {"name": "app", "scopes": ["*"]})
            second = (await api.post(f"/keys/{first['id']}/rotate")).json()
            third = (await api.post(f"/keys/{second['id']}/rotate")).json()
            calls = [await placed(key["key"]) for key in (first, second, third)]
            assert len(set(calls)) == 1
            assert "lineage" not in third
            stranger = await api.create("/keys", {"name": "app", "scopes": ["*"]})
            assert await placed(stranger["key"]) not in calls

    run_clean(scenario())
