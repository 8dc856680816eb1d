"""The state diagrams of the SIP transactions, from their tables."""

from __future__ import annotations

from antiphon.sip.transaction import INITIAL, TABLES, TIMERS, Kind, State


def drawing(kind: Kind) -> list[str]:
    """One machine as a Mermaid drawing; rows that lead from the same state to the same state share an arrow."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (state, happened), (after, _) in TABLES[kind].items():
        arrows.setdefault((state, after), []).append(happened.value)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {INITIAL[kind].value}"]
    for (state, after), causes in arrows.items():
        end = "[*]" if after is State.TERMINATED else after.value
        lines.append(f"    {state.value} --> {end}: {', '.join(causes)}")
    return [*lines, "```"]


def table(kind: Kind) -> list[str]:
    """One machine row by row: state, input, next state, what is done; and the timers of each state."""
    lines = ["| in | what happens | then | what is done |", "|---|---|---|---|"]
    for (state, happened), (after, actions) in TABLES[kind].items():
        done = ", ".join(action.value for action in actions) or "–"
        lines.append(f"| {state.value} | {happened.value} | {after.value} | {done} |")
    running = [
        f"{state.value}: {', '.join(timer.name for timer in timers)}"
        for (owner, state), timers in TIMERS.items()
        if owner is kind
    ]
    return [*lines, "", f"Timers by state: {'; '.join(running)}."]


def page() -> str:
    """All four machines."""
    parts: list[str] = []
    for kind in Kind:
        parts += [f"## {kind.value[0].upper()}{kind.value[1:]}", "", *drawing(kind), "", *table(kind), ""]
    return "\n".join(parts).rstrip() + "\n"
