"""`antiphon keys`: the key alone on standard output, everything else beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("aiosqlite", "fastapi", "pydantic")


def keys(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return subprocess.run(
        [sys.executable, "-m", "antiphon", "keys", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_key_is_made_listed_rotated_and_revoked(tmp_path: Path) -> None:
    made = keys(tmp_path, "create", "--name", "first", "--scope", "calls:read", "--scope", "calls:write")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert key.startswith("ak_")
    assert len(made.stdout.splitlines()) == 1
    id = made.stderr.partition(":")[0]
    assert (tmp_path / "antiphon.db").exists()

    listed = keys(tmp_path, "list", "--store", "sqlite:antiphon.db").stdout
    assert id in listed
    assert "first" in listed
    assert "[calls:read, calls:write]" in listed
    assert "never used" in listed
    assert key not in listed

    rotated = keys(tmp_path, "rotate", id, "--grace", "2h")
    assert rotated.returncode == 0, rotated.stderr
    assert rotated.stdout.startswith("ak_")
    assert rotated.stdout.strip() != key
    assert keys(tmp_path, "revoke", id).returncode == 0
    assert id not in keys(tmp_path, "list").stdout

    for wrong, words in (
        (("create", "--name", "x", "--scope", "calls:delete"), "calls:delete"),
        (("create", "--name", "x", "--expires", "soon"), "soon"),
        (("revoke", id), id),
        (("list", "--store", "postgres:x"), "postgres"),
    ):
        refused = keys(tmp_path, *wrong)
        assert refused.returncode == 2, wrong
        assert words in refused.stderr
        assert "Traceback" not in refused.stderr
