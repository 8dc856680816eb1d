"""Runs the voice-agent rig: the same conversations, the same fake providers, one process for each framework.

The rig is a folder of its own (`ANTIPHON_RIG`, default `../shared/lab/rig` beside this repository). It is copied to a
temporary folder for each run, our adapter is laid beside its adapters, and nothing is written to the original.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .measurement import ROOT, Plan, Row, percentile

ADAPTER = ROOT / "bench" / "rig_antiphon.py"
OURS = "antiphon"
FLOOR = "null"
LATE_P99_MS = 20.0  # output later than one frame can be heard as a click
TIMEOUT = 420.0

Document = dict[str, Any]


def default_location() -> Path | None:
    """Where the rig is, if it is anywhere."""
    path = Path(os.environ.get("ANTIPHON_RIG") or ROOT.parent / "shared" / "lab" / "rig")
    return path if (path / "rig_common.py").exists() else None


@dataclass
class Rig:
    """A working copy of the rig; `interpreters` by the names that `rig.env` knows."""

    folder: Path
    interpreters: Mapping[str, str]

    def run(self, stage: str, only: Sequence[str], *arguments: str) -> dict[str, list[Document]]:
        """Run one stage of the rig's `run.py`; returns the documents that it added, by framework."""
        results = self.folder / "results" / f"{stage}.jsonl"
        before = len(results.read_text().splitlines()) if results.exists() else 0
        command = [sys.executable, "run.py", stage, "--only", ",".join(only), *arguments]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(
            command, cwd=self.folder, env=environment, stdout=sys.stderr, timeout=TIMEOUT * 8, check=True
        )
        documents: dict[str, list[Document]] = {name: [] for name in only}
        lines = results.read_text().splitlines()[before:] if results.exists() else []
        for document in map(json.loads, lines):
            documents[self._name(document["framework"])].append(document)
        return documents

    def _name(self, framework: str) -> str:
        return next(name for name in self.interpreters if framework.startswith(name))

    def error_of(self, name: str) -> str:
        """The last lines of what an adapter complained about."""
        path = self.folder / "results" / f"stderr-{name}.log"
        return " / ".join(path.read_text().strip().splitlines()[-3:]) if path.exists() else ""


