"""Puts packets that come late, twice or in the wrong order back into a steady stream of audio.

The buffer plays a line of RTP timestamps, stretch by stretch. How far the line runs behind the newest packet is its delay. A
stream starts with the target delay; where packets come too late the line stops and so lengthens it, and where there is more
than is needed it skips a packet, where the far end is quiet if it can. A sender whose clock runs faster or slower than ours
shows as a delay that grows or shrinks, and is met in the same way.

Times are seconds on the clock of `now`; lengths are ticks of the RTP clock.

Sources: RFC 3550 appendix A.8 (transit times); RFC 3551 section 4.1 and RFC 3389 (a gap in timestamps without one in sequence
numbers is silence that was not sent).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from .packet import RtpPacket, Unwrapper

_WINDOW = 150  # arrivals that the target is judged by: three seconds of 20 ms packets
_JUDGED_EVERY = 25
_LATE_SHARE = 0.02  # of packets that the target lets come too late
_MOST_HELD = 200
_LATE_IN_A_ROW = 10  # then the line is wrong, not the packets
_TOO_FULL = 25  # stretches in a row with too much delay before one is skipped
_JUMP_SECONDS = 2.0
_REMEMBERED = 64


class GapKind(Enum):
    LOST = "lost"  # conceal it
    SILENT = "silent"  # the far end sent nothing, on purpose
    EMPTY = "empty"  # nothing has come yet, or nothing comes any more


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without a packet, of `length` ticks."""

    kind: GapKind
    length: int


@dataclass(slots=True)
class JitterStatistics:
    """What happened to the packets of one stream."""

    received: int = 0
    duplicates: int = 0
    reordered: int = 0
    late: int = 0
    concealed: int = 0  # stretches
    skipped: int = 0  # packets, to shorten the delay
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    packet: RtpPacket
    sequence: int
    timestamp: int
    length: int


