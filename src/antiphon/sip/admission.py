"""Who may talk to us: known sources only, and not too fast. Nobody else gets a reply, so scanners learn nothing.

Pure: asked for every datagram and connection before it is parsed, so it is a few dictionary look-ups for a source seen before.

Source: the practice of carriers' border elements; RFC 3261 section 26.1 for the threats.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

_REMEMBERED = 10_000
_LEARNED_SECONDS = 7200.0
_REPORT_EVERY = 60.0
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Verdict(Enum):
    """What becomes of a message by its source alone."""

    ADMITTED = "admitted"
    LEARNED = "learned"  # we wrote to it: responses and requests within calls only
    UNKNOWN = "unknown"
    TOO_FAST = "too fast"


@dataclass(slots=True)
class _Known:
    """What is remembered of one address."""

    trunk: str
    admitted: bool
    tokens: float
    filled_at: float
    reported_at: float = float("-inf")


class Admission:
    """The guard at the door.

    Attributes:
        refused: how many messages of unknown sources were dropped.
        throttled: how many were dropped because they came too fast.
    """

    def __init__(
        self,
        trunks: Mapping[str, Iterable[str]] | None = None,
        *,
        everyone: bool = False,
        rate: float = 1000.0,
        burst: float = 2000.0,
    ) -> None:
        """Args:
        trunks: for each trunk's name the IP addresses and networks that its messages come from.
        everyone: admit whoever comes, as on a loopback interface.
        rate: messages a second that one address may keep up.
        burst: messages that it may send at once.

        Raises:
            ValueError: an address or network is malformed.
        """
        self._everyone = everyone
        self._rate, self._burst = rate, burst
        self._networks: list[tuple[Network, str]] = []
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._learned: OrderedDict[str, float] = OrderedDict()
        self.refused = 0
        self.throttled = 0
        self.set_trunks(trunks or {})

    def set_trunks(self, trunks: Mapping[str, Iterable[str]]) -> None:
        """Replace the sources of all trunks.

        Raises:
            ValueError: an address or network is malformed; the old ones stay.
        """
        networks = [
            (ipaddress.ip_network(text.strip(), strict=False), trunk)
            for trunk, texts in trunks.items()
            for text in texts
        ]
        # The narrowest network decides to which trunk an address belongs.
        self._networks = sorted(networks, key=lambda entry: -entry[0].prefixlen)
        self._known.clear()

    def learn(self, host: str, now: float) -> None:
        """We wrote to this address, so it may answer."""
        self._learned[host] = now + _LEARNED_SECONDS
        self._learned.move_to_end(host)
        if len(self._learned) > _REMEMBERED:
            self._learned.popitem(last=False)

    def judge(self, host: str, now: float) -> tuple[Verdict, str]:
        """What becomes of a message from `host`, and to which trunk the address belongs; empty: to none."""
        known = self._known.get(host)
        if known is None:
            known = self._look_up(host, now)
        else:
            self._known.move_to_end(host)
        verdict = Verdict.ADMITTED
        if not known.admitted:
            if self._learned.get(host, 0.0) <= now:
                self.refused += 1
                return Verdict.UNKNOWN, ""
            verdict = Verdict.LEARNED
        known.tokens = min(self._burst, known.tokens + (now - known.filled_at) * self._rate)
        known.filled_at = now
        if known.tokens < 1.0:
            self.throttled += 1
            return Verdict.TOO_FAST, known.trunk
        known.tokens -= 1.0
        return verdict, known.trunk

    def should_log(self, host: str, now: float) -> bool:
        """Whether a refusal is worth a line: one a minute for each address, so that a flood does not fill the disk."""
        known = self._known.get(host)
        if known is None or now - known.reported_at < _REPORT_EVERY:
            return False
        known.reported_at = now
        return True

    def _look_up(self, host: str, now: float) -> _Known:
        trunk, admitted = "", self._everyone
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            address = None
        if address is not None:
            mapped = getattr(address, "ipv4_mapped", None)
            for network, name in self._networks:
                if (mapped or address) in network:
                    trunk, admitted = name, True
                    break
        known = _Known(trunk, admitted, self._burst, now)
        self._known[host] = known
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return known
