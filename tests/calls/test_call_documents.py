"""Tools, number mappings and context strategies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.calls.assistant import Assistant
from antiphon.calls.context_strategy import (
    LONGEST_RESPONSE,
    ContextRefused,
    ContextRequest,
    ContextStrategy,
    read_context,
)
from antiphon.calls.document import MASK, Document, DocumentRefused, masked, parse, secret_paths
from antiphon.calls.number_mapping import NumberMapping, normalize_e164
from antiphon.calls.tool_definition import ToolDefinition
from antiphon.models.tool_schema import type_for_schema
from antiphon.store import catalogue
from antiphon.store import secrets as stored_secrets

WEBHOOK = {"url": "https://x.example/tool", "headers": {"X-Key": "abc"}, "secret": "whsec_abcdefgh"}
TOOL: dict[str, Any] = {"name": "get_balance", "description": "Tells the balance.", "webhook": WEBHOOK}
STRATEGY: dict[str, Any] = {"name": "CRM", "url": "https://x.example/crm"}
NUMBER: dict[str, Any] = {"number": "+14155550123", "assistant_id": "asst_1"}


def problems(model: type[Document], data: object) -> dict[str, str]:
    with pytest.raises(DocumentRefused) as caught:
        parse(model, data)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_a_webhook_tool() -> None:
    tool = parse(ToolDefinition, TOOL)
    assert tool.webhook is not None
    assert (tool.webhook.timeout_seconds, tool.webhook.idempotent) == (10.0, False)
    assert tool.parameters == {"type": "object", "properties": {}}
    assert list(secret_paths(ToolDefinition)) == ["webhook.headers", "webhook.secret"]
    assert "abc" not in json.dumps(masked(tool)).replace("abcdefgh", "abc")


@pytest.mark.parametrize("value", ["open at nine", None, 3, {"a": [1]}])
def test_a_static_tool(value: Any) -> None:
    tool = parse(
        ToolDefinition, {"name": "hours", "description": "Opening hours.", "static": {"value": value}}
    )
    assert tool.static is not None
    assert tool.static.value == value


GOOD_SCHEMAS: list[dict[str, Any]] = [
    {},
    {"type": "object", "properties": {"a": {"type": "string", "enum": ["x", "y"]}}, "required": ["a"]},
    {"properties": {"a": {"type": ["integer", "null"]}, "b": {"type": "array", "items": {"type": "number"}}}},
    {"properties": {"a": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {}}]}}},
]


@pytest.mark.parametrize("schema", GOOD_SCHEMAS, ids=str)
def test_schemas_that_tools_understand(schema: dict[str, Any]) -> None:
    type_for_schema(parse(ToolDefinition, {**TOOL, "parameters": schema}).parameters)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "arguments have names"),
        ({"properties": []}, "not an object"),
        ({"properties": {"a": "string"}}, "a must be an object"),
        ({"properties": {"a": {"type": "text"}}}, "a has the type 'text'"),
        ({"properties": {"a": {"type": [1]}}}, "a has the type 1"),
        ({"properties": {"a": {"properties": {"b": {"type": "x"}}}}}, "a.b has the type"),
        ({"properties": {"a": {"type": "array", "items": {"type": "x"}}}}, "a[] has the type"),
        ({"properties": {"a": {"anyOf": [{"type": "x"}]}}}, "a(anyOf 0) has the type"),
        ({"properties": {"a": {"anyOf": []}}}, "anyOf without"),
        ({"properties": {"a": {"enum": []}}}, "enum"),
        ({"properties": {"a": {"$ref": "#/x"}}}, "$ref"),
        ({"required": ["a"]}, "requires 'a'"),
        ({"required": "a"}, "list of names"),
    ],
    ids=str,
)
def test_schemas_that_they_do_not(schema: dict[str, Any], words: str) -> None:
    found = problems(ToolDefinition, {**TOOL, "parameters": schema})
    assert list(found) == ["parameters"]
    assert words in found["parameters"]


def test_a_schema_without_end_is_refused() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(50):
        schema = {"type": "object", "properties": {"a": schema}}
    assert "nested" in problems(ToolDefinition, {**TOOL, "parameters": schema})["parameters"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "properties", "required", "items", "enum", "anyOf", "a"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_schema_is_refused_or_understood(schema: Any) -> None:
    try:
        tool = parse(ToolDefinition, {**TOOL, "parameters": schema})
    except DocumentRefused:
        return
    type_for_schema(tool.parameters)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "Get-Balance"}, "name"),
        ({"name": "a" * 65}, "name"),
        ({"description": ""}, "description"),
        ({"static": {"value": 1}}, ""),
        ({"webhook": None}, ""),
        ({"webhook": {**WEBHOOK, "timeout_seconds": 0.1}}, "webhook.timeout_seconds"),
        ({"webhook": {**WEBHOOK, "url": "http:///x"}}, "webhook.url"),
        ({"webhook": {**WEBHOOK, "url": "http://xn--.com/x"}}, "webhook.url"),
        ({"webhook": {**WEBHOOK, "secret": "********efgh"}}, "webhook.secret"),
        ({"webhook": {**WEBHOOK, "secret": "whsec_none!"}}, "webhook.secret"),
        ({"webhook": {**WEBHOOK, "headers": {"X-Name": "Zoë"}}}, "webhook.headers"),
        ({"webhook": {**WEBHOOK, "headers": {"X-Key": "abc\x01"}}}, "webhook.headers"),
        ({"webhook": {**WEBHOOK, "headers": {"X-Key": " abc"}}}, "webhook.headers"),
    ],
)
def test_tools_that_are_refused(change: dict[str, Any], field: str) -> None:
    assert list(problems(ToolDefinition, {**TOOL, **change})) == [field]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+14155550123", "+14155550123"),
        ("+1 (415) 555-0123", "+14155550123"),
        ("0049 30 1234567", "+49301234567"),
        ("tel:+91-80.1234.5678", "+918012345678"),
        (" +44 20 7946 0958 ", "+442079460958"),
    ],
)
def test_numbers(text: str, number: str) -> None:
    assert normalize_e164(text) == number
    assert parse(NumberMapping, {**NUMBER, "number": text}).number == number


@pytest.mark.parametrize(
    "text",
    ["", "030 1234567", "4155550123", "+0123456789", "+123456", "+1234567890123456", "+1415555O123", "sip:x"],
)
def test_what_is_no_international_number(text: str) -> None:
    assert "country code" in problems(NumberMapping, {**NUMBER, "number": text})["number"]


def test_a_mapping_may_be_detached() -> None:
    assert parse(NumberMapping, {**NUMBER, "assistant_id": None}).assistant_id is None
    assert list(problems(NumberMapping, {**NUMBER, "active": None})) == ["active"]


@pytest.mark.parametrize(("seconds", "fine"), [(0.4, False), (0.5, True), (10, True), (10.1, False)])
def test_the_limits_of_a_lookup(seconds: float, fine: bool) -> None:
    data = {**STRATEGY, "timeout_seconds": seconds}
    if fine:
        assert parse(ContextStrategy, data).timeout_seconds == seconds
    else:
        assert list(problems(ContextStrategy, data)) == ["timeout_seconds"]


def test_what_is_asked() -> None:
    request = ContextRequest(
        assistant_id="asst_1",
        room_name="room_1",
        service="exotel",
        inbound_id="in_1",
        caller_number="+14155550123",
        inbound_number="+14155550199",
        strategy_id="strategy_1",
    )
    assert list(request.model_dump()) == [
        "assistant_id",
        "room_name",
        "call_type",
        "service",
        "inbound_id",
        "caller_number",
        "inbound_number",
        "strategy_id",
    ]


@pytest.mark.parametrize(
    ("body", "context"),
    [
        (b'{"context": {}}', {}),
        ('{"context": {"name": "Zoë", "orders": [1]}, "more": 1}'.encode(), {"name": "Zoë", "orders": [1]}),
    ],
)
def test_answers_with_context(body: bytes, context: dict[str, Any]) -> None:
    assert read_context(body) == context


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no",
        b"[]",
        b"{}",
        b'{"context": null}',
        b'{"context": "Ann"}',
        b'{"name": "Ann"}',
        b"\xff\xfe",
        b'{"context": {"a": ' + b"[" * 30 + b"]" * 30 + b"}}",
        b'{"context": ' + b"[" * 20_000,
        b'{"context": {"a": "' + b"x" * LONGEST_RESPONSE + b'"}}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_answers_without(body: bytes) -> None:
    with pytest.raises(ContextRefused):
        read_context(body)


@given(st.binary(max_size=200))
def test_no_answer_breaks_the_call(body: bytes) -> None:
    try:
        read_context(body)
    except ContextRefused:
        return


@pytest.mark.parametrize(
    ("model", "collection"),
    [
        (Assistant, catalogue.ASSISTANTS),
        (ToolDefinition, catalogue.TOOLS),
        (NumberMapping, catalogue.INBOUND_SIP),
        (ContextStrategy, catalogue.INBOUND_CONTEXT_STRATEGIES),
    ],
)
def test_the_store_knows_every_secret(model: type[Document], collection: Any) -> None:
    assert sorted(secret_paths(model)) == sorted(collection.secret)


def test_the_masks_of_the_store_are_refused() -> None:
    assert stored_secrets.mask("short").startswith(MASK)
    assert (
        "leave the field out"
        in problems(ContextStrategy, {**STRATEGY, "secret": stored_secrets.mask("s" * 30)})["secret"]
    )
