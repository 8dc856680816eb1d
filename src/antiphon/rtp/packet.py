"""RTP packets.

Source: RFC 3550 section 5.1 (header), section 5.3.1 (extension), appendix A.1 (validity).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum

HEADER = struct.Struct("!BBHII")
VERSION = 2


class MalformedPacket(ValueError):
    """Bytes that are no RTP or RTCP packet."""


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One packet.

    Attributes:
        payload_type: 0 to 127.
        sequence: 16 bits.
        timestamp: 32 bits, in units of the payload's clock.
        ssrc: 32 bits.
        payload: without padding.
        marker: begins a talkspurt, or a key.
    """

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False


def parse_rtp(datagram: bytes) -> RtpPacket:
    """Read a packet; CSRC list, header extension and padding are skipped.

    Raises:
        MalformedPacket: it is not one.
    """
    size = len(datagram)
    if size < HEADER.size:
        raise MalformedPacket(f"{size} bytes are less than an RTP header")
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(datagram)
    if first >> 6 != VERSION:
        raise MalformedPacket(f"RTP version {first >> 6}")
    start = HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        if size < start + 4:
            raise MalformedPacket("the header extension is cut off")
        start += 4 + 4 * int.from_bytes(datagram[start + 2 : start + 4])
    end = size
    if first & 0x20:
        padding = datagram[-1]
        if not padding:
            raise MalformedPacket("padding of no bytes")
        end -= padding
    if start > end:
        raise MalformedPacket("header and padding are longer than the packet")
    return RtpPacket(second & 0x7F, sequence, timestamp, ssrc, datagram[start:end], bool(second & 0x80))


def serialize_rtp(packet: RtpPacket) -> bytes:
    """The bytes to send."""
    second = packet.payload_type | (0x80 if packet.marker else 0)
    header = HEADER.pack(VERSION << 6, second, packet.sequence, packet.timestamp, packet.ssrc)
    return header + packet.payload


def is_rtcp(datagram: bytes) -> bool:
    """Whether a datagram on a port that carries both is RTCP (RFC 5761 section 4)."""
    return len(datagram) >= 2 and 192 <= datagram[1] <= 223


class Unwrapper:
    """Makes counters that wrap around, of `bits` bits, into ones that do not; steps of less than half the range.

    Source: RFC 3550 appendix A.1.
    """

    def __init__(self, bits: int) -> None:
        self._size = 1 << bits
        self._newest: int | None = None

    def unwrap(self, value: int) -> int:
        """The value in the full line of numbers, at or near the newest one seen."""
        if self._newest is None:
            # Room below for packets that were sent before the first one that arrived.
            self._newest = value + self._size
            return self._newest
        step = (value - self._newest) % self._size
        if step >= self._size // 2:
            return self._newest + step - self._size
        self._newest += step
        return self._newest


_MOST_MISSING = 3000
_MOST_LATE = 100


class Continuity(Enum):
    """What a sequence number says of its stream."""

    GOES_ON = "goes on"
    DOUBTFUL = "doubtful"  # far from those before: a stray packet, or the first of a new beginning
    BEGINS_ANEW = "begins anew"


class SequenceGuard:
    """Tells lost and late packets from a sender that began anew without a new SSRC.

    Source: RFC 3550 appendix A.1: two packets in a row with numbers far from those before.
    """

    def __init__(self) -> None:
        self._ssrc: int | None = None
        self._newest = 0
        self._awaited: int | None = None

    def judge(self, packet: RtpPacket) -> Continuity:
        """Take a packet as it arrives; a doubtful one is best left out."""
        step = (packet.sequence - self._newest + 0x8000) % 0x10000 - 0x8000
        anew = packet.sequence == self._awaited
        self._awaited = None
        if packet.ssrc == self._ssrc and not -_MOST_LATE < step < _MOST_MISSING and not anew:
            self._awaited = (packet.sequence + 1) & 0xFFFF
            return Continuity.DOUBTFUL
        if packet.ssrc != self._ssrc or anew or step > 0:
            self._ssrc, self._newest = packet.ssrc, packet.sequence
        return Continuity.BEGINS_ANEW if anew else Continuity.GOES_ON