class JitterBuffer:
    """One stream; a change of its SSRC begins it anew.

    Attributes:
        target: the delay that it aims at, in seconds.
        statistics: since the beginning.
    """

    def __init__(
        self, clock_rate: int, *, minimum: float = 0.04, maximum: float = 0.2, frame: float = 0.02
    ) -> None:
        """Prepare an empty buffer.

        Args:
            clock_rate: RTP ticks a second.
            minimum: least target in seconds.
            maximum: most delay; beyond it packets are skipped even in speech.
            frame: seconds of a stretch without a packet.
        """
        self.clock_rate = clock_rate
        self.minimum = minimum
        self.maximum = maximum
        self.target = minimum
        self.statistics = JitterStatistics()
        self._step = round(frame * clock_rate)
        self._begin(None)

    def _begin(self, ssrc: int | None) -> None:
        self._ssrc = ssrc
        self._sequences = Unwrapper(16)
        self._timestamps = Unwrapper(32)
        self._held: dict[int, _Held] = {}  # by sequence number
        self._played: deque[int] = deque(maxlen=_REMEMBERED)
        self._transits: deque[float] = deque(maxlen=_WINDOW)
        self._others: deque[int] = deque(maxlen=_REMEMBERED)  # sequence numbers of what is no audio
        self._unjudged = 0
        self._newest_sequence = -1
        self._newest_end = 0
        self._last_sequence: int | None = None  # of the packet played last
        self._cursor: int | None = None  # the timestamp that is played next
        self._start_at = 0.0
        self._stalled = 0  # ticks played without moving the line
        self._bridged = 0  # stretches concealed meanwhile
        self._late_in_a_row = 0
        self._too_full = 0

    @property
    def delay(self) -> float:
        """Seconds of audio from the next stretch to the end of the newest packet."""
        return 0.0 if self._cursor is None else max(0, self._newest_end - self._cursor) / self.clock_rate

    def push(self, packet: RtpPacket, length: int, now: float) -> None:
        """Take a packet as it arrives.

        Args:
            packet: of an audio payload.
            length: how many ticks of audio it holds.
            now: when it arrived.
        """
        self.statistics.received += 1
        if packet.ssrc != self._ssrc:
            if self._ssrc is not None:
                self.statistics.restarts += 1
            self._begin(packet.ssrc)
        sequence = self._sequences.unwrap(packet.sequence)
        timestamp = self._timestamps.unwrap(packet.timestamp)
        if sequence in self._held or sequence in self._played:
            self.statistics.duplicates += 1
            return
        newer = sequence > self._newest_sequence
        held = _Held(packet, sequence, timestamp, length)
        if self._cursor is None:
            self._start(held, now)
        elif newer and abs(timestamp - self._newest_end) > _JUMP_SECONDS * self.clock_rate:
            self._restart(held, now)
        elif not self._held and newer:
            self._go_on(held, now)
        self._observe(timestamp, now)
        assert self._cursor is not None
        if timestamp < self._cursor and self._last_sequence is None:
            self._cursor = timestamp  # overtaken by a later one before anything was played
        if timestamp + length <= self._cursor:
            self._too_late(held, now)
            return
        self._late_in_a_row = 0
        if newer:
            self._newest_sequence, self._newest_end = sequence, timestamp + length
        else:
            self.statistics.reordered += 1
        self._held[sequence] = held
        if len(self._held) > _MOST_HELD:
            del self._held[min(self._held)]
            self.statistics.skipped += 1

    def begin_anew(self) -> None:
        """The next packet has nothing to do with those before, although its SSRC is theirs."""
        self.statistics.restarts += 1
        self._begin(None)

    def note(self, packet: RtpPacket) -> None:
        """A packet of this stream that is no audio, such as a key: its number is not missing."""
        if packet.ssrc == self._ssrc:
            self._others.append(self._sequences.unwrap(packet.sequence))

    def pop(self, now: float, *, quiet: bool = False) -> RtpPacket | Gap:
        """The next stretch to play.

        Args:
            now: when it is played.
            quiet: what was played last was so soft that nobody hears it if some is skipped.

        Returns:
            A packet, or what is in its place.
        """
        if self._cursor is None or now < self._start_at - 1e-6:
            return Gap(GapKind.EMPTY, self._step)
        if not self._held:
            return self._stall()
        following = self._held[min(self._held)]
        if following.timestamp > self._cursor:
            return self._bridge(following)
        if self._has_too_much(quiet) and len(self._held) > 1:
            self._take(following)
            self.statistics.skipped += 1
            following = self._held[min(self._held)]
            if following.timestamp > self._cursor:
                return self._bridge(following)
        self._take(following)
        return following.packet

    # -- the line ------------------------------------------------------------------------------------------------------

    def _start(self, first: _Held, now: float) -> None:
        self._cursor = first.timestamp
        self._start_at = now + self.target - first.length / self.clock_rate
        self._newest_sequence = first.sequence - 1
        self._newest_end = first.timestamp
        self._last_sequence = None
        self._stalled = self._bridged = 0
        self._late_in_a_row = 0

    def _restart(self, first: _Held, now: float) -> None:
        """The line is somewhere else from now on."""
        self.statistics.restarts += 1
        self._held.clear()
        self._transits.clear()
        self._start(first, now)

    def _go_on(self, held: _Held, now: float) -> None:
        """The buffer had run dry, and something comes again."""
        assert self._cursor is not None
        gap = held.timestamp - self._cursor
        if gap > 0 and self._follows(held):
            # Nothing was lost: the far end was silent, so this is a beginning, with the whole delay.
            self.statistics.concealed -= self._bridged
            self._cursor = held.timestamp
            self._start_at = now + self.target - held.length / self.clock_rate
        elif gap > 0:
            # What was concealed meanwhile stands for what was lost.
            self._cursor += min(gap, self._stalled)
        self._stalled = self._bridged = 0

    def _stall(self) -> Gap:
        self._stalled += self._step
        self._too_full = 0
        if self._others and self._others[-1] > self._newest_sequence:
            return Gap(GapKind.SILENT, self._step)
        if self._stalled > self._step * 3:
            return Gap(GapKind.EMPTY, self._step)
        self.statistics.concealed += 1
        self._bridged += 1
        return Gap(GapKind.LOST, self._step)

    def _bridge(self, following: _Held) -> Gap:
        assert self._cursor is not None
        length = min(self._step, following.timestamp - self._cursor)
        self._cursor += length
        if self._follows(following):
            return Gap(GapKind.SILENT, length)
        self.statistics.concealed += 1
        return Gap(GapKind.LOST, length)

    def _follows(self, held: _Held) -> bool:
        """Whether no audio was lost between what was played last and `held`."""
        if self._last_sequence is None:
            return False
        expected = self._last_sequence + 1
        while expected in self._others:
            expected += 1
        return held.sequence == expected

    def _take(self, held: _Held) -> None:
        del self._held[held.sequence]
        self._played.append(held.sequence)
        self._last_sequence = held.sequence
        self._cursor = held.timestamp + held.length

    def _too_late(self, held: _Held, now: float) -> None:
        self.statistics.late += 1
        self._late_in_a_row += 1
        if self._late_in_a_row >= _LATE_IN_A_ROW:
            self._restart(held, now)
            self._held[held.sequence] = held
            self._newest_sequence, self._newest_end = held.sequence, held.timestamp + held.length

    # -- the delay -----------------------------------------------------------------------------------------------------

    def _observe(self, timestamp: int, now: float) -> None:
        """Judge by how much later than the fastest ones packets come."""
        self._transits.append(now - timestamp / self.clock_rate)
        self._unjudged += 1
        if self._unjudged >= _JUDGED_EVERY:
            self._unjudged = 0
            ordered = sorted(self._transits)
            slow = ordered[min(len(ordered) - 1, int(len(ordered) * (1 - _LATE_SHARE)))]
            wanted = slow - ordered[0] + 2 * self._step / self.clock_rate
            self.target = min(self.maximum, max(self.minimum, wanted))

    def _has_too_much(self, quiet: bool) -> bool:
        step = self._step / self.clock_rate
        if self.delay > self.maximum + step:
            return True
        if self.delay <= self.target + step:
            self._too_full = 0
            return False
        self._too_full += 1
        if self._too_full < _TOO_FULL or not quiet:
            return False
        self._too_full = 0
        return True
