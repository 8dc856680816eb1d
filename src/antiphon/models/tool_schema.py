"""From a Python signature, or from a JSON Schema, to the types of a tool's arguments."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import enum
import inspect
import re
import types
import typing
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from .errors import ConfigurationError
from .tool_types import (
    AnyType,
    ArrayType,
    BooleanType,
    ChoiceType,
    DecimalType,
    DescribedType,
    Field,
    FormattedStringType,
    IntegerType,
    JsonSchema,
    MapType,
    NullType,
    NumberType,
    ObjectType,
    StringType,
    ToolArgumentError,
    ToolType,
    TupleType,
    UnionType,
)


class ToolDefinitionError(ConfigurationError, TypeError):
    """A function cannot be offered to a model as it is written."""


def resolve_annotation(
    annotation: Any, module_names: Mapping[str, Any], local_names: Mapping[str, Any]
) -> Any:
    """Evaluate one annotation, which is text under `from __future__ import annotations`.

    Raises:
        NameError: the annotation names something that is not known (yet).
    """
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    hints = typing.get_type_hints(holder, dict(module_names), dict(local_names), include_extras=True)
    return hints["it"]


def type_for_hint(
    hint: Any, local_names: Mapping[str, Any] | None = None, _inside: tuple[Any, ...] = ()
) -> ToolType:
    """Choose the argument type for a Python type hint.

    Args:
        hint: an evaluated hint, as `typing.get_type_hints(include_extras=True)` gives it.
        local_names: names for the hints inside dataclasses and typed dictionaries.

    Raises:
        ToolDefinitionError: no JSON can be made into such a value.
    """
    names = local_names or {}
    if hint is Any or hint is object or hint is inspect.Parameter.empty:
        return AnyType()
    origin = typing.get_origin(hint)
    if origin is not None:  # asked first: an Annotated with a list in it cannot be looked up
        return _generic(hint, origin, names, _inside)
    if hint in _PLAIN:
        return _PLAIN[hint]()
    if any(hint is outer for outer in _inside):
        raise ToolDefinitionError(f"{hint.__name__} contains itself, which a tool argument cannot")
    if hasattr(hint, "__supertype__"):  # typing.NewType
        return type_for_hint(hint.__supertype__, names, _inside)
    if type(hint).__name__ == "TypeAliasType":
        return type_for_hint(hint.__value__, names, _inside)
    if hint in _BARE_COLLECTIONS:
        return _BARE_COLLECTIONS[hint]()
    if isinstance(hint, type):
        return _class(hint, names, _inside)
    raise ToolDefinitionError(f"{hint!r} is not a type that a model can fill in")


def _generic(hint: Any, origin: Any, names: Mapping[str, Any], inside: tuple[Any, ...]) -> ToolType:
    args = typing.get_args(hint)
    if origin is typing.Annotated:
        return _annotated(type_for_hint(args[0], names, inside), args[1:])
    if origin in (typing.Required, typing.NotRequired) or origin is typing.Final:
        return type_for_hint(args[0], names, inside)
    if origin is typing.Literal:
        return ChoiceType([(_plain_value(value), value) for value in args])
    if origin in (typing.Union, types.UnionType):
        return UnionType([type_for_hint(arg, names, inside) for arg in args])
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return ArrayType(type_for_hint(args[0], names, inside), tuple)
        return TupleType([type_for_hint(arg, names, inside) for arg in args])
    if origin in _COLLECTIONS:
        build, unique = _COLLECTIONS[origin]
        return ArrayType(type_for_hint(args[0], names, inside), build, unique)
    if origin in (dict, collections.abc.Mapping, collections.abc.MutableMapping):
        if args[0] is not str:
            raise ToolDefinitionError(f"{hint!r}: the keys of a JSON object are text, so use dict[str, ...]")
        return MapType(type_for_hint(args[1], names, inside))
    if isinstance(origin, type):
        return _class(origin, names, inside)
    raise ToolDefinitionError(f"{hint!r} is not a type that a model can fill in")


def _annotated(inner: ToolType, extras: Iterable[Any]) -> ToolType:
    for extra in extras:
        # A plain string, or anything with a `description` such as `pydantic.Field(description=...)`.
        text = extra if isinstance(extra, str) else getattr(extra, "description", None)
        if isinstance(text, str) and text:
            return DescribedType(inner, text)
    return inner


def _class(hint: type, names: Mapping[str, Any], inside: tuple[Any, ...]) -> ToolType:
    if issubclass(hint, enum.Enum):
        return ChoiceType(
            [(_plain_value(member.value), member) for member in hint],
            aliases=dict(hint.__members__),
        )
    if typing.is_typeddict(hint):
        return _typed_dict(hint, names, (*inside, hint))
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint, names, (*inside, hint))
    if callable(getattr(hint, "model_json_schema", None)) and callable(getattr(hint, "model_validate", None)):
        return PydanticType(hint)
    raise ToolDefinitionError(
        f"{hint.__name__} is not a type that a model can fill in: use str, int, float, bool, a list or dict of "
        "them, Literal, an Enum, a dataclass, a TypedDict or a pydantic model"
    )


def _members(hint: type, names: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(hint, localns=dict(names), include_extras=True)
    except NameError as error:
        raise ToolDefinitionError(f"{hint.__name__}: {error}") from None


def _typed_dict(hint: type, names: Mapping[str, Any], inside: tuple[Any, ...]) -> ToolType:
    described = parse_docstring(hint.__doc__ or "").arguments
    always: frozenset[str] = getattr(hint, "__required_keys__", frozenset())
    fields = []
    for name, member in _members(hint, names).items():
        wrapper = typing.get_origin(member)
        # `__required_keys__` is wrong for NotRequired under `from __future__ import annotations`.
        required = wrapper is typing.Required or (wrapper is not typing.NotRequired and name in always)
        fields.append(Field(name, type_for_hint(member, names, inside), required, described.get(name, "")))
    return ObjectType(fields)


def _dataclass(hint: type, names: Mapping[str, Any], inside: tuple[Any, ...]) -> ToolType:
    described = parse_docstring(hint.__doc__ or "").arguments
    members = _members(hint, names)
    fields = []
    for member in dataclasses.fields(hint):
        if not member.init:
            continue
        required = member.default is dataclasses.MISSING and member.default_factory is dataclasses.MISSING
        kind = type_for_hint(members[member.name], names, inside)
        fields.append(make_field(member.name, kind, required, described.get(member.name, ""), member.default))
    return ObjectType(fields, build=lambda given: hint(**given))


def make_field(name: str, kind: ToolType, required: bool, description: str, default: Any) -> Field:
    """A member whose default is shown to the model when JSON can express it."""
    if required:
        return Field(name, kind, True, description)
    shown = _plain_value(default)
    expressible = isinstance(shown, str | int | float | bool | list | dict)
    if default is None and not kind.accepts_null():
        kind = UnionType([kind, NullType()])
    return Field(
        name, kind, False, description, expressible or default is None, shown if expressible else None
    )


def _plain_value(value: Any) -> Any:
    """The JSON form of a default or a choice, or the value itself when there is none."""
    if isinstance(value, enum.Enum):
        return _plain_value(value.value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, tuple | set | frozenset):
        return [_plain_value(item) for item in value]
    return value


class PydanticType(ToolType):
    """A pydantic model, which describes and checks itself. pydantic is never imported here."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.expected = "an object"
        self._schema = _inline_references(model.model_json_schema())

    def schema(self) -> JsonSchema:
        return self._schema

    def parse(self, value: Any, path: str, *, exact: bool = False) -> Any:
        if not isinstance(value, dict):
            raise self.refuse(value, path)
        try:
            return self._model.model_validate(value)
        except ValueError as error:
            found = getattr(error, "errors", None)
            if not callable(found):
                raise ToolArgumentError(f'argument "{path}": {error}') from error
            problems = [
                f'argument "{".".join([path, *map(str, item["loc"])])}": {item["msg"]}' for item in found()
            ]
            raise ToolArgumentError("; ".join(problems)) from error


