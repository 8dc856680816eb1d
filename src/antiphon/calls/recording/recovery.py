"""Recordings of processes that died: their files are mended, and found to be stored."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from .lock import lock
from .ogg_pages import mend
from .storage import PART, SUFFIX

logger = logging.getLogger(__name__)

TOO_YOUNG = 3.0
"""Seconds in which a new file may not be locked by its writer yet."""
TOO_FRESH = 60.0
"""Seconds that a process has to tell the store of a file that it completed."""
_BETWEEN = "-rec_"


@dataclass(frozen=True)
class Found:
    """What a process left behind. `size` 0: nothing playable; the file is gone then."""

    recording_id: str
    call_id: str
    name: str
    seconds: float
    size: int


def name_of(call_id: str, recording_id: str) -> str:
    """The name of a recording's file, which says whose it is."""
    return f"{call_id}-{recording_id}{SUFFIX}"


def ids_of(name: str) -> tuple[str, str] | None:
    """Call and recording of a file's name."""
    call_id, between, rest = name.partition(_BETWEEN)
    if not between or not call_id:
        return None
    return call_id, "rec_" + rest.removesuffix(".part").removesuffix(SUFFIX)


def recover(folder: Path) -> list[Found]:
    """Mend and rename the unfinished files that no process writes; blocks.

    Raises:
        OSError: the folder cannot be read.
    """
    found = []
    for path in sorted(folder.glob("*" + PART)):
        ids = ids_of(path.name)
        if ids is None:
            continue
        try:
            one = _recover(path, *ids)
        except OSError as error:
            logger.error("the unfinished recording %s cannot be mended: %s", path, error)
            continue
        if one is not None:
            found.append(one)
    return found


def _recover(path: Path, call_id: str, recording_id: str) -> Found | None:
    # Wall clock, because that is what file systems have.
    if time.time() - path.stat().st_mtime < TOO_YOUNG:
        return None
    complete = path.with_name(path.name.removesuffix(".part"))
    with path.open("rb+") as file:
        if not lock(file) or not path.exists():
            return None
        try:
            mended = mend(file)
        except ValueError:
            path.unlink()
            return Found(recording_id, call_id, complete.name, 0.0, 0)
        path.rename(complete)
    return Found(recording_id, call_id, complete.name, round(mended.seconds, 3), mended.size)


def find_complete(path: Path) -> Found | None:
    """A complete file of which nobody told the store; None if it is not there, or may still be told of. Blocks."""
    ids = ids_of(path.name)
    if ids is None or not path.exists() or time.time() - path.stat().st_mtime < TOO_FRESH:
        return None
    with path.open("rb+") as file:
        try:
            mended = mend(file)
        except ValueError:
            return None
    call_id, recording_id = ids
    return Found(recording_id, call_id, path.name, round(mended.seconds, 3), mended.size)
