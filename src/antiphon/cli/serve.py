"""`antiphon serve`: the platform, and what it is missing."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..models.errors import ConfigurationError
from .errors import FAILED, run
from .logs import set_up_logging
from .terminal import terminal

if TYPE_CHECKING:
    from ..server.platform.platform import OnReady, Seed
    from ..server.platform.settings import PlatformSettings
    from ..server.platform.settings_sources import LoadedSettings

_PACKAGES = {
    "server": ("aiortc", "cryptography", "fastapi", "uvicorn"),
    "platform": (
        "aiosqlite",
        "av",
        "dns",
        "fsspec",
        "httpx",
        "phonenumbers",
        "prometheus_client",
        "pydantic",
        "standardwebhooks",
    ),
}


def check_platform_packages() -> None:
    """Raises ConfigurationError when a package that the platform needs is not installed."""
    missing = [
        name for names in _PACKAGES.values() for name in names if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise ConfigurationError(
            f'the platform needs {", ".join(missing)}; pip install "antiphon[server,platform]" brings them'
        )


def run_serve(config: Path | None, explicit: dict[str, Any], *, check: bool) -> int:
    """Serve until a signal, or with `check` only say what is missing.

    Args:
        config: the settings file.
        explicit: settings of the command line by dotted name.
        check: do not start.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: a setting cannot be used, or a package is missing.
    """
    check_platform_packages()
    from ..server.platform.settings_sources import load_settings

    loaded = load_settings(config, explicit=explicit)
    settings = loaded.settings
    if check:
        set_up_logging("error")
        return run(_report(loaded))
    set_up_logging(settings.log.level, settings.log.format if settings.log.format != "text" else None)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)

    def ready(url: str, sip: str) -> None:
        roles = ", ".join(settings.roles)
        print(f"Antiphon answers at {url}" if url else f"Antiphon works: {roles}", flush=True)
        if sip:
            print(f"Telephones call sip:{sip}", flush=True)
        print("Ctrl-C ends it.", flush=True)

    return run_platform(settings, ready)


def run_platform(settings: PlatformSettings, on_ready: OnReady, *, seed: Seed | None = None) -> int:
    """Run the platform until a signal; returns the exit code."""
    from ..server.platform.platform import Platform
    from ..server.serve import loop_factory

    async def serve() -> int:
        await Platform(settings, seed=seed, on_ready=on_ready).run()
        return 0

    return run(serve(), loop_factory())


async def _report(loaded: LoadedSettings) -> int:
    from rich.table import Table
    from rich.text import Text

    from ..server.platform.check import check

    console = terminal()
    settings = Table(box=None, pad_edge=False)
    settings.add_column("setting", no_wrap=True)
    for column in ("value", "from"):
        settings.add_column(column, overflow="fold")
    for chosen in loaded.chosen:
        style = "dim" if chosen.source == "default" else ""
        settings.add_row(Text(chosen.setting.name, style), Text(chosen.value), Text(chosen.source, "dim"))
    console.print(settings)
    console.print()
    table = Table(box=None, pad_edge=False)
    for column in ("", "what", "found", "what to do"):
        table.add_column(column, overflow="fold")
    ready = True
    for warning in loaded.warnings:
        table.add_row(Text("–", "yellow"), Text("environment"), Text(warning), Text())
    for finding in await check(loaded.settings):
        mark, style = (
            ("ok", "green") if finding.ready else ("missing", "red") if finding.needed else ("–", "yellow")
        )
        ready = ready and (finding.ready or not finding.needed)
        advice = "" if finding.ready else finding.advice
        table.add_row(Text(mark, style), Text(finding.what), Text(finding.detail), Text(advice))
    console.print(table)
    console.print("\nReady: antiphon serve" if ready else "\nNot ready yet: see above.")
    return 0 if ready else FAILED
