"""What the benches do with their numbers. Speed itself is not tested."""

from __future__ import annotations

from typing import Any

import pytest

from bench import rig
from bench.measurement import Row, percentile
from bench.run import table


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [([3.0], 95, 3.0), ([1.0, 2.0, 3.0], 50, 2.0), ([1.0, 2.0], 50, 1.5), ([4.0, 1.0, 3.0, 2.0], 100, 4.0)],
)
def test_percentiles_lie_between_neighbours(values: list[float], q: float, expected: float) -> None:
    assert percentile(values, q) == expected


def test_a_percentile_needs_values() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


ROWS = [
    # row, within budget, advantage over the best peer
    (Row("latency", "ms", 20.0, 25.0, {"a": 40.0, "b": 100.0}), True, 2.0),
    (Row("latency", "ms", 30.0, 25.0, {"a": 15.0}), False, 0.5),
    (Row("sessions", "", 200.0, 150.0, {"a": 50.0}, higher_is_better=True), True, 4.0),
    (Row("no budget, no peers", "ms", 20.0), None, None),
    (Row("not measured", "ms", None, 25.0, {"a": 40.0}), None, None),
]


@pytest.mark.parametrize(("row", "within", "advantage"), ROWS, ids=lambda value: getattr(value, "what", ""))
def test_a_row_is_judged_by_its_budget_and_its_peers(
    row: Row, within: bool | None, advantage: float | None
) -> None:
    assert row.within_budget is within
    assert row.advantage == advantage


def test_the_table_has_a_line_for_each_row_and_a_column_for_each_peer() -> None:
    lines = table([row for row, _, _ in ROWS]).splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert lines[0] == "|  | unit | antiphon | budget | a | b | advantage | note |"
    assert lines[2] == "| latency | ms | 20 ✓ | ≤ 25 | 40 | 100 | 2.0× |  |"


class RigThatCarries:
    """Stands for a rig on which output is late beyond `most` sessions."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.asked: list[int] = []

    def run(self, stage: str, only: list[str], *arguments: str) -> dict[str, list[dict[str, Any]]]:
        n = int(arguments[arguments.index("--ns") + 1])
        self.asked.append(n)
        late = 50.0 if n > self.most else 1.0
        results = {
            "out_frames": 1000,
            "lateness_p99_ms": late,
            "underrun_ticks": 0,
            "answered": 9,
            "turns": 9,
        }
        return {only[0]: [{"results": results}]}


@pytest.mark.parametrize("most", [0, 3, 58, 60, 130, 700])
def test_the_search_for_the_most_sessions_comes_close_from_below(most: int) -> None:
    carries = RigThatCarries(most)
    found = rig.most_sessions(carries, "antiphon", first=60, attempts=12)  # type: ignore[arg-type]
    assert most - max(2, most // 8) <= found <= most
    assert len(carries.asked) <= 12


@pytest.mark.parametrize(
    ("change", "late"),
    [
        ({}, False),
        ({"lateness_p99_ms": 21.0}, True),
        ({"underrun_ticks": 2}, True),
        ({"answered": 8}, True),
        ({"out_frames": 0}, True),
    ],
)
def test_output_counts_as_late_when_a_listener_would_notice(change: dict[str, Any], late: bool) -> None:
    results = {"out_frames": 1000, "lateness_p99_ms": 1.0, "underrun_ticks": 0, "answered": 9, "turns": 9}
    assert rig._is_late({"results": {**results, **change}}) is late
