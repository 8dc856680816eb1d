"""The types that a tool's arguments can have: how each is described to a model, and how its JSON becomes Python.

`tool_schema.py` picks the type for a Python hint or a JSON Schema; `tools.py` uses the result. Models write
arguments loosely (a number as text, a choice in capitals), so `parse` accepts what can only mean one thing and
refuses the rest with a sentence that tells the model what to write instead.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from .errors import ToolError

JsonSchema = dict[str, Any]

_INTEGER = re.compile(r"\s*[+-]?\d+\s*")


class ToolArgumentError(ToolError):
    """A model called a tool with arguments that do not fit; the message tells the model what to correct."""


class ToolType(ABC):
    """A type of argument."""

    expected: str
    """What a value must be, to complete "expected ..."."""

    @abstractmethod
    def schema(self) -> JsonSchema:
        """The type in JSON Schema."""

    @abstractmethod
    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        """Turn a JSON value into a Python one.

        Args:
            value: decoded JSON.
            path: where it stands in the arguments, as in `items[2].price`.
            exact: accept no value of another JSON type. Unions ask this first, so that text stays text.

        Raises:
            ToolArgumentError: the value does not fit.
        """

    def accepts_null(self) -> bool:
        return False

    def refuse(self, value: Any, path: str) -> ToolArgumentError:
        shown = json.dumps(value, ensure_ascii=False, default=str)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        return ToolArgumentError(f'argument "{path}": expected {self.expected}, got {shown}')


class AnyType(ToolType):
    expected = "any value"

    def schema(self) -> JsonSchema:
        return {}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        return value

    def accepts_null(self) -> bool:
        return True


class NullType(ToolType):
    expected = "null"

    def schema(self) -> JsonSchema:
        return {"type": "null"}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        if value is not None:
            raise self.refuse(value, path)
        return None

    def accepts_null(self) -> bool:
        return True


class BooleanType(ToolType):
    expected = "true or false"

    def schema(self) -> JsonSchema:
        return {"type": "boolean"}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        if isinstance(value, bool):
            return value
        if not exact and isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        raise self.refuse(value, path)


class IntegerType(ToolType):
    expected = "a whole number"

    def schema(self) -> JsonSchema:
        return {"type": "integer"}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        if not exact and isinstance(value, float) and value.is_integer():
            return int(value)
        if not exact and isinstance(value, str) and len(value) < 100 and _INTEGER.fullmatch(value):
            return int(value)
        raise self.refuse(value, path)


class NumberType(ToolType):
    expected = "a number"

    def schema(self) -> JsonSchema:
        return {"type": "number"}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        number: float | None = None
        if (isinstance(value, int | float) and not isinstance(value, bool)) or (
            isinstance(value, str) and not exact
        ):
            try:
                number = float(value)
            except (ValueError, OverflowError):
                number = None
        if number is None or not math.isfinite(number):
            raise self.refuse(value, path)
        return number


class DecimalType(ToolType):
    expected = "a number"

    def schema(self) -> JsonSchema:
        return {"type": "number"}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        if not isinstance(value, int | float | str) or isinstance(value, bool):
            raise self.refuse(value, path)
        if exact and isinstance(value, str):
            raise self.refuse(value, path)
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            raise self.refuse(value, path) from None
        if not number.is_finite():
            raise self.refuse(value, path)
        return number


class StringType(ToolType):
    expected = "text"

    def schema(self) -> JsonSchema:
        return {"type": "string"}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        if isinstance(value, str):
            return value
        if not exact and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise self.refuse(value, path)


@dataclass
class FormattedStringType(ToolType):
    """Text of a JSON Schema format, such as a date.

    Attributes:
        format: the JSON Schema name of the format.
        expected: what a value must look like, with an example.
        read: turns the text into the Python value, or raises `ValueError`.
    """

    format: str
    expected: str
    read: Callable[[str], Any]

    def schema(self) -> JsonSchema:
        return {"type": "string", "format": self.format}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        if not isinstance(value, str):
            raise self.refuse(value, path)
        try:
            return self.read(value.strip())
        except ValueError:
            raise self.refuse(value, path) from None


@dataclass
class ChoiceType(ToolType):
    """One of a few values.

    Attributes:
        choices: (JSON value, Python value) for each.
        aliases: other texts that a choice may be called by, such as the name of an enum member.
    """

    choices: list[tuple[Any, Any]]
    aliases: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        listed = ", ".join(json.dumps(shown, ensure_ascii=False) for shown, _ in self.choices)
        self.expected = f"one of {listed}"

    def schema(self) -> JsonSchema:
        values = [shown for shown, _ in self.choices]
        names = {_JSON_TYPES.get(type(value)) for value in values}
        schema: JsonSchema = {"enum": values}
        only = names.pop() if len(names) == 1 else None
        return {"type": only, **schema} if only else schema

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        for shown, meant in self.choices:
            if type(shown) is type(value) and shown == value:
                return meant
        if exact or value is None or isinstance(value, bool | list | dict):
            raise self.refuse(value, path)
        said = str(value).strip().lower()
        for shown, meant in self.choices:
            if str(shown).lower() == said:
                return meant
        for name, meant in self.aliases.items():
            if name.lower() == said:
                return meant
        raise self.refuse(value, path)

    def accepts_null(self) -> bool:
        return any(shown is None for shown, _ in self.choices)


@dataclass
class ArrayType(ToolType):
    """A list of like things; `build` makes the Python collection."""

    item: ToolType
    build: Callable[[Iterable[Any]], Any] = list
    unique: bool = False

    expected = "a list"

    def schema(self) -> JsonSchema:
        schema: JsonSchema = {"type": "array", "items": self.item.schema()}
        return {**schema, "uniqueItems": True} if self.unique else schema

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        value = value if exact else _decode_json_text(value, "[")
        if not isinstance(value, list):
            raise self.refuse(value, path)
        items = [self.item.parse(item, f"{path}[{i}]", exact=exact) for i, item in enumerate(value)]
        try:
            return self.build(items)
        except TypeError:  # an unhashable member of a set
            raise self.refuse(value, path) from None


@dataclass
class TupleType(ToolType):
    """A list of fixed length, each place with its own type."""

    items: list[ToolType]

    def __post_init__(self) -> None:
        places = ", ".join(item.expected for item in self.items)
        self.expected = f"a list of exactly {len(self.items)} ({places})"

    def schema(self) -> JsonSchema:
        kinds: list[JsonSchema] = []
        for item in self.items:
            if (schema := item.schema()) not in kinds:
                kinds.append(schema)
        # `prefixItems` would be exact, but several vendors refuse a schema that has it.
        items = kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}
        count = len(self.items)
        return {
            "type": "array",
            "items": items,
            "minItems": count,
            "maxItems": count,
            "description": self.expected,
        }

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        value = value if exact else _decode_json_text(value, "[")
        if not isinstance(value, list) or len(value) != len(self.items):
            raise self.refuse(value, path)
        pairs = zip(self.items, value, strict=True)
        return tuple(kind.parse(item, f"{path}[{i}]", exact=exact) for i, (kind, item) in enumerate(pairs))


@dataclass
class MapType(ToolType):
    """An object whose keys are free and whose values are alike."""

    value: ToolType

    expected = "an object"

    def schema(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": self.value.schema() or True}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        value = value if exact else _decode_json_text(value, "{")
        if not isinstance(value, dict):
            raise self.refuse(value, path)
        return {key: self.value.parse(item, f"{path}.{key}", exact=exact) for key, item in value.items()}


@dataclass
class Field:
    """A member of an `ObjectType`; `default` is JSON and shown to the model when `has_default`."""

    name: str
    type: ToolType
    required: bool = True
    description: str = ""
    has_default: bool = False
    default: Any = None

    def schema(self) -> JsonSchema:
        schema = self.type.schema()
        if self.description:
            schema = {**schema, "description": self.description}
        if self.has_default:
            schema = {**schema, "default": self.default}
        return schema

    def missing(self, path: str) -> str:
        about = f": {self.description}" if self.description else ""
        return f'argument "{path}" is missing (expected {self.type.expected}{about})'


@dataclass
class ObjectType(ToolType):
    """An object of named members.

    Attributes:
        fields: in the order of their definition.
        build: makes the Python value from the members that were given.
        open: other members are let through, as JSON Schema does unless told not to.
    """

    fields: list[Field]
    build: Callable[[dict[str, Any]], Any] = dict
    open: bool = False

    expected = "an object"

    def schema(self) -> JsonSchema:
        return {
            "type": "object",
            "properties": {f.name: f.schema() for f in self.fields},
            "required": [f.name for f in self.fields if f.required],
            "additionalProperties": self.open,
        }

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        value = value if exact else _decode_json_text(value, "{")
        if not isinstance(value, Mapping):
            raise self.refuse(value, path or "arguments")
        members, problems = self._parse_members(value, path, exact)
        if problems:
            raise ToolArgumentError("; ".join(problems))
        try:
            return self.build(members)
        except (TypeError, ValueError) as error:  # the class's own check, such as `__post_init__`
            raise ToolArgumentError(f'argument "{path or "arguments"}": {error}') from error

    def _parse_members(
        self, value: Mapping[str, Any], path: str, exact: bool
    ) -> tuple[dict[str, Any], list[str]]:
        prefix = f"{path}." if path else ""
        known = {f.name for f in self.fields}
        members: dict[str, Any] = {}
        problems: list[str] = []
        for spec in self.fields:
            given = value.get(spec.name)
            if given is None and not spec.required and not spec.type.accepts_null():
                continue  # models write null where they mean "left out"
            if spec.name not in value:
                if spec.required:
                    problems.append(spec.missing(prefix + spec.name))
                continue
            try:
                members[spec.name] = spec.type.parse(given, prefix + spec.name, exact=exact)
            except ToolArgumentError as error:
                problems.append(str(error))
        for name in value:
            if name in known:
                continue
            if self.open:
                members[name] = value[name]
            else:
                names = ", ".join(f.name for f in self.fields) or "none"
                problems.append(f'argument "{prefix}{name}" is unknown (known: {names})')
        return members, problems


@dataclass
class UnionType(ToolType):
    members: list[ToolType]

    def __post_init__(self) -> None:
        self.expected = " or ".join(dict.fromkeys(member.expected for member in self.members))

    def schema(self) -> JsonSchema:
        return {"anyOf": [member.schema() for member in self.members]}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        if value is None and self.accepts_null():
            return None
        concrete = [member for member in self.members if not isinstance(member, NullType)]
        if len(concrete) == 1:  # its own complaint is more exact than a list of alternatives
            return concrete[0].parse(value, path, exact=exact)
        for strictly in (True,) if exact else (True, False):
            for member in concrete:
                with contextlib.suppress(ToolArgumentError):
                    return member.parse(value, path, exact=strictly)
        raise self.refuse(value, path)

    def accepts_null(self) -> bool:
        return any(member.accepts_null() for member in self.members)


@dataclass
class DescribedType(ToolType):
    """A type with a description, and perhaps other JSON Schema keywords, of its own."""

    inner: ToolType
    description: str = ""
    keywords: JsonSchema = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.expected = self.inner.expected

    def schema(self) -> JsonSchema:
        about = {"description": self.description} if self.description else {}
        return {**self.inner.schema(), **self.keywords, **about}

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        return self.inner.parse(value, path, exact=exact)

    def accepts_null(self) -> bool:
        return self.inner.accepts_null()


_JSON_TYPES: dict[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def _decode_json_text(value: Any, opening: str) -> Any:
    """Undo a list or an object that a model encoded a second time, as text."""
    if isinstance(value, str) and value.lstrip().startswith(opening):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