def _inline_references(schema: JsonSchema) -> JsonSchema:
    """Put each `$ref` target in its place: a reference would not resolve once the schema is nested."""
    definitions: dict[str, Any] = schema.get("$defs", {})

    def walk(node: Any, open_names: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [walk(item, open_names) for item in node]
        if not isinstance(node, dict):
            return node
        if isinstance(reference := node.get("$ref"), str):
            name = reference.rsplit("/", 1)[-1]
            if name in open_names:
                raise ToolDefinitionError(f"{name} contains itself, which a tool argument cannot")
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**walk(definitions[name], (*open_names, name)), **rest}
        return {key: walk(value, open_names) for key, value in node.items() if key != "$defs"}

    inlined: JsonSchema = walk(schema, ())
    return inlined


def type_for_schema(schema: Mapping[str, Any]) -> ToolType:
    """The type that checks arguments against a JSON Schema written elsewhere.

    Keywords that are not understood (and `$ref`) are let through: whoever wrote the schema checks those.
    """
    if "enum" in schema:
        return ChoiceType([(value, value) for value in schema["enum"]])
    if "const" in schema:
        return ChoiceType([(schema["const"], schema["const"])])
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            return UnionType([type_for_schema(option) for option in schema[keyword]])
    kind = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        return UnionType([type_for_schema({**schema, "type": name}) for name in kind])
    if kind == "object":
        return _object_for_schema(schema)
    if kind == "array":
        items = schema.get("items")
        return ArrayType(type_for_schema(items) if isinstance(items, Mapping) else AnyType())
    return _SCHEMA_TYPES.get(kind, AnyType)() if isinstance(kind, str) else AnyType()


