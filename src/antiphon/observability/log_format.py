"""How log records look: text for people, JSON lines for machines."""

from __future__ import annotations

import datetime
import json
import logging
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TextIO

from .log_context import ContextFields
from .redaction import Redaction

# Line breaks and other control characters in a message could forge a record, or drive a terminal.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    9: "\\t",
    10: "\\n",
    13: "\\r",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class TextFormatter(logging.Formatter):
    """`2026-11-21T10:00:00.123Z WARNING antiphon.voice: message [call_id=… assistant=…]`, then the exception.

    Args:
        message_only: leave time, level and logger to whoever shows the line.
    """

    def __init__(self, *, message_only: bool = False) -> None:
        super().__init__()
        self._message_only = message_only

    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        line = record.getMessage()
        if fields:
            line += f" [{' '.join(f'{name}={_shown(value)}' for name, value in fields.items())}]"
        line = line.translate(_CONTROL)
        if not self._message_only:
            line = f"{timestamp(record)} {record.levelname} {record.name}: {line}"
        return "\n".join((line, *exception_of(self, record)))


class JSONFormatter(logging.Formatter):
    """One JSON object a line: `ts`, `level`, `logger`, `message`, and where there are any `fields` and `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "ts": timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if fields := getattr(record, "fields", {}):
            entry["fields"] = fields
        if exception := exception_of(self, record):
            entry["exception"] = "\n".join(exception)
        return json.dumps(entry, default=str, ensure_ascii=False).translate(
            {0x2028: "\\u2028", 0x2029: "\\u2029"}
        )


def timestamp(record: logging.LogRecord) -> str:
    """When it was written: ISO 8601, UTC, milliseconds."""
    at = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def exception_of(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    text = record.exc_text or (formatter.formatException(record.exc_info) if record.exc_info else "")
    return [part for part in (text, record.stack_info) if part]


def log_handler(format: LogFormat | str | None = None, stream: TextIO | None = None) -> logging.Handler:
    """A handler whose records carry the context's fields and no secret.

    Args:
        format: how records look; None: text, in colours on a terminal.
        stream: where to; None: standard error.

    Raises:
        ValueError: there is no such format.
    """
    stream = stream or sys.stderr
    handler = _terminal_handler(stream) if format is None else None
    if handler is None:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(
            JSONFormatter() if LogFormat(format or LogFormat.TEXT) is LogFormat.JSON else TextFormatter()
        )
    handler.addFilter(ContextFields())
    handler.addFilter(Redaction())
    return handler


def _terminal_handler(stream: TextIO) -> logging.Handler | None:
    if not stream.isatty():
        return None
    try:
        from rich.console import Console
        from rich.logging import RichHandler
    except ImportError:
        return None
    handler = RichHandler(console=Console(file=stream), show_path=False, log_time_format="%H:%M:%S")
    handler.setFormatter(TextFormatter(message_only=True))
    return handler


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return json.dumps(text, ensure_ascii=False) if not text or any(c in text for c in ' "=[]') else text
