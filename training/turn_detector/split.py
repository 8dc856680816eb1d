"""Sets turns of the training file aside: services the network never sees, and conversations of those it does."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

UNSEEN = frozenset({"banks", "calendar"})
_BLOCK, _EVERY = 500, 50  # each 50th block of 500 turns is set aside; neighbours are of one conversation


def split(source: Path, folder: Path) -> dict[str, Path]:
    """Write `learn`, `unseen` and `seen` of a file of turns into a folder; gives their paths."""
    files = {name: folder / f"{name}.jsonl.gz" for name in ("learn", "unseen", "seen")}
    parts: dict[str, list[str]] = {name: [] for name in files}
    with gzip.open(source, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if json.loads(line)["domain"] in UNSEEN:
                parts["unseen"].append(line)
            elif number // _BLOCK % _EVERY == 0:
                parts["seen"].append(line)
            else:
                parts["learn"].append(line)
    for name, path in files.items():
        with gzip.open(path, "wt", encoding="utf-8") as file:
            file.writelines(parts[name])
    return files
