"""How commands print."""

from __future__ import annotations

from rich.console import Console


def terminal(*, quiet: bool = False) -> Console:
    """Standard output, in which brackets are brackets and lines are left to the terminal to wrap."""
    return Console(quiet=quiet, markup=False, highlight=False, soft_wrap=True)
