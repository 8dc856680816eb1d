"""Filters in SQLite's words. Indexed paths are generated columns; the others are taken from the JSON text."""

from __future__ import annotations

from .documents import UNIQUE, Collection
from .filters import Condition, OneOf, Prefix, Range, Where

# Kept beside the JSON, because SQLite reads numbers from text to the last bit but one, and pages must not skip a document.
_OWN_COLUMNS = {"id": "id", "created_at": "created_at"}


def column(path: str) -> str:
    """The generated column of an indexed path."""
    return '"f_' + path + '"'


def json_path(path: str) -> str:
    return "$" + "".join(f'."{name}"' for name in path.split("."))


def generated(collection: Collection) -> list[str]:
    """The paths that have a generated column."""
    return [
        *collection.indexed,
        *collection.system_indexed,
        *(f"{UNIQUE}.{name}" for name in collection.unique),
    ]


def expression(collection: Collection, path: str) -> str:
    if path in _OWN_COLUMNS:
        return _OWN_COLUMNS[path]
    if path in generated(collection):
        return column(path)
    return f"json_extract(body, '{json_path(path)}')"


def where_clause(collection: Collection, where: Where) -> tuple[str, list[object]]:
    """The condition for `where`, which was checked, and its parameters."""
    clauses, parameters = ["1"], list[object]()
    for path, condition in where.items():
        clause, values = _condition(
            expression(collection, path),
            path,
            condition,
            numeric=path == "created_at" or path in collection.system_indexed,
        )
        clauses.append(clause)
        parameters += values
    return " AND ".join(clauses), parameters


def _condition(
    value: str, path: str, condition: Condition, *, numeric: bool = False
) -> tuple[str, list[object]]:
    """The condition on one value; `numeric`: it is a number or null, as the store made it.

    Looking at its kind in the JSON means parsing the document, so that is left out where the comparison alone is enough.
    """
    kind = f"json_type(body, '{json_path(path)}')"
    operators = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    match condition:
        case None:
            return f"{value} IS NULL", []
        case bool():
            return f"({value} = {int(condition)} AND {kind} = '{str(condition).lower()}')", []
        case str() if not numeric and _is_plain(condition):
            return f"{value} = ?", [condition]
        case int() | float() if numeric:
            return f"{value} = ?", [condition]
        case int() | float():
            return f"({value} = ? AND {kind} IN ('integer', 'real'))", [condition]
        case str():
            return f"({value} = ? AND {kind} = 'text')", [condition]
        case Range():
            limits = condition.limits()
            if numeric and not isinstance(next(iter(limits.values())), str):
                return " AND ".join(f"{value} {operators[name]} ?" for name in limits), [*limits.values()]
            kinds = "'text'" if isinstance(next(iter(limits.values())), str) else "'integer', 'real'"
            tests = [f"{value} {operators[name]} ?" for name in limits]
            return f"({' AND '.join(tests)} AND {kind} IN ({kinds}))", [*limits.values()]
        case Prefix(text):
            return f"({value} >= ? AND substr({value}, 1, ?) = ? AND {kind} = 'text')", [
                text,
                len(text),
                text,
            ]
        case OneOf(values):
            if values and not numeric and all(isinstance(one, str) and _is_plain(one) for one in values):
                return f"{value} IN ({', '.join('?' * len(values))})", [*values]
            parts = [_condition(value, path, one, numeric=numeric) for one in values]
            clause = " OR ".join(clause for clause, _ in parts) or "0"
            return f"({clause})", [parameter for _, parameters in parts for parameter in parameters]


def _is_plain(text: str) -> bool:
    """Whether no list or object, which SQLite gives as their JSON text, can be taken for this text."""
    return not text.startswith(("[", "{"))
