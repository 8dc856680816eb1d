"""The open Smart Turn model, which hears whether a turn is finished: `AgentSession(turn_detection=SmartTurn())`.

Its weights (BSD 2-Clause, https://github.com/pipecat-ai/smart-turn) are part of the package `pipecat-ai`, which need only
be there: `pip install --no-deps pipecat-ai`. Nothing of its code is imported.
"""

from __future__ import annotations

from .detector import SmartTurn

__all__ = ["SmartTurn"]
