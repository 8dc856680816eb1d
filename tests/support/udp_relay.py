"""A bad network between two UDP sockets of this machine: it loses, delays, reorders and doubles datagrams, the same way each time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1"
Address = tuple[str, int]
Rewrite = Callable[[bytes, bool], bytes]


@dataclass(frozen=True)
class Faults:
    """What happens to each datagram, each way.

    Attributes:
        loss: share that is lost.
        jitter: seconds that one is held, at most; evenly spread, so that many overtake others.
        duplicates: share that comes twice.
    """

    loss: float = 0.0
    jitter: float = 0.0
    duplicates: float = 0.0


class _Side(asyncio.DatagramProtocol):
    """The socket that one of the two talks with."""

    def __init__(self, relay: Relay, *, near: bool) -> None:
        self._relay = relay
        self._near = near
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._relay.take(data, addr, near=self._near)


class Relay:
    """Between whoever sends to `address` first, the near side, and the far side.

    Attributes:
        faults: may be changed at any time.
        lost, doubled, passed: counts of datagrams.
        rewrite: changes what passes; called with the datagram and whether it comes from the near side.
    """

    def __init__(self, far: Address, faults: Faults, seed: int) -> None:
        self.faults = faults
        self.far = far
        self.rewrite: Rewrite | None = None
        self.lost = self.doubled = self.passed = 0
        self._near: Address | None = None
        self._random = random.Random(seed)
        self._sides = (_Side(self, near=True), _Side(self, near=False))
        self._timers: set[asyncio.TimerHandle] = set()

    @property
    def address(self) -> Address:
        """Where the near side sends to."""
        host, port = self._sides[0].transport.get_extra_info("sockname")
        return host, port

    @property
    def far_address(self) -> Address:
        """Where the far side sends to."""
        host, port = self._sides[1].transport.get_extra_info("sockname")
        return host, port

    def take(self, data: bytes, source: Address, *, near: bool) -> None:
        if near:
            self._near = source
        if self._random.random() < self.faults.loss:
            self.lost += 1
            return
        copies = 1
        if self._random.random() < self.faults.duplicates:
            self.doubled += 1
            copies = 2
        if self.rewrite is not None:
            data = self.rewrite(data, near)
        for _ in range(copies):
            self._pass_on_later(data, near=near)

    def _pass_on_later(self, data: bytes, *, near: bool) -> None:
        loop = asyncio.get_running_loop()

        def pass_on() -> None:
            self._timers.discard(timer)
            side = self._sides[1 if near else 0]
            target = self.far if near else self._near
            if target is not None:
                self.passed += 1
                side.transport.sendto(data, target)

        timer = loop.call_later(self._random.random() * self.faults.jitter, pass_on)
        self._timers.add(timer)

    def hide(self, near: Address) -> None:
        """Have each side of a SIP conversation know the other by its side of the relay only.

        Args:
            near: where the near side listens, as its own messages say.
        """

        def swap(data: bytes, from_near: bool) -> bytes:
            pairs = ((near, self.far_address), (self.address, self.far))
            for one, other in pairs:
                before, after = (one, other) if from_near else (other, one)
                data = data.replace(
                    b"%s:%d" % (before[0].encode(), before[1]), b"%s:%d" % (after[0].encode(), after[1])
                )
            return data

        self.rewrite = swap

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()
        for side in self._sides:
            if side.transport is not None:
                side.transport.close()

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for side in self._sides:
            await loop.create_datagram_endpoint(lambda side=side: side, local_addr=(HOST, 0))  # type: ignore[misc]


@asynccontextmanager
async def udp_relay(far: Address, faults: Faults | None = None, *, seed: int = 1) -> AsyncIterator[Relay]:
    """A relay to `far` on two free ports."""
    relay = Relay(far, faults or Faults(), seed)
    try:
        await relay.open()
        yield relay
    finally:
        relay.close()
