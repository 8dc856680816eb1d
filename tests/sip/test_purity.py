"""The machines hold no socket, task or clock; only `transport` does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import antiphon.sip

FOLDER = Path(antiphon.sip.__file__).parent
PURE = sorted(FOLDER.glob("*.py"))
FORBIDDEN = {"asyncio", "socket", "ssl", "threading", "time", "select", "selectors", "subprocess"}


@pytest.mark.parametrize("path", PURE, ids=lambda path: path.name)
def test_machines_import_nothing_that_waits(path: Path) -> None:
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {
        node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level
    }
    assert {name.partition(".")[0] for name in names} & FORBIDDEN == set()


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.name)
def test_sip_knows_nothing_of_ours_but_the_errors(path: Path) -> None:
    depth = len(path.relative_to(FOLDER).parts) + 1  # dots that lead out of the folder
    tree = ast.parse(path.read_text())
    outside = {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level >= depth
    }
    assert outside <= {"models.errors"}
