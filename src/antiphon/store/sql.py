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
        clause, values = _condition(expression(collection, path), path, condition)
        clauses.append(clause)
        parameters += values
    return " AND ".join(clauses), parameters


def _condition(value: str, path: str, condition: Condition) -> tuple[str, list[object]]:
    kind = f"json_type(body, '{json_path(path)}')"
    operators = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    match condition:
        case None:
            return f"{value} IS NULL", []
        case bool():
            return f"({value} = {int(condition)} AND {kind} = '{str(condition).lower()}')", []
        case int() | float():
            return f"({value} = ? AND {kind} IN ('integer', 'real'))", [condition]
        case str():
            return f"({value} = ? AND {kind} = 'text')", [condition]
        case Range():
            limits = condition.limits()
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
            parts = [_condition(value, path, one) for one in values]
            clause = " OR ".join(clause for clause, _ in parts) or "0"
            return f"({clause})", [parameter for _, parameters in parts for parameter in parameters]
