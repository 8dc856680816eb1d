"""Addresses of stores."""

from __future__ import annotations

import subprocess
import sys

import pytest

from antiphon.models.errors import ConfigurationError
from antiphon.store import open_store


@pytest.mark.parametrize("address", ["", "sqlite:", "sqlite://", "postgres://localhost/x", "/tmp/store.db"])
def test_an_address_of_no_kind_is_refused_with_what_is_possible(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ANTIPHON_STORE is sqlite:PATH or mongodb://"):
        open_store(address)


@pytest.mark.needs("aiosqlite")
@pytest.mark.parametrize(
    ("address", "path"),
    [("sqlite:a.db", "a.db"), ("sqlite:///var/lib/a.db", "/var/lib/a.db"), ("sqlite:/a b.db", "/a b.db")],
)
def test_an_address_of_a_file(address: str, path: str) -> None:
    from antiphon.store.sqlite import SqliteBackend

    backend = open_store(address).backend.inner  # type: ignore[attr-defined]
    assert isinstance(backend, SqliteBackend)
    assert str(backend.path) == path


def test_the_interface_needs_no_database_package() -> None:
    code = "import sys, antiphon.store; print({'aiosqlite', 'pymongo', 'cryptography'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.stdout.strip(), result.stderr) == ("set()", "")