def _object_for_schema(schema: Mapping[str, Any]) -> ToolType:
    others = schema.get("additionalProperties", True)
    if "properties" not in schema and others is not False:
        return MapType(type_for_schema(others) if isinstance(others, Mapping) else AnyType())
    required = schema.get("required", ())
    fields = [
        Field(name, type_for_schema(member), name in required, str(member.get("description", "")))
        for name, member in schema.get("properties", {}).items()
    ]
    return ObjectType(fields, open=others is not False)


@dataclasses.dataclass
class Docstring:
    """What a docstring says: the text before its first section, and each argument's description."""

    description: str
    arguments: dict[str, str]


_SECTION = re.compile(r"^(?P<name>[A-Z][A-Za-z ]*):\s*$")
_ARGUMENT_SECTIONS = ("Args", "Arguments", "Parameters", "Attributes", "Keyword Args")
_ARGUMENT = re.compile(r"^\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)$")


def parse_docstring(text: str) -> Docstring:
    """Read a Google-style docstring.

    Source: Google Python Style Guide, section 3.8 "Comments and Docstrings".
    """
    description: list[str] = []
    arguments: dict[str, list[str]] = {}
    section: str | None = None
    indent: int | None = None
    current: list[str] | None = None
    for line in inspect.cleandoc(text).splitlines():
        if header := _SECTION.match(line):
            section, indent, current = header["name"], None, None
            continue
        if section is None:
            description.append(line)
            continue
        if section not in _ARGUMENT_SECTIONS or not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        indent = depth if indent is None else indent
        entry = _ARGUMENT.match(line.strip()) if depth <= indent else None
        if entry:
            current = arguments.setdefault(entry["name"], [])
            current.append(entry["text"])
        elif current is not None:
            current.append(line.strip())
    return Docstring(
        "\n".join(description).strip(),
        {name: " ".join(part for part in parts if part) for name, parts in arguments.items()},
    )


def _format(name: str, expected: str, read: Callable[[str], Any]) -> Callable[[], ToolType]:
    return lambda: FormattedStringType(name, expected, read)


_PLAIN: dict[Any, Callable[[], ToolType]] = {
    str: StringType,
    int: IntegerType,
    float: NumberType,
    bool: BooleanType,
    None: NullType,
    type(None): NullType,
    Decimal: DecimalType,
    datetime.date: _format("date", "a date such as 2026-01-31", datetime.date.fromisoformat),
    datetime.time: _format("time", "a time such as 14:30", datetime.time.fromisoformat),
    datetime.datetime: _format(
        "date-time", "a date and time such as 2026-01-31T14:30", datetime.datetime.fromisoformat
    ),
    uuid.UUID: _format("uuid", "a UUID", uuid.UUID),
}

_COLLECTIONS: dict[Any, tuple[Callable[[Iterable[Any]], Any], bool]] = {
    list: (list, False),
    collections.abc.Sequence: (list, False),
    collections.abc.MutableSequence: (list, False),
    collections.abc.Iterable: (list, False),
    collections.abc.Collection: (list, False),
    set: (set, True),
    collections.abc.Set: (set, True),
    collections.abc.MutableSet: (set, True),
    frozenset: (frozenset, True),
}

_BARE_COLLECTIONS: dict[Any, Callable[[], ToolType]] = {
    list: lambda: ArrayType(AnyType()),
    tuple: lambda: ArrayType(AnyType(), tuple),
    set: lambda: ArrayType(AnyType(), set, unique=True),
    frozenset: lambda: ArrayType(AnyType(), frozenset, unique=True),
    dict: lambda: MapType(AnyType()),
}

_SCHEMA_TYPES: dict[str, Callable[[], ToolType]] = {
    "string": StringType,
    "integer": IntegerType,
    "number": NumberType,
    "boolean": BooleanType,
    "null": NullType,
}
