"""Assistants, tools, trunks, numbers and context strategies: saved with every check, changed in part, kept while needed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.needs("aiosqlite", "fastapi", "httpx")


@pytest.fixture
def rest_store(address: str) -> str:
    """Each test on both databases."""
    return address


TOOL = {"name": "get_hours", "description": "When we are open.", "static": {"value": "nine to five"}}
WEB_TOOL = {
    "name": "get_order",
    "description": "An order.",
    "webhook": {
        "url": "https://shop.example.com/orders",
        "headers": {"Authorization": "Bearer s3cr3t-of-the-shop"},
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    },
}
TRUNK = {
    "name": "Main",
    "address": "sip.example.com",
    "auth": {"username": "me", "password": "correct horse"},
}
STRATEGY = {"name": "Customers", "url": "https://crm.example.com/callers"}
NUMBER = {"number": "+1 (415) 555-0199"}
KINDS = [
    ("/tools", TOOL, {"description": "Hours."}),
    ("/trunks", TRUNK, {"max_concurrent": 3}),
    ("/inbound", NUMBER, {"active": False}),
    ("/inbound_context_strategy", STRATEGY, {"timeout_seconds": 1.5}),
]


def fields_of(problem: Any) -> list[str]:
    assert problem.status_code == 422, problem.text
    assert problem.headers["content-type"] == "application/problem+json"
    return [fault["field"] for fault in problem.json()["errors"]]


@pytest.mark.parametrize(("path", "fields", "patch"), KINDS, ids=[kind[0] for kind in KINDS])
def test_a_document_lives(rest: Any, run_clean: Any, path: str, fields: Any, patch: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            response = await api.post(path, fields)
            assert response.status_code == 201, response.text
            made = response.json()
            assert response.headers["location"] == f"{path}/{made['id']}"
            assert response.headers["etag"] == '"1"'
            assert response.headers["cache-control"] == "no-store"
            one = f"{path}/{made['id']}"
            read = await api.get(one)
            assert read.json() == made

            changed = await api.patch(one, patch)
            assert changed.status_code == 200, changed.text
            assert changed.headers["etag"] == '"2"'
            expected = {**made, **patch, "version": 2, "updated_at": changed.json()["updated_at"]}
            assert changed.json() == expected
            assert (await api.patch(one, patch)).json()["version"] == 2  # nothing changed, nothing written
            assert (await api.get(path)).json() == {"items": [expected], "next_cursor": None}

            stale = await api.patch(one, patch, headers={"If-Match": '"1"'})
            assert (stale.status_code, stale.json()["code"]) == (412, "version_mismatch")
            assert (await api.delete(one, headers={"If-Match": '"1"'})).status_code == 412
            assert (await api.delete(one, headers={"If-Match": 'W/"2"'})).status_code == 412
            assert (await api.delete(one, headers={"If-Match": '"2"'})).status_code == 204
            gone = await api.get(one)
            assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
            assert (await api.patch(one, patch)).status_code == 404
            assert (await api.delete(one)).status_code == 404
            assert (await api.get(path)).json()["items"] == []

    run_clean(scenario())


def test_lists_go_on_by_cursor(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            names = [f"tool_{index}" for index in range(7)]
            for name in names:
                await api.create("/tools", {**TOOL, "name": name})
            for order, expected in (("oldest", names), ("newest", names[::-1])):
                seen, cursor = [], None
                while True:
                    query = {"limit": 3, "order": order, **({"cursor": cursor} if cursor else {})}
                    page = (await api.get("/tools", params=query)).json()
                    assert len(page["items"]) <= 3
                    seen += [tool["name"] for tool in page["items"]]
                    if (cursor := page["next_cursor"]) is None:
                        break
                assert seen == expected
            found = (await api.get("/tools", params={"name": "tool_3"})).json()["items"]
            assert [tool["name"] for tool in found] == ["tool_3"]
            assert fields_of(await api.get("/tools", params={"cursor": "x"})) == ["cursor"]
            assert fields_of(await api.get("/tools", params={"limit": 0})) == ["limit"]

    run_clean(scenario())


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": None}, "name"),
        ({"nme": "x"}, "nme"),
        ({"tts": None}, "tts"),
        ({"llm": {"provider": "nobody"}}, "llm"),
        ({"llm": {"provider": "local", "model": "scripted:/etc/passwd.toml"}}, "llm"),
        ({"tools": ["tool_1"]}, "tools.0"),
        ({"interaction": {"silence": {"count": 9}}}, "interaction.silence.count"),
        ({"recording": 1}, "recording"),
        ({"end_call_webhook": {"url": "ftp://x"}}, "end_call_webhook.url"),
        ({"llm": {"provider": "local", "api_key": "********"}}, "llm.api_key"),
    ],
    ids=str,
)
def test_what_would_make_a_call_silent_is_refused_by_field(
    rest: Any, run_clean: Any, change: Any, field: str
) -> None:
    async def scenario() -> None:
        async with rest() as api:
            made = await api.assistant()
            assert field in fields_of(await api.patch(f"/assistants/{made['id']}", change))
            new = {**made, **change}
            for name in ("id", "version", "created_at", "updated_at"):
                del new[name]
            assert field in fields_of(await api.post("/assistants", new))

    run_clean(scenario())


def test_secrets_are_masked_kept_and_not_overwritten_by_masks(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            made = await api.create("/tools", WEB_TOOL)
            assert "s3cr3t" not in str(made)
            assert made["webhook"]["headers"] == {"Authorization": "********"}
            assert made["webhook"]["secret"] == "********LaSw"
            one = f"/tools/{made['id']}"
            assert (await api.get(one)).json() == made
            refused = await api.patch(one, {"webhook": made["webhook"]})
            assert set(fields_of(refused)) == {"webhook.headers", "webhook.secret"}
            changed = (await api.patch(one, {"webhook": {"timeout_seconds": 3}})).json()
            assert changed["webhook"] == {**made["webhook"], "timeout_seconds": 3}
            stored = await api.store.get("tools", made["id"], reveal=True)
            assert stored["webhook"]["headers"] == WEB_TOOL["webhook"]["headers"]  # type: ignore[index]
            assert stored["webhook"]["secret"] == WEB_TOOL["webhook"]["secret"]  # type: ignore[index]
            without = (
                await api.patch(one, {"webhook": {"secret": None, "headers": {"Authorization": None}}})
            ).json()
            assert (without["webhook"]["secret"], without["webhook"]["headers"]) == (None, {})
            assert (await api.get("/tools")).json()["items"] == [without]

    run_clean(scenario())


def test_a_secret_needs_a_key_and_a_document_without_one_does_not(
    rest: Any, run_clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTIPHON_SECRET_KEY")

    async def scenario() -> None:
        async with rest() as api:
            refused = await api.post("/tools", WEB_TOOL)
            assert (refused.status_code, refused.json()["code"]) == (409, "secret_key")
            assert "ANTIPHON_SECRET_KEY" in refused.json()["detail"]
            webhook = {"url": "https://shop.example.com/orders", "headers": {}}
            made = await api.create("/tools", {**WEB_TOOL, "webhook": webhook})
            await api.assistant(end_call_webhook=webhook)
            assert (
                await api.patch(f"/tools/{made['id']}", {"webhook": {"timeout_seconds": 1}})
            ).status_code == 200

    run_clean(scenario())


def test_documents_can_be_read_when_the_key_is_lost(
    rest: Any, run_clean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write() -> Any:
        async with rest() as api:
            return await api.create("/tools", WEB_TOOL)

    made = run_clean(write())
    monkeypatch.delenv("ANTIPHON_SECRET_KEY")

    async def scenario() -> None:
        async with rest() as api:
            read = (await api.get(f"/tools/{made['id']}")).json()
            assert read["webhook"] == {**made["webhook"], "headers": {"*": "********"}, "secret": "********"}
            assert (await api.get("/tools")).json()["items"] == [read]
            renamed = await api.patch(f"/tools/{made['id']}", {"name": "other"})
            assert (renamed.status_code, renamed.json()["webhook"]) == (200, read["webhook"])
            anew = await api.patch(f"/tools/{made['id']}", {"webhook": {"secret": "another", "headers": {}}})
            assert (anew.status_code, anew.json()["code"]) == (409, "secret_key")  # there is no key at all
            assert (await api.delete(f"/tools/{made['id']}")).status_code == 204

    run_clean(scenario())


def test_what_is_needed_is_not_deleted(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            tool = await api.create("/tools", TOOL)
            trunk = await api.create("/trunks", TRUNK)
            strategy = await api.create("/inbound_context_strategy", STRATEGY)
            assistant = await api.assistant(tools=[tool["id"]])
            number = await api.create(
                "/inbound",
                {
                    **NUMBER,
                    "assistant_id": assistant["id"],
                    "trunk_id": trunk["id"],
                    "inbound_context_strategy_id": strategy["id"],
                },
            )
            by_number = [{"kind": "inbound", "id": number["id"], "name": "+14155550199"}]
            by_assistant = [{"kind": "assistants", "id": assistant["id"], "name": "Bank"}]
            needed = [
                (f"/tools/{tool['id']}", by_assistant),
                (f"/trunks/{trunk['id']}", by_number),
                (f"/inbound_context_strategy/{strategy['id']}", by_number),
                (f"/assistants/{assistant['id']}", by_number),
            ]
            for path, uses in needed:
                refused = await api.delete(path)
                assert (refused.status_code, refused.json()["code"]) == (409, "in_use"), path
                assert refused.json()["used_by"] == uses
                assert uses[0]["name"] in refused.json()["detail"]
            assert (await api.delete(f"/inbound/{number['id']}")).status_code == 204
            for path, _ in reversed(needed):
                assert (await api.delete(path)).status_code == 204, path

    run_clean(scenario())


def test_calls_keep_their_trunk(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            trunk = await api.create("/trunks", TRUNK)
            call = await api.store.create("calls", {"status": "answered", "trunk_id": trunk["id"]}, owner="x")
            refused = await api.delete(f"/trunks/{trunk['id']}")
            assert refused.json()["used_by"] == [{"kind": "calls", "id": call["id"], "name": call["id"]}]
            await api.store.update("calls", call["id"], {"status": "completed"})
            assert (await api.delete(f"/trunks/{trunk['id']}")).status_code == 204

    run_clean(scenario())


def test_numbers_are_attached_and_detached(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            assistant = await api.assistant()
            number = await api.create("/inbound", NUMBER)
            assert number["number"] == "+14155550199"
            one = f"/inbound/{number['id']}"
            attached = await api.post(f"{one}/attach", {"assistant_id": assistant["id"]})
            assert attached.json()["assistant_id"] == assistant["id"]
            query = {"assistant_id": assistant["id"]}
            assert [item["id"] for item in (await api.get("/inbound", params=query)).json()["items"]] == [
                number["id"]
            ]
            assert fields_of(await api.post(f"{one}/attach", {"assistant_id": "nobody"})) == ["assistant_id"]
            assert fields_of(await api.post(f"{one}/attach", {})) == ["assistant_id"]
            stale = await api.post(f"{one}/detach", headers={"If-Match": '"1"'})
            assert stale.status_code == 412
            assert (await api.post(f"{one}/detach")).json()["assistant_id"] is None
            assert (await api.post("/inbound/nothing/detach")).status_code == 404
            twice = await api.post("/inbound", {"number": "0014155550199"})
            assert (twice.status_code, twice.json()["code"]) == (409, "already_exists")
            assert twice.json()["errors"][0]["field"] == "number"

    run_clean(scenario())


def test_tools_of_one_assistant_have_different_names(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            first, second = [await api.create("/tools", TOOL) for _ in range(2)]
            third = await api.create("/tools", {**TOOL, "name": "other"})
            assert fields_of(await api.post("/tools", {**TOOL, "name": "end_call"})) == ["name"]
            made = await api.assistant(tools=[first["id"], third["id"]])
            one = f"/assistants/{made['id']}"
            assert fields_of(await api.patch(one, {"tools": [first["id"], second["id"]]})) == ["tools.1"]
            assert fields_of(await api.patch(f"/tools/{third['id']}", {"name": "get_hours"})) == ["name"]
            assert (await api.patch(f"/tools/{second['id']}", {"name": "other"})).status_code == 200

    run_clean(scenario())


def test_preview_says_what_the_assistant_is_told(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            made = await api.assistant(assistant_start_instruction="Greet {{context.name}} of {{city}}.")
            one = f"/assistants/{made['id']}/preview"
            variables = {"context": {"name": "A & B"}, "caller_number": "+14155550123"}
            shown = await api.post(one, {"variables": variables})
            assert shown.status_code == 200
            assert shown.json() == {
                "prompt": "You are the assistant of Example Bank. The caller is A & B, +14155550123.",
                "start_instruction": "Greet A & B of .",
                "missing": ["city"],
            }
            assert (await api.post(one)).json()["missing"] == ["context.name", "caller_number", "city"]
            assert fields_of(await api.post(one, {"variable": {}})) == ["variable"]
            assert (await api.post("/assistants/nobody/preview", {})).status_code == 404

    run_clean(scenario())


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_json"),
        (b'{"name": "\\ud800"}', "application/json", 400, "invalid_json"),
        (b'{"name": NaN}', "application/json", 400, "invalid_json"),
        (b"[" * 100_000, "application/json", 400, "invalid_json"),
        (b"\xff", "application/json", 400, "invalid_json"),
        (b"name=x", "application/x-www-form-urlencoded", 415, "not_json"),
        (b'{"name": "' + b"x" * 1024 * 1024 + b'"}', "application/json", 413, "too_large"),
        (b"{}", "application/merge-patch+json; charset=utf-8", 422, "invalid_document"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bodies_that_are_no_documents(
    rest: Any, run_clean: Any, content: bytes, kind: str, status: int, code: str
) -> None:
    async def scenario() -> None:
        async with rest() as api:
            response = await api("POST", "/tools", content=content, headers={"Content-Type": kind})
            assert (response.status_code, response.json()["code"]) == (status, code)

            async def pieces() -> Any:
                for start in range(0, len(content), 1000):
                    yield content[start : start + 1000]

            # Without a Content-Length the body is counted as it comes.
            response = await api("POST", "/tools", content=pieces(), headers={"Content-Type": kind})
            assert (response.status_code, response.json()["code"]) == (status, code)

    run_clean(scenario())


def test_a_body_that_does_not_come_to_its_end(run_clean: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from starlette.requests import Request

    from antiphon.server import request_body
    from antiphon.server.problems import Problem

    monkeypatch.setattr(request_body, "BODY_SECONDS", 0.05)

    async def stalls() -> Any:
        await asyncio.sleep(60)

    async def hangs_up() -> Any:
        return {"type": "http.disconnect"}

    async def scenario() -> None:
        for receive, status in ((stalls, 408), (hangs_up, 400)):
            with pytest.raises(Problem) as caught:
                await request_body.read_body(Request({"type": "http", "headers": []}, receive), 100)
            assert caught.value.status == status

    run_clean(scenario())


def test_changes_at_once_are_all_kept(rest: Any, run_clean: Any) -> None:
    import asyncio

    async def scenario() -> None:
        async with rest() as api:
            made = await api.create("/trunks", TRUNK)
            patches = [
                {"max_concurrent": 5},
                {"calls_per_second": 2.0},
                {"name": "Other"},
                {"registration": True},
            ]
            one = f"/trunks/{made['id']}"
            answers = await asyncio.gather(*(api.patch(one, patch) for patch in patches))
            assert [answer.text for answer in answers if answer.status_code != 200] == []
            after = (await api.get(one)).json()
            for patch in patches:
                assert patch.items() <= after.items()

    run_clean(scenario())


def test_the_allow_header_names_all_methods(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            response = await api("PUT", "/tools/x")
            assert response.status_code == 405
            assert set(response.headers["allow"].split(", ")) >= {"GET", "PATCH", "DELETE"}

    run_clean(scenario())


def test_many_who_change_one_document_at_once_lose_nothing(rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            made = await api.create("/tools", {**WEB_TOOL, "name": "shared"})
            one, names = f"/tools/{made['id']}", [f"X-{number}" for number in range(25)]
            answers = await asyncio.gather(
                *(api.patch(one, {"webhook": {"headers": {name: "v"}}}) for name in names)
            )
            assert {answer.status_code for answer in answers} == {200}
            headers = (await api.get(one)).json()["webhook"]["headers"]
            assert set(headers) >= set(names)

    run_clean(scenario())
