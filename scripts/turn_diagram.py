"""The states of the agent, found by playing conversations to the turn-taking machine.

The machine derives what the agent appears to be doing, so there is no table to draw. Instead this walks breadth-first
through everything that can happen next, one representative for each situation, and writes down which event led from
one state of the agent to another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from antiphon.turns import (
    AgentState,
    Close,
    EndOfTurnScored,
    Event,
    Final,
    Hold,
    Interim,
    InterruptRequested,
    PlayoutFinished,
    PlayoutStarted,
    ReplyEnded,
    ReplyQueued,
    ReplyReady,
    SpeechContinues,
    SpeechEnded,
    SpeechStarted,
    TextInput,
    TimerFired,
    TurnState,
    Weight,
    step,
)
from antiphon.turns.state import Playing, Released

PACE = 0.2  # seconds between two events, unless a timer is due before
MOST_REPLIES = 2

# How the events read in the drawing.
SAID = {
    SpeechStarted: "user starts to speak",
    SpeechContinues: "user goes on speaking",
    SpeechEnded: "user stops speaking",
    Interim: "interim transcript",
    Final: "final transcript",
    EndOfTurnScored: "the detector's answer",
    TextInput: "typed text",
    Hold: "hold or resume",
    Close: "close",
    InterruptRequested: "interrupt()",
    ReplyQueued: "say()",
    ReplyReady: "reply is ready",
    ReplyEnded: "reply came to nothing",
    PlayoutStarted: "first sample played",
    PlayoutFinished: "last sample played",
}


@dataclass(frozen=True)
class Move:
    before: AgentState
    label: str
    after: AgentState


def _possible(state: TurnState, now: float, count: int) -> Iterator[Event]:
    """What the outside world could do next."""
    if state.phase == "held":
        yield from (Hold(False), Close())
        return
    overlap = state.overlap
    if overlap is None or not overlap.active:
        yield SpeechStarted(now)
    elif not overlap.by_text:
        yield SpeechContinues(now - overlap.started)
        yield SpeechEnded(now)
    yield from (Interim(f"word {count}"), Final(f"words {count}"), TextInput(f"typed {count}"))
    yield Final(f"okay {count}", weight=Weight.ACKNOWLEDGEMENT)
    yield from (Hold(True), InterruptRequested(), Close())
    if state.pending.answer_due is not None:
        yield EndOfTurnScored(None, state.pending.text)
        yield EndOfTurnScored(1.0, state.pending.text)
    if len(state.replies) < MOST_REPLIES:
        yield ReplyQueued(f"said-{count}")
    for reply in state.replies:
        yield ReplyEnded(reply.id)
        if not reply.ready:
            yield ReplyReady(reply.id)
    match state.floor:
        case Released(reply):
            yield PlayoutStarted(reply.id)
            yield ReplyEnded(reply.id)
        case Playing(reply):
            yield PlayoutFinished(reply.id, 1.0)


def _situation(state: TurnState) -> tuple[object, ...]:
    """What makes two states the same for this purpose: no times, no texts, no names."""
    overlap = state.overlap
    heard = overlap and (overlap.active, overlap.by_text, overlap.words > 0, overlap.duration >= 0.5)
    pending = state.pending
    return (
        state.phase,
        state.agent,
        state.user,
        type(state.floor),
        tuple((reply.ready, reply.answers_turn) for reply in state.replies),
        heard,
        bool(pending.finals),
        bool(pending.interim),
        pending.speech_end is None,
        pending.answer_due is not None,
        state.speculation is not None,
        frozenset(name for name, _ in state.timers),
    )


def moves() -> list[Move]:
    """All changes of the agent's state that were found, in a fixed order."""
    found: set[Move] = set()
    start = TurnState()
    seen = {_situation(start)}
    waiting = deque([(start, 0.0, 0)])
    while waiting:
        state, now, count = waiting.popleft()
        due = min((at for _, at in state.timers), default=None)
        then = now + PACE if due is None else min(now + PACE, due)
        steps: list[tuple[Event, float]] = [(event, then) for event in _possible(state, then, count)]
        steps += [(TimerFired(name), at) for name, at in state.timers if at == due]
        for event, at in steps:
            after, _ = step(state, event, at)
            if after.agent is not state.agent:
                found.add(Move(state.agent, _label(event), after.agent))
            situation = _situation(after)
            if situation not in seen and after.phase != "closed":
                seen.add(situation)
                waiting.append((after, at, count + 1))
    order = list(AgentState)
    return sorted(found, key=lambda move: (order.index(move.before), order.index(move.after), move.label))


def _label(event: Event) -> str:
    if isinstance(event, TimerFired):
        return f"timer {event.name}"
    if isinstance(event, Final) and event.weight is Weight.ACKNOWLEDGEMENT:
        return "acknowledgement"
    return SAID[type(event)]


def page() -> str:
    """The drawing, and the same as a table."""
    by_ends: dict[tuple[AgentState, AgentState], list[str]] = {}
    for move in moves():
        by_ends.setdefault((move.before, move.after), []).append(move.label)
    drawing = ["```mermaid", "stateDiagram-v2", f"    [*] --> {AgentState.IDLE}"]
    drawing += [f"    {before} --> {after}" for before, after in by_ends]
    drawing.append("```")
    table = ["| from | to | by |", "|---|---|---|"]
    table += [f"| {before} | {after} | {', '.join(labels)} |" for (before, after), labels in by_ends.items()]
    return "\n".join(drawing) + "\n\n" + "\n".join(table) + "\n"
