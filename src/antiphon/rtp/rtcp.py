"""RTCP: reports on what was sent and what arrived, and what they say about quality.

Sources: RFC 3550 sections 6.4 to 6.6 and appendix A.3, A.8; ITU-T G.107 (E-model) in the short form of Cole and Rosenbluth, "Voice over
IP performance monitoring" (2001), for the estimated MOS.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from .packet import VERSION, MalformedPacket, RtpPacket, Unwrapper

SENDER_REPORT, RECEIVER_REPORT, SOURCE_DESCRIPTION, BYE = 200, 201, 202, 203
INTERVAL = 5.0
_NTP_EPOCH = 2208988800  # seconds from 1900 to 1970
_BLOCK = struct.Struct("!IIIIII")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What one side received of one source.

    Attributes:
        ssrc: the source.
        fraction_lost: of the packets since the last report, 0 to 1.
        lost: packets in all; negative with duplicates.
        highest_sequence: unwrapped, 32 bits.
        jitter: in ticks.
        last_report: middle 32 bits of the last sender report's NTP time; 0: none came.
        delay: seconds since that report came.
    """

    ssrc: int
    fraction_lost: float
    lost: int
    highest_sequence: int
    jitter: int
    last_report: int = 0
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """A sender or receiver report, or a goodbye.

    Attributes:
        ssrc: who reports.
        blocks: about whom.
        ntp: the sender's time, 64 bits of NTP; None in a receiver report.
        packets: sent so far.
        goodbye: the source leaves.
    """

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()
    ntp: int | None = None
    packets: int = 0
    goodbye: bool = False


def parse_rtcp(datagram: bytes) -> list[Report]:
    """The reports of a compound packet; other kinds are skipped.

    Raises:
        MalformedPacket: it is not RTCP.
    """
    reports: list[Report] = []
    at = 0
    while at < len(datagram):
        if len(datagram) - at < 4 or datagram[at] >> 6 != VERSION:
            raise MalformedPacket("not an RTCP packet")
        count, kind = datagram[at] & 0x1F, datagram[at + 1]
        end = at + 4 + 4 * int.from_bytes(datagram[at + 2 : at + 4])
        if end > len(datagram):
            raise MalformedPacket("an RTCP packet is cut off")
        body = datagram[at + 4 : end]
        if kind in (SENDER_REPORT, RECEIVER_REPORT):
            reports.append(_parse_report(kind, count, body))
        elif kind == BYE and len(body) >= 4:
            reports.append(Report(int.from_bytes(body[:4]), goodbye=True))
        at = end
    return reports


def _parse_report(kind: int, count: int, body: bytes) -> Report:
    start = 24 if kind == SENDER_REPORT else 4
    if len(body) < start + 24 * count:
        raise MalformedPacket("an RTCP report is cut off")
    blocks = []
    for index in range(count):
        ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(body, start + 24 * index)
        lost = loss & 0xFFFFFF
        if lost >= 0x800000:
            lost -= 0x1000000
        blocks.append(ReportBlock(ssrc, (loss >> 24) / 256, lost, highest, jitter, last, delay / 65536))
    ssrc = int.from_bytes(body[:4])
    if kind == RECEIVER_REPORT:
        return Report(ssrc, tuple(blocks))
    return Report(ssrc, tuple(blocks), ntp=int.from_bytes(body[4:12]), packets=int.from_bytes(body[16:20]))