@contextmanager
def working_copy(plan: Plan) -> Iterator[Rig]:
    """The rig in a temporary folder, with our adapter and those peers that can be had."""
    assert plan.rig is not None
    with tempfile.TemporaryDirectory(prefix="antiphon-rig-") as name:
        folder = Path(name)
        shutil.copytree(plan.rig, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        shutil.copyfile(ADAPTER, folder / "bench_antiphon.py")
        interpreters = {
            FLOOR: sys.executable,
            OURS: sys.executable,
            **{n: str(p) for n, p in plan.peers.items()},
        }
        lines = [f"{name}  {python}  bench_{name}.py" for name, python in interpreters.items()]
        (folder / "rig.env").write_text("\n".join(lines) + "\n")
        yield Rig(folder, interpreters)


def _pooled(documents: Sequence[Document], key: str, flag: str) -> list[float]:
    """One figure of all the turns of some runs, in milliseconds."""
    turns = [turn for document in documents for turn in document["turns"]]
    return [turn[key] * 1000 for turn in turns if turn.get(flag) and turn.get(key) is not None]


def _row(
    what: str, values: Mapping[str, float | None], budget: float | None, unit: str, **fields: Any
) -> Row:
    """A row of our value and the peers'; the floor goes to the note."""
    floor = values.get(FLOOR)
    note = f"without any framework: {floor:g}" if floor is not None else ""
    peers = {name: value for name, value in values.items() if name not in (OURS, FLOOR) and value is not None}
    return Row(what, unit, values.get(OURS), budget, peers, note=note, **fields)


def _percentiles(
    runs: Mapping[str, list[Document]], key: str, flag: str, q: float
) -> dict[str, float | None]:
    pooled = {name: _pooled(documents, key, flag) for name, documents in runs.items()}
    return {name: round(percentile(values, q), 1) if values else None for name, values in pooled.items()}


def _latency(rig: Rig, plan: Plan) -> list[Row]:
    rows = []
    for profile in ("matched",) if plan.quick else ("matched", "defaults"):
        runs = rig.run(
            "latency", list(rig.interpreters), "--turns", str(plan.turns), "--profiles", profile,
            "--repeat", str(plan.repeats),
        )  # fmt: skip
        budgets = {50: 25.0, 95: 30.0} if profile == "matched" else {}
        for q in (50, 95):
            values = _percentiles(runs, "overhead", "ok", q)
            rows.append(_row(f"reply overhead p{q} ({profile})", values, budgets.get(q), "ms"))
        rows.append(
            _row(f"reply after end of speech p50 ({profile})", _percentiles(runs, "m1", "ok", 50), None, "ms")
        )
        if profile == "matched":
            processing = _percentiles(runs, "proc", "ok", 95)
            rows.append(_row("of it processing p95", processing, 15.0, "ms"))
            for key, what in STAGES.items():
                rows.append(_row(f"of it {what} p50", _percentiles(runs, key, "ok", 50), None, "ms"))
            rows.append(_answered(rig, runs))
    return rows


# The rig's names for the stages of a reply: what each adds to the providers' own time.
STAGES = {
    "d_vad": "end of speech to the recogniser",
    "d_turn": "transcript to the model",
    "d_agg": "tokens to the voice",
    "d_out": "first audio to the listener",
}


def _answered(rig: Rig, runs: Mapping[str, list[Document]]) -> Row:
    def share(documents: list[Document]) -> float | None:
        total = sum(document["results"]["turns"] for document in documents)
        answered = sum(document["results"]["answered"] for document in documents)
        return round(100 * answered / total, 1) if total else None

    row = _row("turns answered", {n: share(d) for n, d in runs.items()}, 100.0, "%", higher_is_better=True)
    if row.ours is None:
        row.note = f"the adapter failed: {rig.error_of(OURS)}"
    return row


def _barge_in(rig: Rig, plan: Plan) -> list[Row]:
    names = [name for name in rig.interpreters if name != FLOOR]
    rows = []
    for profile in ("matched",) if plan.quick else ("matched", "defaults"):
        runs = rig.run(
            "bargein", names, "--turns", str(plan.turns), "--profiles", profile, "--repeat", str(plan.repeats)
        )
        budgets = {50: 200.0, 95: 230.0} if profile == "matched" else {}
        for q in (50, 95):
            values = _percentiles(runs, "m2", "stopped", q)
            rows.append(_row(f"barge-in to silence p{q} ({profile})", values, budgets.get(q), "ms"))
        stopped = {
            name: round(100 * statistics.mean(turn["stopped"] for d in docs for turn in d["turns"]), 1)
            for name, docs in runs.items()
            if any(document["turns"] for document in docs)
        }
        rows.append(
            _row(f"barge-ins that stopped the reply ({profile})", stopped, 100.0, "%", higher_is_better=True)
        )
    return rows


def _load(rig: Rig, plan: Plan) -> list[Row]:
    rows = []
    for mode in ("convo",) if plan.quick else ("convo", "silence"):
        seconds = "24" if plan.quick else "48"
        runs = rig.run("load", list(rig.interpreters), "--ns", "10", "--modes", mode, "--secs", seconds)

        def value(*keys: str, runs: Mapping[str, list[Document]] = runs) -> dict[str, float | None]:
            found: dict[str, float | None] = {}
            for name, documents in runs.items():
                node: Any = documents[-1]["results"] if documents else None
                for key in keys:
                    node = node.get(key) if isinstance(node, dict) else None
                found[name] = node
            return found

        what = "conversation" if mode == "convo" else "silence"
        unit = "CPU-s per session-minute"
        rows.append(
            _row(
                f"10 sessions in {what}",
                value("cpu_s_per_session_min"),
                0.45 if mode == "convo" else None,
                unit,
            )
        )
        rows.append(_row(f"10 sessions in {what}, speed-normalised", value("cpu_norm"), None, unit))
        if mode == "convo":
            rows.append(_row("memory of each further session", value("rss_per_extra_session_mb"), 1.0, "MB"))
            rows.append(_row("memory of a process with one session", value("rss_1_mb"), None, "MB"))
            rows.append(_row("10 sessions: output late p99", value("lateness_p99_ms"), None, "ms"))
    return rows


def _is_late(document: Document | None) -> bool:
    """Whether a listener would notice: frames late or missing, or turns without an answer."""
    if document is None:
        return True
    results = document["results"]
    if not results["out_frames"]:
        return True
    return (
        (results["lateness_p99_ms"] or 0) > LATE_P99_MS
        or results["underrun_ticks"] > results["out_frames"] * 0.001
        or results["answered"] < results["turns"] * 0.98
    )


def most_sessions(rig: Rig, name: str, first: int, attempts: int) -> int:
    """The most sessions on one core before output is late: doubling, then halving the interval. A minute an attempt."""
    good, bad, n = 0, None, first
    for _ in range(attempts):
        documents = rig.run("maxn", [name], "--ns", str(n), "--cpu", str(max(os.sched_getaffinity(0))))[name]
        if _is_late(documents[-1] if documents else None):
            bad = n
        else:
            good = n
        n = good * 2 if bad is None else (good + bad) // 2
        if bad is not None and bad - good <= max(2, good // 16):
            break
    return good


# Where the search for the most sessions begins: a little under what was measured before.
FIRST_GUESS = {OURS: 300, "livekit": 50, "pipecat": 12}


def _maximum(rig: Rig, plan: Plan) -> list[Row]:
    names = [name for name in rig.interpreters if name != FLOOR]
    most = {name: most_sessions(rig, name, FIRST_GUESS[name], attempts=6) for name in names}
    return [
        _row(
            "most sessions on one core",
            {n: float(v) for n, v in most.items()},
            150.0,
            "",
            higher_is_better=True,
        )
    ]


def measure(plan: Plan) -> list[Row]:
    if plan.rig is None:
        return [Row("turns through the rig", "", None, note="no rig: set ANTIPHON_RIG or use --rig")]
    with working_copy(plan) as rig:
        rows = _latency(rig, plan) + _barge_in(rig, plan) + _load(rig, plan)
        if plan.search_max:
            rows += _maximum(rig, plan)
        return rows
