"""The shape of the code: what `make check` enforces beside the import contracts."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "antiphon"
FILES = sorted(SOURCE.rglob("*.py"))

# The aim is 500 and 60; these are where a reader gets lost.
MOST_LINES_IN_A_FILE = 600
MOST_LINES_IN_A_FUNCTION = 100

# Names that say nothing about what a file holds.
VAGUE = {"utils", "util", "helpers", "helper", "manager", "misc", "common", "base", "core"}

# Removed from Python 3.13, or in the standard library of one supported version only.
NOT_EVERYWHERE = {"audioop", "cgi", "imp", "distutils", "asynchat", "asyncore", "telnetlib", "pipes"}

HEAVY = [
    "onnxruntime",
    "aiortc",
    "av",
    "fastapi",
    "uvicorn",
    "sounddevice",
    "moonshine_voice",
    "rich",
    "typer",
]


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def imported_modules(tree: ast.AST) -> set[str]:
    absolute = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return absolute | {
        node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MOST_LINES_IN_A_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MOST_LINES_IN_A_FUNCTION, f"{node.name} is too long"


def test_file_names_say_what_is_inside() -> None:
    assert [name_of(path) for path in FILES if path.stem in VAGUE] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_exist_in_every_supported_python(path: Path) -> None:
    roots = {module.partition(".")[0] for module in imported_modules(ast.parse(path.read_text()))}
    assert roots & NOT_EVERYWHERE == set()


def test_every_folder_says_what_it_is_for() -> None:
    silent = [
        name_of(path)
        for path in FILES
        if path.name == "__init__.py" and not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()
    ]
    assert silent == []


@pytest.mark.parametrize("module", ["antiphon", "antiphon.models", "antiphon.voice", "antiphon.plugins"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_constraints_pin_every_package_by_hash_and_name_no_address() -> None:
    for path in sorted((ROOT / "constraints").glob("*.txt")):
        text = path.read_text()
        assert "://" not in text
        pinned = re.findall(
            r"^[A-Za-z0-9][^\n=]*==[^\n]*(?:\\\n    --hash=sha256:[0-9a-f]{64} ?)+", text, re.MULTILINE
        )
        named = re.findall(r"^[A-Za-z0-9][^\n]*", text, re.MULTILINE)
        assert named, path
        assert len(pinned) == len(named)


def test_the_shape_tests_can_fail(tmp_path: Path) -> None:
    assert imported_modules(ast.parse("import audioop\nfrom cgi import escape\nfrom . import x")) == {
        "audioop",
        "cgi",
    }
