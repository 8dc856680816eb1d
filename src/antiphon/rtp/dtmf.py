"""Keys of a telephone as RTP events.

A key comes as several packets with one timestamp and a growing duration, the last one three times; any of them may be lost. A key
is reported once, when its first packet comes.

Source: RFC 4733 sections 2.3 (format), 2.5 (sending and receiving), 3.2 (codes).
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from .packet import MalformedPacket, RtpPacket

KEYS = "0123456789*#ABCD"
_EVENT = struct.Struct("!BBH")
_END = 0x80
_REMEMBERED = 32


@dataclass(frozen=True, slots=True)
class TelephoneEvent:
    """The payload of one packet; `volume` is dB below 0 dBm0, `duration` in ticks so far."""

    code: int
    end: bool
    volume: int
    duration: int


def parse_event(payload: bytes) -> TelephoneEvent:
    """Read a payload. Raises MalformedPacket."""
    if len(payload) < _EVENT.size:
        raise MalformedPacket("a telephone event of less than four bytes")
    code, flags, duration = _EVENT.unpack_from(payload)
    return TelephoneEvent(code, bool(flags & _END), flags & 0x3F, duration)


def serialize_event(event: TelephoneEvent) -> bytes:
    return _EVENT.pack(event.code, (_END if event.end else 0) | event.volume, event.duration)


class DtmfReceiver:
    """Finds keys among the event packets of a stream."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)
        self._last: tuple[int, int, int, bool] | None = None  # ssrc, timestamp, code, end

    def receive(self, packet: RtpPacket) -> str | None:
        """The key that this packet begins; None when it belongs to a key already reported, or is no key.

        Raises:
            MalformedPacket: the payload is no event.
        """
        event = parse_event(packet.payload)
        if event.code >= len(KEYS):
            return None
        known = (packet.ssrc, packet.timestamp) in self._seen
        continued = not known and self._continues(packet, event)
        if not known:
            self._seen.append((packet.ssrc, packet.timestamp))
        self._last = (packet.ssrc, packet.timestamp, event.code, event.end)
        return None if known or continued else KEYS[event.code]

    def _continues(self, packet: RtpPacket, event: TelephoneEvent) -> bool:
        """Whether a key that is held very long goes on under a new timestamp (section 2.5.1.3)."""
        if self._last is None:
            return False
        ssrc, timestamp, code, end = self._last
        step = (packet.timestamp - timestamp) & 0xFFFFFFFF
        return ssrc == packet.ssrc and code == event.code and not end and step == 0xFFFF and not packet.marker


class DtmfSender:
    """Turns keys into event payloads, one for each packet interval.

    Lengths are ticks of the RTP clock.
    """

    def __init__(
        self, clock_rate: int, *, interval: int, length: float = 0.1, gap: float = 0.06, volume: int = 10
    ) -> None:
        """Prepare.

        Args:
            clock_rate: RTP ticks a second.
            interval: ticks between packets.
            length: seconds that a key is held.
            gap: seconds of silence after it; at least 40 ms, or receivers run keys together.
            volume: dB below 0 dBm0.
        """
        self._rate = clock_rate
        self._interval = interval
        self._length = max(interval, round(length * clock_rate / interval) * interval)
        self._gap = max(1, round(gap * clock_rate / interval))
        self._volume = volume
        self._queue: deque[str] = deque()
        self._steps: Iterator[tuple[TelephoneEvent | None, bool]] | None = None

    @property
    def active(self) -> bool:
        """Whether keys are still to be sent."""
        return self._steps is not None or bool(self._queue)

    def press(self, keys: str) -> None:
        """Queue keys; `w` is half a second of pause.

        Raises:
            ValueError: something is no key.
        """
        for key in keys:
            if key not in KEYS and key != "w":
                raise ValueError(f"{key!r} is not a telephone key: 0-9, *, #, A-D, or w for a pause")
        self._queue.extend(keys)

    def step(self) -> tuple[TelephoneEvent | None, bool]:
        """What this packet interval sends in place of audio: an event and whether a new key begins; None is a pause.

        The event's packet carries the timestamp of the interval in which the key began, repetitions of the last one included.
        """
        while True:
            if self._steps is None:
                self._steps = self._steps_of(self._queue.popleft())
            for found in self._steps:
                return found
            self._steps = None
            if not self._queue:
                return None, False

    def _steps_of(self, key: str) -> Iterator[tuple[TelephoneEvent | None, bool]]:
        if key == "w":
            for _ in range(round(0.5 * self._rate / self._interval)):
                yield None, False
            return
        code = KEYS.index(key)
        for duration in range(self._interval, self._length, self._interval):
            yield TelephoneEvent(code, False, self._volume, duration), duration == self._interval
        for repetition in range(3):
            first = repetition == 0 and self._length == self._interval
            yield TelephoneEvent(code, True, self._volume, self._length), first
        for _ in range(self._gap):
            yield None, False
