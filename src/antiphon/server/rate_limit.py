"""How often one client may ask: a token bucket for each address."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

_MAX_ADDRESSES = 10_000


class RateLimit:
    """Allows `burst` requests at once and `per_minute` on average, for each client.

    An IPv6 client is its /64 network, since it can take any address in there.
    """

    def __init__(self, per_minute: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> float:
        """Count one request.

        Returns:
            0 when it is allowed, else the seconds to wait.
        """
        client = _client(address)
        now = self._clock()
        tokens = self._tokens(client, now)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now)
        self._buckets.move_to_end(client)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else self._until_one(tokens)

    def wait(self, address: str) -> float:
        """Seconds until a request would be allowed, without counting one; 0 when it would be now."""
        tokens = self._tokens(_client(address), self._clock())
        return 0.0 if tokens >= 1 else self._until_one(tokens)

    def _tokens(self, client: str, now: float) -> float:
        tokens, before = self._buckets.get(client, (self._burst, now))
        return min(self._burst, tokens + (now - before) * self._per_second)

    def _until_one(self, tokens: float) -> float:
        return (1 - tokens) / self._per_second if self._per_second else math.inf


def _client(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
