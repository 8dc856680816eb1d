"""Ends a call that has lasted too long."""

from __future__ import annotations

from dataclasses import dataclass

from ..events import CloseReason
from .controller import Controller
from .hang_up import HangUp


@dataclass(frozen=True)
class MaxDurationOptions:
    """How long a call may be. Durations in seconds.

    Attributes:
        limit: from `attach` to the announcement.
        announcement: said before the hang-up; empty: none.
        deadline: for the announcement to be heard.
    """

    limit: float = 30 * 60.0
    announcement: str = "We have reached the time limit for this call, so I have to end it here. Goodbye."
    deadline: float = 15.0

    def __post_init__(self) -> None:
        if self.limit <= 0:
            raise ValueError(f"max duration: limit is {self.limit:g} s; it must be above 0")


class MaxDurationController(Controller):
    """Announces the end, hangs up when that was heard, and lets nothing be said after it.

    Hold does not stop this clock; at the limit a held call ends without words.
    """

    def __init__(self, options: MaxDurationOptions | None = None) -> None:
        super().__init__()
        self.options = options or MaxDurationOptions()

    def _attached(self) -> None:
        self._set_timer("limit", self._now() + self.options.limit, self._hang_up)

    def _suspend(self) -> None:
        pass

    def _hang_up(self) -> None:
        options = self.options
        HangUp(options.announcement, reason=CloseReason.MAX_DURATION, deadline=options.deadline).attach(
            self.session
        )
