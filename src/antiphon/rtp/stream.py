"""The audio of one call, both ways: datagrams in, 20 ms frames out; frames in, datagrams out. No sockets and no clock.

Where packets may come from follows the rule against stolen media ("RTP bleed"): the stream accepts the address of the SDP, and may
move once to another address within the networks of the trunk, before anything valid came; then it is locked. It moves again only when
the address went quiet: for a moment after the far end offered anew, for longer without, and then not to a stranger.

Sources: RFC 3550, RFC 3551, RFC 3711, RFC 4733; RFC 7362 (latching); CVE-2017-14099 on what goes wrong with it.
"""

from __future__ import annotations

import ipaddress
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..audio import Resampler
from ..audio.frame import Int16Array
from .codecs import FRAME_SECONDS, CodecInfo, create_coder
from .concealment import Concealment
from .dtmf import DtmfReceiver
from .jitter_buffer import Gap, GapKind, JitterBuffer
from .packet import Continuity, MalformedPacket, RtpPacket, SequenceGuard, is_rtcp, parse_rtp
from .rtcp import (
    INTERVAL,
    ReceptionStatistics,
    estimated_mos,
    parse_rtcp,
    round_trip,
    serialize_report,
)
from .sender import Sender
from .settings import Address, StreamSettings
from .srtp import SrtpContext

COMFORT_NOISE = 13
_QUIET = 200  # of 32767: below, a skipped packet is not heard
_SAME_SSRC_TO_LATCH = 2
_OFFER_SECONDS = 5.0  # from the first packet after a new offer on
_QUIET_AFTER_OFFER = 0.2  # seconds without a packet, after which another source may take over then
_QUIET_WITHOUT_OFFER = 3.0


@dataclass(slots=True)
class Received:
    """What a datagram meant: whether it was valid audio of the call, and the key that it began."""

    valid: bool = False
    key: str | None = None


@dataclass(slots=True)
class Refusals:
    """Datagrams that were not taken, by reason."""

    malformed: int = 0
    source: int = 0
    payload_type: int = 0


