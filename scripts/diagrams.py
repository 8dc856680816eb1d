"""Draws the diagrams of docs/ from the code, so that they cannot lie.

usage: python -m scripts.diagrams [--check]

Each diagram is a Markdown page with a Mermaid drawing. `--check` writes nothing and fails when a page differs from what
the code says now.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import grimp

from . import sip_diagram, turn_diagram

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "antiphon"
DRAWN = "<!-- Drawn by scripts/diagrams.py from the code; `make docs` draws it anew. -->\n\n"


def layer_rows() -> list[list[str]]:
    """The layers of the import contract, top first; those that stand beside each other share a row."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = [[name.strip(" ()") for name in row.split("|")] for row in layers]
    return [present for row in rows if (present := [name for name in row if (PACKAGE / name).is_dir()])]


def purpose(layer: str) -> str:
    """The first sentence of the layer's docstring."""
    docstring = ast.get_docstring(ast.parse((PACKAGE / layer / "__init__.py").read_text())) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def layers_page() -> str:
    """The layers, what each is for, and which imports which, from the import graph."""
    graph = grimp.build_graph("antiphon", cache_dir=None)
    rows = layer_rows()
    names = [name for row in rows for name in row]
    imports = {
        name: [other for other in names if other != name and _imports(graph, name, other)] for name in names
    }
    drawing = ["```mermaid", "flowchart TD"]
    for index, row in enumerate(rows):
        drawing.append(f"    subgraph row{index}[ ]")
        drawing += [f"        {name}" for name in row]
        drawing.append("    end")
    drawing += [f"    {name} --> {other}" for name in names for other in imports[name]]
    drawing.append("```")
    table = ["| layer | what it is for | imports |", "|---|---|---|"]
    table += [f"| `{name}` | {purpose(name)} | {', '.join(imports[name]) or '–'} |" for name in names]
    text = (
        "# Layers\n\n"
        + DRAWN
        + "Each layer imports only from layers below it; `make check` enforces that. The arrows are the imports "
        "that exist.\n\n"
    )
    return text + "\n".join(drawing) + "\n\n" + "\n".join(table) + "\n"


def _imports(graph: grimp.ImportGraph, layer: str, other: str) -> bool:
    """Whether a module of `layer` imports a module of `other` directly."""
    importers = {f"antiphon.{layer}", *graph.find_descendants(f"antiphon.{layer}")}
    target = f"antiphon.{other}"
    return any(
        imported == target or imported.startswith(target + ".")
        for importer in importers
        for imported in graph.find_modules_directly_imported_by(importer)
    )


def turn_states_page() -> str:
    """What the agent appears to be doing, and what leads from one state to another."""
    return (
        "# Turn states\n\n"
        + DRAWN
        + "What the agent appears to be doing, and what leads on. The turn-taking machine in `turns/` derives these states; the "
        "moves below were found by playing conversations to it, under the default options. `thinking` includes a reply that is "
        "released but whose first sample is not out yet; `idle` is also what a held or closed call shows.\n\n"
    ) + turn_diagram.page()


def sip_transactions_page() -> str:
    """The tables of the four SIP transactions."""
    return (
        "# SIP transactions\n\n"
        + DRAWN
        + "A transaction is a request, its retransmissions and its responses as one thing (RFC 3261 section 17, RFC 6026). These "
        "are the tables of `sip/transaction.py`, which decide everything; a pair of state and input that has no row is ignored. "
        "Over TCP and TLS timers A, E and G do not run, and D, I, J and K are zero.\n\n"
    ) + sip_diagram.page()


PAGES: dict[str, Callable[[], str]] = {
    "docs/layers.md": layers_page,
    "docs/sip-transactions.md": sip_transactions_page,
    "docs/turn-states.md": turn_states_page,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the diagrams of docs/ from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is out of date")
    check = parser.parse_args().check
    stale = []
    for name, draw in PAGES.items():
        path, page = ROOT / name, draw()
        if path.exists() and path.read_text() == page:
            continue
        stale.append(name)
        if not check:
            path.write_text(page)
    for name in stale:
        print(f"{name} is out of date: run make docs, and commit it" if check else f"drew {name}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
