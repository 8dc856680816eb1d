"""Ports for RTP: even numbers of a range, each used by one call at a time, and at rest for a while after it.

A port at rest keeps late packets of the last call out of the next one. Source: RFC 3550 section 11 (even for RTP, the odd one
above for RTCP).
"""

from __future__ import annotations

from collections import deque

from ..models.errors import AntiphonError, ConfigurationError


class PortsExhausted(AntiphonError):
    """All ports are in use or at rest; a call that needs one is answered with 503."""


class PortPool:
    """The ports of one media address. Times are seconds on the clock of `now`."""

    def __init__(self, first: int = 10000, last: int = 20000, *, quarantine: float = 30.0) -> None:
        """Offer the even ports of a range.

        Args:
            first: lowest port that may be used.
            last: highest port that may be used, for RTCP too.
            quarantine: seconds that a port rests after its release.

        Raises:
            ConfigurationError: there is no pair of ports in the range.
        """
        ports = range(first + first % 2, last, 2)
        if not 1024 <= first <= last <= 65535 or not ports:
            raise ConfigurationError(
                f"RTP ports {first} to {last}: give a range of at least two ports between 1024 and 65535"
            )
        self._free = deque(ports)
        self._used: set[int] = set()
        self._resting: deque[tuple[float, int]] = deque()
        self._quarantine = quarantine

    @property
    def used(self) -> int:
        """How many calls hold a port."""
        return len(self._used)

    @property
    def capacity(self) -> int:
        return len(self._free) + len(self._used) + len(self._resting)

    def acquire(self, now: float) -> int:
        """An even port that nobody uses; the one above is free for RTCP.

        Raises:
            PortsExhausted: there is none.
        """
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft()[1])
        if not self._free:
            raise PortsExhausted(
                f"all {self.capacity} RTP ports are taken ({len(self._used)} in calls, {len(self._resting)} at rest); "
                "widen the range of RTP ports or limit the number of calls"
            )
        port = self._free.popleft()
        self._used.add(port)
        return port

    def release(self, port: int, now: float, *, used: bool = True) -> None:
        """Give a port back; one that is not in use is ignored, so that no race frees it twice.

        Args:
            used: whether a far end knew of it, so that packets may still come; otherwise it needs no rest.
        """
        if port in self._used:
            self._used.discard(port)
            if used:
                self._resting.append((now + self._quarantine, port))
            else:
                self._free.append(port)

    def reject(self, port: int, now: float) -> None:
        """Give back a port that another program holds, so that it is not tried again at once."""
        self.release(port, now)
