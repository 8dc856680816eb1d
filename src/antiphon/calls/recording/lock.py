"""Whether somebody writes a file: a lock that the operating system lets go when its process dies, however it dies."""

from __future__ import annotations

import sys
from typing import IO, Any

if sys.platform == "win32":

    def lock(file: IO[Any]) -> bool:
        """There is none, so files of dead processes are left as they are: nobody can tell them from those of living ones."""
        return False

else:
    import fcntl

    def lock(file: IO[Any]) -> bool:
        """Lock an open file until it is closed; returns whether nobody else had it.

        Some network file systems know no locks; there, one process should have a folder for itself.
        """
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
