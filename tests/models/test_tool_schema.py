"""How type hints and docstrings become the JSON Schema that a model sees."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import typing
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from antiphon.models.errors import ConfigurationError
from antiphon.models.tool_schema import ToolDefinitionError, parse_docstring, type_for_hint, type_for_schema
from antiphon.models.tool_types import ToolArgumentError
from antiphon.models.tools import RunContext, function_tool


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Payee:
    """Someone to pay.

    Attributes:
        name: as on the account.
        iban: where the money goes.
    """

    name: str
    iban: str = "none"


class Item(TypedDict):
    """One line of an order.

    Attributes:
        sku: the article.
    """

    sku: str
    note: NotRequired[str]


UserId = typing.NewType("UserId", int)

SCHEMAS: list[tuple[Any, dict[str, Any]]] = [
    (str, {"type": "string"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
    (bool, {"type": "boolean"}),
    (Any, {}),
    (Decimal, {"type": "number"}),
    (datetime.date, {"type": "string", "format": "date"}),
    (datetime.datetime, {"type": "string", "format": "date-time"}),
    (datetime.time, {"type": "string", "format": "time"}),
    (uuid.UUID, {"type": "string", "format": "uuid"}),
    (UserId, {"type": "integer"}),
    (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
    (Literal["a", 1], {"enum": ["a", 1]}),
    (Colour, {"type": "string", "enum": ["red", "blue"]}),
    (str | None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    (typing.Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045 - the old spelling
    (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    (list[int], {"type": "array", "items": {"type": "integer"}}),
    (list, {"type": "array", "items": {}}),
    (typing.Sequence[str], {"type": "array", "items": {"type": "string"}}),
    (set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
    (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    (dict, {"type": "object", "additionalProperties": True}),
    (Annotated[str, "the city"], {"type": "string", "description": "the city"}),
    (Annotated[str, ["unhashable"]], {"type": "string"}),
    (
        list[Annotated[str, "a city"]],
        {"type": "array", "items": {"type": "string", "description": "a city"}},
    ),
    (
        Payee,
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "as on the account."},
                "iban": {"type": "string", "description": "where the money goes.", "default": "none"},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
    ),
    (
        Item,
        {
            "type": "object",
            "properties": {
                "sku": {"type": "string", "description": "the article."},
                "note": {"type": "string"},
            },
            "required": ["sku"],
            "additionalProperties": False,
        },
    ),
]


@pytest.mark.parametrize(("hint", "schema"), SCHEMAS, ids=lambda value: str(value)[:40])
def test_hint_becomes_schema(hint: Any, schema: dict[str, Any]) -> None:
    assert type_for_hint(hint).schema() == schema


def test_a_tuple_of_fixed_length_says_so_without_prefix_items() -> None:
    schema = type_for_hint(tuple[int, str]).schema()
    assert schema["minItems"] == schema["maxItems"] == 2
    assert "whole number, text" in schema["description"]


PARSED: list[tuple[Any, Any, Any]] = [
    (int, 5, 5),
    (int, "5", 5),
    (int, 5.0, 5),
    (float, 5, 5.0),
    (float, "2.5", 2.5),
    (str, "x", "x"),
    (str, 1234, "1234"),
    (bool, "True", True),
    (int | str, "5", "5"),
    (int | str, 5, 5),
    (int | None, "5", 5),
    (str | None, None, None),
    (Decimal, 0.1, Decimal("0.1")),
    (datetime.date, "2026-01-31", datetime.date(2026, 1, 31)),
    (datetime.datetime, "2026-01-31T14:30", datetime.datetime(2026, 1, 31, 14, 30)),
    (datetime.date | None, "2026-01-31", datetime.date(2026, 1, 31)),
    (Literal["checking", "savings"], " Savings", "savings"),
    (Colour, "red", Colour.RED),
    (Colour, "BLUE", Colour.BLUE),
    (list[int], ["1", 2], [1, 2]),
    (list[int], "[1, 2]", [1, 2]),
    (set[str], ["a", "a"], {"a"}),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2], (1, 2)),
    (dict[str, int], {"a": "1"}, {"a": 1}),
    (Payee, {"name": "Ann"}, Payee("Ann")),
    (list[Payee], [{"name": "Ann", "iban": "X"}], [Payee("Ann", "X")]),
    (Payee | None, {"name": "Ann"}, Payee("Ann")),
    (Item, {"sku": "1"}, {"sku": "1"}),
]


@pytest.mark.parametrize(("hint", "value", "expected"), PARSED, ids=lambda value: str(value)[:30])
def test_json_becomes_python(hint: Any, value: Any, expected: Any) -> None:
    parsed = type_for_hint(hint).parse(value, "x")
    assert parsed == expected
    assert type(parsed) is type(expected)


REFUSED: list[tuple[Any, Any, str]] = [
    (int, "five", 'argument "x": expected a whole number, got "five"'),
    (int, True, 'argument "x": expected a whole number, got true'),
    (int, 5.5, 'argument "x": expected a whole number, got 5.5'),
    (float, "nan", 'argument "x": expected a number, got "nan"'),
    (bool, 1, 'argument "x": expected true or false, got 1'),
    (str, None, 'argument "x": expected text, got null'),
    (Decimal, "a lot", 'argument "x": expected a number, got "a lot"'),
    (datetime.date, "tomorrow", 'argument "x": expected a date such as 2026-01-31, got "tomorrow"'),
    (Literal["a", "b"], "c", 'argument "x": expected one of "a", "b", got "c"'),
    (Literal[1], True, 'argument "x": expected one of 1, got true'),
    (list[int], [1, "b"], 'argument "x[1]": expected a whole number, got "b"'),
    (list[int] | None, [1, "b"], 'argument "x[1]": expected a whole number, got "b"'),
    (
        tuple[int, int],
        [1],
        'argument "x": expected a list of exactly 2 (a whole number, a whole number), got [1]',
    ),
    (set[Any], [[]], 'argument "x": expected a list, got [[]]'),
    (dict[str, int], {"a": "b"}, 'argument "x.a": expected a whole number, got "b"'),
    (Payee, {}, 'argument "x.name" is missing (expected text: as on the account.)'),
    (Payee, {"name": "A", "bic": 1}, 'argument "x.bic" is unknown (known: name, iban)'),
    (int | bool, "perhaps", 'argument "x": expected a whole number or true or false, got "perhaps"'),
]


@pytest.mark.parametrize(("hint", "value", "message"), REFUSED, ids=lambda value: str(value)[:30])
def test_a_refusal_says_what_was_expected(hint: Any, value: Any, message: str) -> None:
    with pytest.raises(ToolArgumentError) as caught:
        type_for_hint(hint).parse(value, "x")
    assert str(caught.value) == message


def test_a_dataclass_refuses_for_its_own_reasons() -> None:
    @dataclasses.dataclass
    class Positive:
        amount: int

        def __post_init__(self) -> None:
            if self.amount <= 0:
                raise ValueError("amount must be more than nothing")

    with pytest.raises(ToolArgumentError, match="more than nothing"):
        type_for_hint(Positive, locals()).parse({"amount": 0}, "x")


@dataclasses.dataclass
class Tree:
    children: list[Tree]


@pytest.mark.parametrize("hint", [Tree, object.__class__, dict[int, str], bytes, typing.TypeVar("T"), "text"])
def test_hints_that_no_json_fits_are_refused_at_definition(hint: Any) -> None:
    with pytest.raises(ToolDefinitionError):
        type_for_hint(hint)


def test_a_definition_error_is_both_a_configuration_error_and_a_type_error() -> None:
    assert issubclass(ToolDefinitionError, ConfigurationError)
    assert issubclass(ToolDefinitionError, TypeError)


def test_pydantic_models_describe_and_check_themselves() -> None:
    pydantic = pytest.importorskip("pydantic")

    class Address(pydantic.BaseModel):  # type: ignore[misc]
        city: str = pydantic.Field(description="where")

    class Person(pydantic.BaseModel):  # type: ignore[misc]
        address: Address
        age: int = pydantic.Field(ge=18)

    Person.model_rebuild(_types_namespace={"Address": Address})
    kind = type_for_hint(Person)
    assert kind.schema()["properties"]["address"]["properties"]["city"]["description"] == "where"
    assert "$ref" not in str(kind.schema())
    assert kind.parse({"address": {"city": "Bonn"}, "age": 20}, "x").address.city == "Bonn"
    with pytest.raises(ToolArgumentError, match=r'argument "x.age": .*18'):
        kind.parse({"address": {"city": "Bonn"}, "age": 3}, "x")


def test_pydantic_field_as_an_annotation_gives_the_description() -> None:
    pydantic = pytest.importorskip("pydantic")
    assert type_for_hint(Annotated[int, pydantic.Field(description="how many")]).schema() == {
        "type": "integer",
        "description": "how many",
    }


def test_google_docstring() -> None:
    read = parse_docstring(
        """Get the weather.

        Call it once for each city.

        Args:
            city: The city, with
                its country.
            units (str): Celsius: or not.

        Returns:
            a text: with a colon.
        """
    )
    assert read.description == "Get the weather.\n\nCall it once for each city."
    assert read.arguments == {"city": "The city, with its country.", "units": "Celsius: or not."}


def test_schema_of_a_whole_tool() -> None:
    @function_tool
    async def transfer(
        context: RunContext[dict[str, int]],
        to: Payee,
        amount: Decimal,
        currency: Literal["EUR", "USD"] = "EUR",
    ) -> str:
        """Send money.

        Args:
            to: Who gets it.
            amount: How much.
        """
        return ""

    assert transfer.name == "transfer"
    assert transfer.description == "Send money."
    assert list(transfer.parameters["properties"]) == ["to", "amount", "currency"]
    assert transfer.parameters["required"] == ["to", "amount"]
    assert transfer.parameters["properties"]["to"]["description"] == "Who gets it."
    assert transfer.parameters["properties"]["currency"] == {
        "type": "string",
        "enum": ["EUR", "USD"],
        "default": "EUR",
    }


def test_a_foreign_schema_checks_what_it_understands_and_lets_the_rest_through() -> None:
    kind = type_for_schema(
        {
            "type": "object",
            "properties": {
                "query": {"type": "string"},
                "limit": {"type": ["integer", "null"]},
                "mode": {"enum": ["fast", "deep"]},
                "odd": {"$ref": "#/$defs/Odd"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "free": {"type": "object"},
            },
            "required": ["query"],
        }
    )
    value = {
        "query": "x",
        "limit": None,
        "mode": "deep",
        "odd": [1],
        "tags": ["a"],
        "free": {"a": 1},
        "more": True,
    }
    assert kind.parse(value, "") == value
    with pytest.raises(ToolArgumentError, match=r'"query" is missing.*"mode".*one of "fast", "deep"'):
        kind.parse({"mode": "slow"}, "")
