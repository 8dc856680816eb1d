"""The OpenAPI document is whole: every route says what it takes and gives, with examples that are true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.needs("aiosqlite", "fastapi", "httpx", "jsonschema_rs")

ROOT = Path(__file__).parents[3]
METHODS = ("get", "post", "patch", "delete", "put")
# Those that anybody may ask, or that take another kind of bearer.
WITHOUT_A_KEY = (
    "GET /readyz",
    "GET /healthz",
    "GET /api/get_token",
    "GET /api/getToken",
    "POST /api/rtc/offer",
    "GET /api/config",
)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield f"{method.upper()} {path}", item[method]


@pytest.fixture
def document(rest: Any, run_clean: Any) -> dict[str, Any]:
    async def read() -> Any:
        async with rest() as api:
            response = await api.client.get("/api/openapi.json")
            assert response.status_code == 200
            return response.json()

    return dict(run_clean(read()))


def problems_of(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    import jsonschema_rs

    whole = {**schema, "components": document["components"]}
    return [error.message for error in jsonschema_rs.Draft202012Validator(whole).iter_errors(value)]


def test_every_route_of_the_design_is_there(document: dict[str, Any]) -> None:
    present = {name for name, _ in operations(document)}
    kinds = ("assistants", "tools", "trunks", "inbound", "inbound_context_strategy")
    assert {
        *(f"{method} /{kind}" for kind in kinds for method in ("POST", "GET")),
        *(f"{method} /{kind}/{{id}}" for kind in kinds for method in ("GET", "PATCH", "DELETE")),
        "POST /inbound/{id}/attach",
        "POST /inbound/{id}/detach",
        "POST /assistants/{id}/preview",
        "POST /calls/outbound",
        "GET /calls",
        "GET /calls/{id}",
        "GET /calls/{id}/transcript",
        "GET /calls/{id}/recording",
        "GET /calls/{id}/events",
        "DELETE /calls/{id}",
        "POST /calls/{id}/transfer",
        "POST /calls/{id}/dtmf",
        "POST /calls/{id}/say",
        "POST /keys",
        "GET /keys",
        "GET /keys/{id}",
        "POST /keys/{id}/rotate",
        "DELETE /keys/{id}",
        "GET /webhook_deliveries",
        "GET /webhook_deliveries/{id}",
        "POST /webhook_deliveries/{id}/replay",
        "GET /readyz",
        "GET /metrics",
        "GET /healthz",
        "GET /api/get_token",
        "GET /api/getToken",
        "POST /api/rtc/offer",
        "GET /api/config",
    } == present


def test_every_example_is_there_and_true(document: dict[str, Any]) -> None:
    checked = 0
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            assert response["description"], (name, status)
            content = response.get("content", {})
            assert content or status == "204", (name, status)
            for kind, body in content.items():
                assert body["example"] is not None, (name, status)
                assert problems_of(document, body["schema"], body["example"]) == [], (name, status, kind)
                checked += 1
        if body := operation.get("requestBody"):
            for kind, shown in body["content"].items():
                assert shown["examples"], name
                for title, example in shown["examples"].items():
                    assert problems_of(document, shown["schema"], example["value"]) == [], (name, kind, title)
                    checked += 1
        for parameter in operation.get("parameters", ()):
            examples = [parameter["example"]] if "example" in parameter else parameter["schema"]["examples"]
            for example in examples:
                assert problems_of(document, parameter["schema"], example) == [], (name, parameter["name"])
            assert parameter["description"], (name, parameter["name"])
    assert checked > 150


def test_an_example_that_is_not_true_would_be_found(document: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/StoredAssistant"}
    assert problems_of(document, schema, {"name": "Bank"})
    assert problems_of(document, {"$ref": "#/components/schemas/ProblemDetails"}, {"status": "404"})


def test_every_route_names_its_scope_its_tag_and_how_it_refuses(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["api_key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    tags = {tag["name"] for tag in document["tags"]}
    seen = set()
    for name, operation in operations(document):
        assert operation["summary"], name
        assert set(operation["tags"]) <= tags, name
        assert operation["operationId"] not in seen
        seen.add(operation["operationId"])
        if name in WITHOUT_A_KEY:
            continue
        assert operation["security"] == [{"api_key": []}], name
        assert operation["x-required-scope"], name
        assert {"401", "403", "429", "503"} <= set(operation["responses"]), name
        if "{id}" in name:
            assert {"404", "422"} <= set(operation["responses"]), name


def test_examples_of_requests_are_accepted(document: dict[str, Any], rest: Any, run_clean: Any) -> None:
    async def scenario() -> None:
        async with rest() as api:
            for path in (
                "/assistants",
                "/tools",
                "/trunks",
                "/inbound",
                "/inbound_context_strategy",
                "/keys",
            ):
                body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
                for title, example in body["examples"].items():
                    created = await api.create(path, example["value"])
                    one = document["paths"].get(f"{path}/{{id}}", {}).get("patch")
                    if one is None:
                        continue
                    patches = one["requestBody"]["content"]["application/json"]["examples"]
                    for change in patches.values():
                        response = await api.patch(f"{path}/{created['id']}", change["value"])
                        if title in ("fixed answer",) and "webhook" in change["value"]:
                            assert response.status_code == 422
                            continue
                        assert response.status_code == 200, (path, title, response.text)

    run_clean(scenario())


def test_the_page_names_all_routes_and_all_errors(document: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "rest.md").read_text()
    for path in document["paths"]:
        start = "/" + path.split("/")[1]
        assert start in page, path
        assert path.endswith("}") or path.rsplit("/", 1)[-1] in page, path
    sources = [*(ROOT / "src/antiphon/server/rest").glob("*.py"), ROOT / "src/antiphon/server/auth.py"]
    codes = {
        code for source in sources for code in re.findall(r'Problem\(\s*\d{3},\s*"(\w+)"', source.read_text())
    }
    assert len(codes) > 15
    assert {code for code in codes if f"`{code}`" not in page} == set()
