"""Which deliveries may run at once, so that a receiver that hangs delays nobody but itself.

Each host has a lane of a few places; a host that fails has one. Failing hosts together get half of all places at most. A
delivery that finds its lane full is told when to come again, later and later the more there are, so that a long queue of one
host is not taken up and laid aside over and over.
"""

from __future__ import annotations

from dataclasses import dataclass

_LEAST_WAIT = 0.2
_MOST_HOSTS = 10_000
# The weight of the latest attempt in a lane's mean duration.
_LATEST = 0.3


@dataclass(slots=True)
class _Lane:
    active: int = 0
    failing: bool = False
    seconds: float = 1.0
    free_at: float = 0.0


class DeliveryLanes:
    """Places of `total` deliveries, `per_host` of them for one host.

    Args:
        most_wait: the longest time that a delivery is told to wait, in seconds.
    """

    def __init__(self, total: int, per_host: int, *, most_wait: float = 300.0) -> None:
        self._total = total
        self._per_host = per_host
        self._most_wait = most_wait
        self._lanes: dict[str, _Lane] = {}
        self._active = 0

    @property
    def full(self) -> bool:
        return self._active >= self._total

    def enter(self, host: str) -> bool:
        """Take a place for a delivery to `host`, if there is one."""
        lane = self._lanes.setdefault(host, _Lane())
        if self.full or lane.active >= self._limit(lane):
            return False
        if lane.failing and 2 * self._active_of_failing() >= self._total:
            return False
        lane.active += 1
        self._active += 1
        return True

    def leave(self, host: str, *, ok: bool, seconds: float) -> None:
        """Give a place back after an attempt that took so long."""
        lane = self._lanes[host]
        lane.active -= 1
        self._active -= 1
        if lane.failing and ok:
            lane.free_at = 0.0
        lane.failing = not ok
        lane.seconds += _LATEST * (seconds - lane.seconds)
        if ok and not lane.active:
            del self._lanes[host]
        elif len(self._lanes) > _MOST_HOSTS:
            self._forget()

    def wait(self, host: str, now: float) -> float:
        """Seconds after which a delivery that did not get in should come again."""
        lane = self._lanes.setdefault(host, _Lane())
        free_at = max(lane.free_at, now) + lane.seconds / self._limit(lane)
        lane.free_at = min(free_at, now + self._most_wait)
        return max(lane.free_at - now, _LEAST_WAIT)

    def _limit(self, lane: _Lane) -> int:
        return 1 if lane.failing else self._per_host

    def _active_of_failing(self) -> int:
        return sum(lane.active for lane in self._lanes.values() if lane.failing)

    def _forget(self) -> None:
        for host in [host for host, lane in self._lanes.items() if not lane.active]:
            del self._lanes[host]
