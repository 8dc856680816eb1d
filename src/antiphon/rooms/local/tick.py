"""The media tick: one timer that paces everything a process plays, 20 ms at a time."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

logger = logging.getLogger(__name__)

TICK = 0.02
PHASES = 4
"""A source that starts joins the next of four phases, so its first audio waits 5 ms at most, not 20."""
MAX_CATCH_UP = 5
"""Ticks made up for after a stall of the event loop; a longer one is silence to the listener, not a burst."""

_SLOT = TICK / PHASES


class MediaTick:
    """Calls live sources once every 20 ms on an absolute grid, and sleeps while there are none.

    The grid is anchored at the loop's time when the first source starts, so that rounding never adds up. After a
    stall the missed ticks are made up for at once, at most `MAX_CATCH_UP` of them; then the grid is anchored anew.
    """

    def __init__(self) -> None:
        self._phases: list[dict[object, Callable[[], bool]]] = [{} for _ in range(PHASES)]
        self._phase_of: dict[object, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._anchor = 0.0
        self._slot = 0  # the next slot to run
        self._slot_of_timer = 0

    @property
    def running(self) -> bool:
        return self._timer is not None

    def add(self, key: object, pull: Callable[[], bool]) -> None:
        """Call `pull` once a tick until it returns False; adding a live key again changes nothing."""
        if key in self._phase_of:
            return
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._anchor, self._slot = loop.time(), 0
        slot = max(self._slot, math.ceil((loop.time() - self._anchor) / _SLOT - 0.01))
        self._phase_of[key] = slot % PHASES
        self._phases[slot % PHASES][key] = pull
        if self._timer is None or slot < self._slot_of_timer:
            self._schedule(slot)

    def remove(self, key: object) -> None:
        """Stop calling it; unknown keys are ignored."""
        phase = self._phase_of.pop(key, None)
        if phase is not None:
            del self._phases[phase][key]

    def close(self) -> None:
        """Stop; safe to call twice."""
        for key in tuple(self._phase_of):
            self.remove(key)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._slot_of_timer = slot
        self._timer = asyncio.get_running_loop().call_at(self._anchor + slot * _SLOT, self._run)

    def _run(self) -> None:
        slot, limit = self._slot_of_timer, MAX_CATCH_UP * PHASES
        # Half a slot early is on time: a timer may fire a clock granule before its moment.
        last = max(slot, int((asyncio.get_running_loop().time() - self._anchor) / _SLOT + 0.5))
        if last - slot >= limit:
            # Whole ticks only, so that every source keeps its phase.
            skipped = math.ceil((last - slot - limit + 1) / PHASES) * PHASES
            self._anchor += skipped * _SLOT
            last -= skipped
        while slot <= last:
            self._slot = slot + 1
            self._pull(self._phases[slot % PHASES])
            slot += 1
        for following in range(slot, slot + PHASES):
            if self._phases[following % PHASES]:
                self._schedule(following)
                return
        self._timer = None

    def _pull(self, sources: dict[object, Callable[[], bool]]) -> None:
        for key, pull in tuple(sources.items()):
            if key not in sources:
                continue
            try:
                live = pull()
            except Exception:
                logger.exception("%r failed on the media tick and is no longer played", key)
                live = False
            if not live:
                self.remove(key)
