"""How a command ends: with a message instead of a traceback, and an exit code that scripts can use."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from ..models.errors import AntiphonError, ConfigurationError

FAILED = 1
WRONG_USAGE = 2
"""Something about the call or the set-up is wrong and can be put right."""
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""


def run(
    command: Coroutine[Any, Any, int],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> int:
    """Run a command to its end.

    Returns:
        Its exit code: what it returned, `WRONG_USAGE` after a `ConfigurationError`, `FAILED` after another error of
        ours, `INTERRUPTED` after Ctrl-C.
    """
    try:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(command)
    except KeyboardInterrupt:
        return INTERRUPTED
    except AntiphonError as error:
        complain(str(error))
        return WRONG_USAGE if isinstance(error, ConfigurationError) else FAILED


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    print(f"error: {message}", file=sys.stderr, flush=True)
