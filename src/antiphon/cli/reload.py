"""Run a program again whenever its Python files change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

CHILD = "ANTIPHON_RELOADED"
"""Set in the environment of the program that is run again and again."""

INTERVAL = 0.5
STOP_LIMIT = 10.0
_SKIPPED = {"node_modules", "site-packages", "__pycache__", "build", "dist"}


def is_child() -> bool:
    """Whether this process is the program, rather than the one that watches it."""
    return os.environ.get(CHILD) == "1"


def this_program() -> list[str]:
    """The command line that this process was started with."""
    return [sys.executable, *sys.orig_argv[1:]]


def run_and_reload(command: Sequence[str], folder: Path, say: Callable[[str], None]) -> int:
    """Run `command`, anew after each change of a `.py` file under `folder`, until Ctrl-C or SIGTERM.

    A program that ends by itself with an error is started again at the next change.

    Args:
        command: the program.
        folder: what to watch; hidden folders, virtual environments and build folders are left out.
        say: tells the user what happens.

    Returns:
        The exit code: 0, or the program's when it ended by itself without an error.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    # A shell that starts a program in the background has it ignore Ctrl-C; who sends it by hand means it.
    signal.signal(signal.SIGINT, _interrupt)
    child = _start(command)
    known = _times(folder)
    ended = False
    try:
        while True:
            time.sleep(INTERVAL)
            code = child.poll()
            if code == 0:
                return 0
            if code is not None and not ended:
                ended = True
                say(f"The program ended with exit code {code}; it starts again when a file changes.")
            times = _times(folder)
            if times != known:
                say(f"{_changed(known, times)} changed: starting again.")
                known, ended = times, False
                _stop(child)
                child = _start(command)
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(child)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    # A group of its own: Ctrl-C reaches us alone, and we end it in order.
    return subprocess.Popen(list(command), env={**os.environ, CHILD: "1"}, start_new_session=True)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(STOP_LIMIT)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _times(folder: Path) -> dict[Path, int]:
    """When each Python file was changed last, in nanoseconds."""
    times: dict[Path, int] = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in _SKIPPED
            and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))
        ]
        for name in files:
            if name.endswith(".py"):
                path = Path(place, name)
                try:
                    times[path] = path.stat().st_mtime_ns
                except FileNotFoundError:
                    continue
    return times


def _changed(before: Mapping[Path, int], after: Mapping[Path, int]) -> str:
    paths = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    return ", ".join(sorted(path.name for path in paths))
