"""Deadlines of those who wait for an answer: a request has seconds, where work in the background has its time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Hurry:
    """Somebody waits for an answer.

    Attributes:
        seconds: what one operation of the store may take.
        over: the answer was given; what goes on afterwards may take its time.
        failed: the database did not answer in time; whatever else is asked of it for this answer fails at once.
    """

    seconds: float
    over: bool = False
    failed: bool = False


_HURRY: ContextVar[Hurry | None] = ContextVar("antiphon_store_hurry", default=None)


@contextmanager
def hurried(seconds: float) -> Iterator[Hurry]:
    """Operations inside, and of tasks made inside, take `seconds` at most, until the end or `over` is set."""
    hurry = Hurry(seconds)
    token = _HURRY.set(hurry)
    try:
        yield hurry
    finally:
        hurry.over = True
        _HURRY.reset(token)


def hurry_now() -> Hurry | None:
    """Of whom an operation is now, if they are in a hurry."""
    hurry = _HURRY.get()
    return None if hurry is None or hurry.over else hurry


def seconds_allowed(deadline: float) -> float:
    """What an operation may take that has `deadline` seconds when nobody is in a hurry."""
    hurry = hurry_now()
    return deadline if hurry is None else min(deadline, hurry.seconds)
