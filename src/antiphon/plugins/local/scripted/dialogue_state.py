"""Where a scripted conversation stands, and the assistant's turns in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .slots import Value

UNHEARD = "unheard"  # the name of a confirmation that the caller has not heard to its last value


@dataclass(frozen=True)
class Task:
    """An intent under way."""

    intent: str
    slots: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """What the assistant asked last.

    Attributes:
        kind: a slot's value, a confirmation, or whether to start (`offer`) or go on with (`resume`) something.
        name: the slot, or the intent offered; `UNHEARD` for a confirmation that "yes" does not answer yet.
        heard_after: how many words of the reply the caller must have heard for the question to count.
    """

    kind: Literal["slot", "confirm", "offer", "resume"]
    name: str = ""
    heard_after: int = 0


@dataclass(frozen=True)
class State:
    """Where a conversation stands.

    Attributes:
        task: what is being done.
        question: what was asked last; None when the floor is open.
        suspended: a task that the caller left for another.
        later: a second request of the same turn, in the caller's words, for when the first is done.
        recent: the last task done or called off, for "and on Sunday?" and "make it sixty".
        misses: turns in a row that were not understood.
        turns: the caller's turns so far.
        said: the reply to the last turn.
        cut: whether the caller did not hear it to its end.
    """

    task: Task | None = None
    question: Question | None = None
    suspended: Task | None = None
    later: str = ""
    recent: Task | None = None
    misses: int = 0
    turns: int = 0
    said: str = ""
    cut: bool = False


@dataclass(frozen=True)
class Call:
    """A tool to run for a task."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Turn:
    """The assistant's turn: the state after it, its words, and the tool it calls, if any."""

    state: State
    say: str = ""
    call: Call | None = None