def serialize_report(
    ssrc: int,
    cname: str,
    *,
    sent: SentCount | None,
    block: ReportBlock | None,
    wall_time: float,
    goodbye: bool = False,
) -> bytes:
    """A compound packet: a report, the source's name, and a goodbye if wanted.

    Args:
        ssrc: ours.
        cname: ours, up to 255 bytes.
        sent: what we sent; None or nothing sent: a receiver report.
        block: what we received.
        wall_time: seconds since 1970.
        goodbye: we leave.
    """
    blocks = b"" if block is None else _serialize_block(block)
    count = 0 if block is None else 1
    if sent is not None and sent.packets:
        ntp = int((wall_time + _NTP_EPOCH) * 2**32) & 0xFFFFFFFFFFFFFFFF
        body = struct.pack(
            "!IQIII", ssrc, ntp, sent.timestamp, sent.packets & 0xFFFFFFFF, sent.octets & 0xFFFFFFFF
        )
        packet = _packet(SENDER_REPORT, count, body + blocks)
    else:
        packet = _packet(RECEIVER_REPORT, count, struct.pack("!I", ssrc) + blocks)
    name = cname.encode()[:255]
    chunk = struct.pack("!IBB", ssrc, 1, len(name)) + name
    packet += _packet(SOURCE_DESCRIPTION, 1, chunk + bytes(4 - len(chunk) % 4))
    return packet + (_packet(BYE, 1, struct.pack("!I", ssrc)) if goodbye else b"")


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return struct.pack("!BBH", VERSION << 6 | count, kind, len(body) // 4) + body


def _serialize_block(block: ReportBlock) -> bytes:
    lost = max(-0x800000, min(0x7FFFFF, block.lost)) & 0xFFFFFF
    fraction = max(0, min(255, int(block.fraction_lost * 256)))
    delay = min(0xFFFFFFFF, int(block.delay * 65536))
    return _BLOCK.pack(
        block.ssrc,
        fraction << 24 | lost,
        block.highest_sequence & 0xFFFFFFFF,
        block.jitter & 0xFFFFFFFF,
        block.last_report,
        delay,
    )


@dataclass(slots=True)
class SentCount:
    """What we sent of one source: packets, bytes of payload, and the timestamp that belongs to now."""

    packets: int = 0
    octets: int = 0
    timestamp: int = 0


class ReceptionStatistics:
    """What arrives of one source, as reports want it."""

    def __init__(self, clock_rate: int) -> None:
        self._rate = clock_rate
        self._begin(0)

    def _begin(self, ssrc: int) -> None:
        self.ssrc = ssrc
        self._sequences = Unwrapper(16)
        self._first: int | None = None
        self._highest = 0
        self._received = 0
        self._before = (0, 0)  # expected, received at the last report
        self._transit: float | None = None
        self._jitter = 0.0
        self._last_report = 0
        self._last_report_at = 0.0

    @property
    def expected(self) -> int:
        return 0 if self._first is None else self._highest - self._first + 1

    @property
    def lost(self) -> int:
        return self.expected - self._received

    @property
    def jitter(self) -> float:
        """Interarrival jitter in seconds."""
        return self._jitter / self._rate

    def begin_anew(self) -> None:
        """The numbers of the next packet have nothing to do with those before."""
        self._first = None

    def receive(self, packet: RtpPacket, now: float, *, timed: bool = True) -> None:
        """Count a packet as it arrives; one whose timestamp does not say when it was sent, as a key's, is not `timed`."""
        if packet.ssrc != self.ssrc or self._first is None:
            self._begin(packet.ssrc)
        sequence = self._sequences.unwrap(packet.sequence)
        self._first = sequence if self._first is None else self._first
        self._highest = max(self._highest, sequence)
        self._received += 1
        if not timed:
            return
        transit = now * self._rate - packet.timestamp
        if self._transit is not None:
            difference = abs(transit - self._transit)
            # A jump of the sender's clock is no jitter.
            if difference < self._rate:
                self._jitter += (difference - self._jitter) / 16
        self._transit = transit

    def receive_report(self, report: Report, now: float) -> None:
        """Remember a sender report, so that the sender can tell the round trip."""
        if report.ntp is not None:
            self._last_report, self._last_report_at = (report.ntp >> 16) & 0xFFFFFFFF, now

    def block(self, now: float) -> ReportBlock | None:
        """The report on what came since the last one; None if nothing ever came."""
        if self._first is None:
            return None
        expected = self.expected - self._before[0]
        lost = expected - (self._received - self._before[1])
        self._before = (self.expected, self._received)
        fraction = lost / expected if expected > 0 and lost > 0 else 0.0
        delay = now - self._last_report_at if self._last_report else 0.0
        return ReportBlock(
            self.ssrc, fraction, self.lost, self._highest, round(self._jitter), self._last_report, delay
        )


def round_trip(block: ReportBlock, wall_time: float) -> float | None:
    """Seconds that our last report and the answer to it took on the way; None if the block does not tell."""
    if not block.last_report:
        return None
    now = int((wall_time + _NTP_EPOCH) * 65536) & 0xFFFFFFFF
    took = ((now - block.last_report) & 0xFFFFFFFF) / 65536 - block.delay
    return took if 0 <= took < 60 else None


def estimated_mos(loss: float, delay: float, *, wideband: bool = False) -> float:
    """What listeners would give, 1 (bad) to 4.4.

    Args:
        loss: share of packets lost, 0 to 1, bridged by concealment.
        delay: one way, in seconds, jitter buffer included.
        wideband: G.722 or Opus.
    """
    milliseconds = delay * 1000
    impairment = 0.024 * milliseconds + (0.11 * (milliseconds - 177.3) if milliseconds > 177.3 else 0.0)
    equipment = (7 if wideband else 0) + 30 * math.log1p(15 * loss)
    rating = max(0.0, min(100.0, 94.2 - impairment - equipment))
    return 1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6
