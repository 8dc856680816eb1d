"""The reference cases: finished turns, and turns cut where people pause."""

from __future__ import annotations

import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """Text to judge, after a context of (role, text); label 1 where it is a finished turn."""

    context: tuple[tuple[str, str], ...]
    text: str
    label: int
    domain: str
    structured: bool


def load(folder: Path, file: Path) -> list[Case]:
    """The cases that `pairs.py` of a folder of dialogues makes from a file."""
    return [_case(row) for row in runpy.run_path(str(folder / "pairs.py"))["pairs"](str(file))]


def _case(row: dict[str, Any]) -> Case:
    roles = {"U": "user", "A": "assistant"}
    context = tuple((roles[turn[0]], turn[3:]) for turn in row["context"])
    return Case(context, row["text"], row["label"], row["domain"], row["structured"])
