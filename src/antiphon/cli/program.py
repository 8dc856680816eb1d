"""Makes a program of an agent's file: `python agent.py console`, `dev` or `start`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..models.errors import AntiphonError

if TYPE_CHECKING:
    from ..worker import AgentServer, WorkerOptions


def run_app(program: WorkerOptions | AgentServer) -> None:
    """Run the agents of this file as the command line says; does not return.

    `console` talks with the agent here, `console --text` by typing; `dev` serves a page for it and starts again when a
    file changes; `start` serves without watching files.

    Args:
        program: what to run.
    """
    from .errors import WRONG_USAGE, complain
    from .program_commands import app

    try:
        app(prog_name=Path(sys.argv[0]).name, obj=program)
    except AntiphonError as error:
        complain(str(error))
        sys.exit(WRONG_USAGE)
