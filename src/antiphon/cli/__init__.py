"""Commands: `antiphon demo`, `talk` and `doctor`, and `run_app`, which makes a program of an agent's file."""

from .program import run_app

__all__ = ["run_app"]