class RtpStream:
    """One call. Times are seconds on the clock of `now`, except where they are called wall time."""

    def __init__(self, settings: StreamSettings, *, cname: str = "antiphon") -> None:
        """Begin with what was agreed on.

        Raises:
            ConfigurationError: a package for the codec or for SRTP is missing.
        """
        self.refusals = Refusals()
        self.last_received: float | None = None
        self.received = 0
        self._cname = cname
        self._sending = Sender(settings)
        self._keys = DtmfReceiver()
        self._guard = SequenceGuard()
        self._next_report = 0.0
        self._round_trip: float | None = None
        self._far_loss = 0.0
        self._far_jitter = 0.0
        self._remote = settings.remote  # the last one that was anywhere
        self._latched: Address | None = None
        self._candidate: tuple[Address, int, int] | None = None
        self._may_move_until = 0.0
        self._quiet = False
        self.settings = settings
        self._use_codec()
        self._use_receive_key()
        self._use_networks()

    def configure(self, settings: StreamSettings) -> None:
        """Take what a new offer and answer agreed on; our SSRC and numbers go on."""
        before, self.settings = self.settings, settings
        self._sending.configure(settings)
        if settings.remote not in (None, self._remote):
            self._remote, self._latched, self._candidate = settings.remote, None, None
        if before.round != settings.round:
            # On hold nobody moves: silence is what is expected then, and no sign of a lost address.
            self._may_move_until = math.inf if settings.sending and settings.receiving else 0.0
        if before.codec != settings.codec:
            self._use_codec()
        # Only then: a context counts the turns of the sequence numbers (RFC 3711 section 3.3.1), and the far end goes on counting.
        if before.receive_key != settings.receive_key:
            self._use_receive_key()
        self._use_networks()

    def _use_codec(self) -> None:
        codec = self.settings.codec
        self._coder = create_coder(codec)
        self._decoders = {codec.name: self._coder}
        self._resamplers: dict[tuple[int, int], Resampler] = {}
        self._jitter = JitterBuffer(codec.clock_rate)
        self._statistics = ReceptionStatistics(codec.clock_rate)
        self._concealment = Concealment(codec.sample_rate)
        self._spare: Int16Array = np.zeros(0, dtype=np.int16)

    def _use_receive_key(self) -> None:
        key = self.settings.receive_key
        self._unprotect = SrtpContext(key, inbound=True) if key else None

    def _use_networks(self) -> None:
        self._networks = tuple(ipaddress.ip_network(text) for text in self.settings.media_networks)

    @property
    def frame_samples(self) -> int:
        """Samples of a frame of 20 ms."""
        return round(self.settings.codec.sample_rate * FRAME_SECONDS)

    @property
    def target(self) -> Address | None:
        """Where audio goes: to where it comes from, once that is known."""
        return self._latched or self.settings.remote

    @property
    def rtcp_target(self) -> Address | None:
        target, remote = self.target, self.settings.remote
        if target is None or remote is None:
            return None
        if self.settings.rtcp_mux:
            return target
        if self.settings.remote_rtcp is not None and target[0] == remote[0]:
            return self.settings.remote_rtcp
        return target[0], target[1] + 1

    # -- what comes ----------------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: Address, now: float) -> Received:
        """Take a datagram from the audio port; what does not belong to the call is counted and dropped."""
        if is_rtcp(datagram):
            self.receive_rtcp(datagram, source, now)
            return Received()
        try:
            if self._unprotect is not None:
                datagram = self._unprotect.unprotect(datagram)
            packet = parse_rtp(datagram)
        except MalformedPacket:
            self.refusals.malformed += 1
            return Received()
        known = packet.payload_type in self.settings.receive
        event = packet.payload_type in self.settings.dtmf_receive
        if not known and not event and packet.payload_type != COMFORT_NOISE:
            self.refusals.payload_type += 1
            return Received()
        if not self._admits(source, packet, now):
            self.refusals.source += 1
            return Received()
        return self._take(packet, event, now)

    def _take(self, packet: RtpPacket, event: bool, now: float) -> Received:
        key = None
        try:
            if event:
                key = self._keys.receive(packet)
            if event or packet.payload_type == COMFORT_NOISE:
                self._statistics.receive(packet, now, timed=False)
                self._jitter.note(packet)
            else:
                self._push(packet, now)
        except MalformedPacket:
            self.refusals.malformed += 1
            return Received()
        self.last_received = now
        self.received += 1
        return Received(True, key)

    def _push(self, packet: RtpPacket, now: float) -> None:
        codec = self.settings.receive[packet.payload_type]
        coder = self._decoders.get(codec.name)
        if coder is None:
            coder = self._decoders[codec.name] = create_coder(codec)
        length = coder.length(packet.payload)
        match self._guard.judge(packet):
            case Continuity.DOUBTFUL:
                return
            case Continuity.BEGINS_ANEW:
                self._statistics.begin_anew()
                self._jitter.begin_anew()
        self._statistics.receive(packet, now)
        if self.settings.receiving:
            self._jitter.push(packet, length, now)

    def _admits(self, source: Address, packet: RtpPacket, now: float) -> bool:
        if self._may_move_until == math.inf:
            self._may_move_until = now + _OFFER_SECONDS
        expected = self.target
        if source == expected:
            if self._latched is None:
                self._latched = source
            return True
        if not self._may_leave(source[0], now) or not self._may_move_to(source[0]):
            return False
        # A few packets of one SSRC from one place, so that one forged packet moves nothing.
        before = self._candidate
        count = before[2] + 1 if before is not None and before[:2] == (source, packet.ssrc) else 1
        self._candidate = (source, packet.ssrc, count)
        if count < _SAME_SSRC_TO_LATCH:
            return False
        self._latched, self._may_move_until = source, 0.0
        return True

    def _may_leave(self, host: str, now: float) -> bool:
        """Whether the present source may have moved to `host`, as behind a NAT that forgot it: only if it is quiet."""
        if self._latched is None:
            return True
        quiet = now - (self.last_received or 0.0)
        if now < self._may_move_until and quiet > _QUIET_AFTER_OFFER:
            return True
        return quiet > _QUIET_WITHOUT_OFFER and (host == self._latched[0] or bool(self._networks))

    def _may_move_to(self, host: str) -> bool:
        if not self._networks:
            return True
        address = ipaddress.ip_address(host)
        remote = self.settings.remote
        return (remote is not None and host == remote[0]) or any(address in one for one in self._networks)

    def receive_rtcp(
        self, datagram: bytes, source: Address, now: float, wall_time: float | None = None
    ) -> None:
        """Take a datagram from the port of reports."""
        target = self.rtcp_target
        if target is None or source[0] != target[0]:
            self.refusals.source += 1
            return
        try:
            if self._unprotect is not None:
                datagram = self._unprotect.unprotect_rtcp(datagram)
            reports = parse_rtcp(datagram)
        except MalformedPacket:
            self.refusals.malformed += 1
            return
        for report in reports:
            self._statistics.receive_report(report, now)
            for block in report.blocks:
                if block.ssrc != self._sending.ssrc:
                    continue
                self._far_loss = block.lost / max(1, self._sending.count.packets)
                self._far_jitter = block.jitter / self.settings.codec.clock_rate
                if wall_time is not None:
                    self._round_trip = round_trip(block, wall_time)

    # -- what is played ------------------------------------------------------------------------------------------------

    def next_payload(self, now: float) -> tuple[CodecInfo, bytes] | None:
        """The payload that is exactly the next frame, when nothing has to be made up or cut; for batched decoding.

        None: `pull` makes the frame. Otherwise hand the decoded frame to `played`.
        """
        if self._spare.size or self._concealment.active:
            return None
        item = self._jitter.pop(now, quiet=self._quiet)
        if isinstance(item, Gap):
            self._spare = self._fill(item)
            return None
        codec = self.settings.receive[item.payload_type]
        own_rate = codec.sample_rate == self.settings.codec.sample_rate
        if own_rate and codec.silence is not None and len(item.payload) == self.frame_samples:
            return codec, item.payload
        self._append(item)
        return None

    def played(self, frame: Int16Array) -> None:
        """What `next_payload` gave was decoded to `frame`."""
        self._concealment.heard(frame)
        self._quiet = int(frame[::8].max(initial=0)) < _QUIET

    def pull(self, now: float) -> Int16Array:
        """The next 20 ms of the far end."""
        size = self.frame_samples
        while self._spare.size < size:
            item = self._jitter.pop(now, quiet=self._quiet)
            if isinstance(item, Gap):
                self._spare = np.concatenate([self._spare, self._fill(item)])
            else:
                self._append(item)
        frame, self._spare = self._spare[:size], self._spare[size:]
        self._quiet = int(frame[::8].max(initial=0)) < _QUIET
        return frame

    def _append(self, packet: RtpPacket) -> None:
        coder = self._decoders[self.settings.receive[packet.payload_type].name]
        try:
            samples = self._at_own_rate(coder.info, coder.decode(packet.payload))
        except MalformedPacket:
            self.refusals.malformed += 1
            samples = self._concealment.conceal(self.frame_samples)
        else:
            if samples.size:
                samples = self._concealment.heard(samples)
            else:
                samples = self._concealment.silence(self.frame_samples)
        self._spare = np.concatenate([self._spare, samples])

    def _at_own_rate(self, codec: CodecInfo, samples: Int16Array) -> Int16Array:
        """Audio of a codec that the far end changed to at the rate of the one agreed on."""
        rates = codec.sample_rate, self.settings.codec.sample_rate
        if rates[0] == rates[1]:
            return samples
        if rates not in self._resamplers:
            self._resamplers[rates] = Resampler(*rates)
        return self._resamplers[rates].push(samples)

    def _fill(self, gap: Gap) -> Int16Array:
        codec = self.settings.codec
        count = max(1, gap.length * codec.sample_rate // codec.clock_rate)
        if gap.kind is GapKind.LOST:
            return self._concealment.conceal(count)
        return self._concealment.silence(count)

    # -- what goes -----------------------------------------------------------------------------------------------------

    def press(self, keys: str) -> None:
        """Send keys. Raises ValueError for what is no key or when the far end takes none."""
        self._sending.press(keys)

    @property
    def pressing(self) -> bool:
        return self._sending.pressing

    def encode(self, frame: Int16Array) -> bytes:
        """The payload of a frame; where it is not made for many calls at once."""
        return self._coder.encode(frame)

    def packets(self, payload: bytes) -> Sequence[bytes]:
        """The datagrams for this interval of 20 ms, none when nothing is sent; call it once for each interval."""
        return self._sending.packets(payload)

    def report(self, now: float, wall_time: float, *, goodbye: bool = False) -> bytes | None:
        """The RTCP packet that is due, or None."""
        if not goodbye and now < self._next_report:
            return None
        # Spread, so that calls that began together do not report together (RFC 3550 section 6.2).
        self._next_report = now + INTERVAL * (0.5 + secrets.randbelow(1000) / 1000)
        datagram = serialize_report(
            self._sending.ssrc,
            self._cname,
            sent=self._sending.count,
            block=self._statistics.block(now),
            wall_time=wall_time,
            goodbye=goodbye,
        )
        return self._sending.protect_rtcp(datagram)

    def statistics(self) -> dict[str, float | int | str | None]:
        """For the call's record: counts, loss as a share, jitter and round trip in seconds, estimated MOS of both ways."""
        codec, buffer = self.settings.codec, self._jitter.statistics
        wideband = codec.sample_rate > 8000
        expected = self._statistics.expected
        bridged = buffer.concealed / max(1, buffer.concealed + buffer.received)
        way = (self._round_trip or 0.0) / 2
        return {
            "codec": codec.name,
            "packets_sent": self._sending.count.packets,
            "packets_received": self.received,
            "packets_lost": max(0, self._statistics.lost),
            "loss": max(0, self._statistics.lost) / expected if expected else 0.0,
            "late": buffer.late,
            "duplicates": buffer.duplicates,
            "concealed": buffer.concealed,
            "jitter": round(self._statistics.jitter, 5),
            "jitter_buffer": round(self._jitter.target, 4),
            "round_trip": self._round_trip,
            "far_loss": self._far_loss,
            "far_jitter": round(self._far_jitter, 5),
            "mos": round(estimated_mos(bridged, way + self._jitter.target, wideband=wideband), 2),
            "far_mos": round(estimated_mos(max(0.0, self._far_loss), way + 0.06, wideband=wideband), 2),
            "refused": self.refusals.malformed + self.refusals.source + self.refusals.payload_type,
        }
