"""Where log records go while a command runs."""

from __future__ import annotations

import logging
import os

from ..models.errors import ConfigurationError
from ..worker.log_fields import JobLogFields

LEVELS = ("debug", "info", "warning", "error", "critical")


def set_up_logging(level: str) -> None:
    """Write records to standard error, each with its job; on a terminal in colours.

    Args:
        level: from which level on, in lower or upper case; `ANTIPHON_LOG_LEVEL` overrides it.

    Raises:
        ConfigurationError: there is no such level.
    """
    level = os.environ.get("ANTIPHON_LOG_LEVEL") or level
    if level.lower() not in LEVELS:
        raise ConfigurationError(f"there is no log level {level!r}; the levels are {', '.join(LEVELS)}")
    handler = _handler()
    handler.addFilter(JobLogFields())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # They tell of every packet and candidate.
    for talkative in ("aioice", "aiortc", "asyncio"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def _handler() -> logging.Handler:
    from rich.console import Console
    from rich.logging import RichHandler

    console = Console(stderr=True)
    if console.is_terminal:
        return RichHandler(console=console, show_path=False, log_time_format="%H:%M:%S")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler
