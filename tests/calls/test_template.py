"""Placeholders in prompts."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.calls.assistant import Assistant
from antiphon.calls.template import Preview, preview, render

VARIABLES: dict[str, Any] = {
    "caller_number": "+14155550123",
    "name": "A&B <b>\"'",
    "empty": "",
    "nothing": None,
    "count": 3,
    "price": 2.5,
    "vip": True,
    "context": {"name": "Zoë", "address": {"city": "Köln"}, "orders": [{"id": "A1"}, {"id": "A2"}], "x-y": 1},
    "sneaky": "{{caller_number}}",
    "items": "a mapping has a method of this name",
}


@pytest.mark.parametrize(
    ("template", "text", "missing"),
    [
        ("", "", ()),
        ("plain", "plain", ()),
        ("{{caller_number}}", "+14155550123", ()),
        ("{{ caller_number }}{{\tcaller_number}}", "+14155550123+14155550123", ()),
        ("{{name}}", "A&B <b>\"'", ()),
        ("Hi {{context.name}} of {{context.address.city}}", "Hi Zoë of Köln", ()),
        ("{{context.orders.1.id}}", "A2", ()),
        ("{{context.x-y}}", "1", ()),
        ("{{context.address}}", '{"city": "Köln"}', ()),
        ("{{count}} {{price}} {{vip}}", "3 2.5 true", ()),
        ("[{{empty}}]", "[]", ()),
        # a value that is not there
        ("Hi {{who}}!", "Hi !", ("who",)),
        ("{{who}} {{context.age}} {{who}}", "  ", ("who", "context.age")),
        ("{{nothing}}", "", ("nothing",)),
        ("{{context.orders.2.id}}", "", ("context.orders.2.id",)),
        ("{{context.orders.-1}}", "", ("context.orders.-1",)),
        ("{{context.orders.99999999999999999999}}", "", ("context.orders.99999999999999999999",)),
        ("{{caller_number.0}}", "", ("caller_number.0",)),
        # nothing is run or looked into
        ("{{sneaky}}", "{{caller_number}}", ()),
        ("{{items}}", "a mapping has a method of this name", ()),
        ("{{context.__class__}}", "", ("context.__class__",)),
        ("{{context.keys}}", "", ("context.keys",)),
        ("{{context.name.upper}}", "", ("context.name.upper",)),
        ("{{1+1}} {{ f() }} {{#x}} {{a b}}", "{{1+1}} {{ f() }} {{#x}} {{a b}}", ()),
        # braces
        ('{"a": {"b": {{count}}}}', '{"a": {"b": 3}}', ()),
        ("{name} {{}} }} {{", "{name} {{}} }} {{", ()),
        ("{{{count}}}", "{3}", ()),
        (r"\{{count}} \n \{", r"{{count}} \n \{", ()),
        ("{{caller_\nnumber}}", "{{caller_\nnumber}}", ()),
    ],
)
def test_render(template: str, text: str, missing: tuple[str, ...]) -> None:
    rendered = render(template, VARIABLES)
    assert (rendered.text, rendered.missing) == (text, missing)


TEXTS = st.text(alphabet=st.sampled_from("ab. {}\\\n&<\"'é0"), max_size=30)
NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True)


@given(TEXTS, st.text(), TEXTS)
def test_a_value_comes_out_as_it_went_in(before: str, value: str, after: str) -> None:
    before, after = (re.sub(r"[{}\\]", "", text) for text in (before, after))
    assert render(f"{before}{{{{x}}}}{after}", {"x": value}).text == f"{before}{value}{after}"


@given(st.text())
def test_a_text_without_placeholders_stays(text: str) -> None:
    text = text.replace("{{", "{")
    rendered = render(text, {})
    assert (rendered.text, rendered.missing) == (text, ())


@given(st.lists(NAMES, max_size=6), st.sets(NAMES))
def test_what_is_missing_is_told_once_in_order(names: list[str], known: set[str]) -> None:
    rendered = render(" ".join(f"{{{{{name}}}}}" for name in names), dict.fromkeys(known, "v"))
    assert list(rendered.missing) == [name for name in dict.fromkeys(names) if name not in known]


@given(st.lists(NAMES, min_size=1, max_size=4), st.text())
def test_names_lead_into_objects(path: list[str], value: str) -> None:
    variables: Any = value
    for name in reversed(path):
        variables = {name: variables}
    assert render("{{" + ".".join(path) + "}}", variables).text == value


@given(
    st.text(), st.recursive(st.none() | st.booleans() | st.text(), lambda x: st.dictionaries(st.text(), x))
)
def test_rendering_never_fails(template: str, value: Any) -> None:
    render(template + "{{a.b}}", {"a": value})


def test_preview() -> None:
    assistant = Assistant(
        name="Bank",
        prompt="You talk with {{context.name}}.",
        assistant_start_instruction="Greet {{context.nick}}.",
    )
    shown = preview(assistant, {"context": {"name": "Ann"}})
    assert shown == Preview("You talk with Ann.", "Greet .", ("context.nick",))
    assert preview(assistant, {}).missing == ("context.name", "context.nick")
