"""What every log record of a call says about it: its id, its assistant, its job.

The fields live in a context variable. Tasks inherit them from whoever starts them; a thread has them when its function was
given to `asyncio.to_thread`, or wrapped in `carrying_context`.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_fields: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar(
    "log_fields", default=MappingProxyType({})
)

# What logging itself puts on a record; everything else came with `extra=`.
_OWN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "fields", "taskName"}


def current_fields() -> Mapping[str, Any]:
    """The fields that a record would carry if it were written here."""
    return _fields.get()


def bind(**fields: Any) -> contextvars.Token[Mapping[str, Any]]:
    """Give all that the running task does from now on, and the tasks it starts, these fields as well.

    The owner of a call does this first in the call's task, as in `bind(call_id=…, assistant=…)`. None removes a field.
    """
    merged = {**_fields.get(), **fields}
    return _fields.set({name: value for name, value in merged.items() if value is not None})


@contextlib.contextmanager
def log_fields(**fields: Any) -> Iterator[None]:
    """Like `bind`, for the records inside."""
    token = bind(**fields)
    try:
        yield
    finally:
        _fields.reset(token)


def carrying_context(function: Callable[P, R]) -> Callable[P, R]:
    """`function` for another thread: it runs with the context of here, fields included, however often it is called."""
    context = contextvars.copy_context()

    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return carried


class ContextFields(logging.Filter):
    """Puts the fields of the context, and those given as `extra`, on the record, as the mapping `record.fields`."""

    def filter(self, record: logging.LogRecord) -> bool:
        extra = {name: value for name, value in vars(record).items() if name not in _OWN_ATTRIBUTES}
        record.fields = {**_fields.get(), **getattr(record, "fields", {}), **extra}
        return True
