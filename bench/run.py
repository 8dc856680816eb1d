"""Runs the benches, prints a table and JSON, and keeps the JSON in `bench/results/`."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from antiphon.models.errors import AntiphonError

from . import peers, rig
from .measurement import ROOT, Plan, Row, conditions

# In the order in which they run; each is a module with `measure(plan) -> list[Row]`.
BENCHES = ("imports", "vad", "speech", "sessions", "store", "telephony", "rig")


def table(rows: list[Row]) -> str:
    """A Markdown table; the advantage is how many times better than the best peer."""
    names = sorted({name for row in rows for name in row.peers})
    head = ["", "unit", "antiphon", "budget", *names, "advantage", "note"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        ours = "–" if row.ours is None else f"{row.ours:g}"
        if row.within_budget is not None:
            ours += " ✓" if row.within_budget else " ✗"
        budget = "" if row.budget is None else f"{'≥' if row.higher_is_better else '≤'} {row.budget:g}"
        others = [f"{row.peers[name]:g}" if name in row.peers else "" for name in names]
        advantage = "" if row.advantage is None else f"{row.advantage:.1f}×"
        lines.append(
            "| " + " | ".join([row.what, row.unit, ours, budget, *others, advantage, row.note]) + " |"
        )
    return "\n".join(lines)


def run(names: list[str], plan: Plan) -> dict[str, Any]:
    """Run the named benches one after another. One that fails is reported as such and does not stop the others."""
    document: dict[str, Any] = {"conditions": conditions(), "quick": plan.quick, "benches": {}}
    rows: list[Row] = []
    for name in names:
        print(f"-- {name}", file=sys.stderr, flush=True)
        started = time.monotonic()
        try:
            measured = importlib.import_module(f"bench.{name}").measure(plan)
        except (AntiphonError, ImportError, RuntimeError, OSError) as error:
            measured = [Row(name, "", None, note=f"failed: {error}".splitlines()[0])]
            print(f"{name} failed: {error}", file=sys.stderr)
        rows += measured
        document["benches"][name] = {
            "seconds": round(time.monotonic() - started, 1),
            "rows": [row.as_json() for row in measured],
        }
    document["conditions_at_end"] = conditions()
    document["table"] = table(rows)
    return document


def page(document: dict[str, Any]) -> str:
    """The table with what it takes to read it, as Markdown."""
    start, end = document["conditions"], document["conditions_at_end"]
    packages = "; ".join(" ".join(names) for names in peers.PACKAGES.values())
    return (
        "# Results\n\n"
        f"`make bench BENCH={' '.join(sys.argv[1:])!r}` on {start['cpus']} cores, Python {start['python']}, {start['time']} to "
        f"{end['time']}; load at the start {start['load'][0]}, at the end {end['load'][0]}. Beside Antiphon: {packages}.\n\n"
        "Overhead is the time from end of speech to the first audio less the providers' own, which are fake and keep time "
        "exactly. Barge-in is the time from the caller's first sample to the last sample of the agent. Advantage is over the "
        "best peer. The rig's floor, a loop without any framework that knows when speech ends, is in the notes.\n\n"
    ) + f"{document['table']}\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("benches", nargs="*", metavar="bench", help=f"of {', '.join(BENCHES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a few minutes in all, with more noise")
    parser.add_argument("--rig", type=Path, default=rig.default_location(), help="default: $ANTIPHON_RIG")
    parser.add_argument("--no-peers", action="store_true", help="measure Antiphon alone")
    parser.add_argument("--turns", type=int, help="turns of each rig run; default 24, with --quick 6")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each rig stage, pooled")
    parser.add_argument(
        "--search-max", action="store_true", help="search the most sessions on one core (15 minutes)"
    )
    parser.add_argument("--keep", action="store_true", help="also write the table to bench/RESULTS.md")
    parser.add_argument("--json", action="store_true", help="print the JSON document instead of the table")
    options = parser.parse_args(arguments)
    unknown = set(options.benches) - set(BENCHES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(BENCHES)}")
    found = {}
    if not options.no_peers:
        for name, why in peers.install().items():
            print(f"{name} cannot be had and will be missing from the table: {why}", file=sys.stderr)
        found = peers.available()
    plan = Plan(
        quick=options.quick,
        rig=options.rig,
        peers=found,
        turns=options.turns or (6 if options.quick else 24),
        search_max=options.search_max,
        repeats=options.repeats,
    )
    document = run(options.benches or list(BENCHES), plan)
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    path = results / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(document, indent=1) + "\n")
    if options.keep:
        (ROOT / "bench" / "RESULTS.md").write_text(page(document))
    print(json.dumps(document) if options.json else document["table"])
    print(f"JSON: {path.relative_to(ROOT)}", file=sys.stderr)
    return 0
