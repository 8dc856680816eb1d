"""Where log records go while a command runs."""

from __future__ import annotations

import logging
import os

from ..models.errors import ConfigurationError
from ..observability.log_format import LogFormat, log_handler
from ..worker.log_fields import JobLogFields

LEVELS = ("debug", "info", "warning", "error", "critical")


def set_up_logging(level: str, format: str | None = None) -> None:
    """Write records to standard error, each with its call or job and without secrets; on a terminal in colours.

    Args:
        level: from which level on, in lower or upper case; `ANTIPHON_LOG_LEVEL` overrides it.
        format: `text` or `json`; `ANTIPHON_LOG_FORMAT` overrides it.

    Raises:
        ConfigurationError: there is no such level or format.
    """
    level = os.environ.get("ANTIPHON_LOG_LEVEL") or level
    if level.lower() not in LEVELS:
        raise ConfigurationError(f"there is no log level {level!r}; the levels are {', '.join(LEVELS)}")
    format = (os.environ.get("ANTIPHON_LOG_FORMAT") or format or "").lower() or None
    if format not in (None, *LogFormat):
        raise ConfigurationError(f"there is no log format {format!r}; the formats are {', '.join(LogFormat)}")
    handler = log_handler(format)
    # First, so that what it adds is looked at for secrets too.
    handler.filters.insert(0, JobLogFields())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # They tell of every packet and candidate, and of every request with its address.
    for talkative in (
        "aioice",
        "aiortc",
        "asyncio",
        "httpx",
        "httpcore",
        "pymongo",
        "aiosqlite",
        "opentelemetry",
        "uvicorn",
    ):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def leave_expected_failures_to_the_console() -> None:
    """Write no record of a failure that the console shows itself: an agent that cannot start, a tool that is refused.

    What nobody expected is written all the same, with its traceback.
    """
    for name in ("antiphon.worker.running_job", "antiphon.voice.tool_runner"):
        logging.getLogger(name).addFilter(_is_unexpected)


def _is_unexpected(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or record.exc_info is not None
