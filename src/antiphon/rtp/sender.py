"""What one call sends: sequence numbers, timestamps, keys in place of audio, packets of the agreed length, encryption.

Source: RFC 3550 section 5.1; RFC 4733 section 2.5.1; RFC 3711.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from .codecs import FRAME_SECONDS
from .dtmf import DtmfSender, serialize_event
from .packet import RtpPacket, serialize_rtp
from .packetizer import Packetizer, packet_octets
from .rtcp import SentCount
from .settings import StreamSettings
from .srtp import SrtpContext


class Sender:
    """One source; its SSRC and its numbers go on whatever changes.

    Attributes:
        sequence: of the next packet.
        count: what was sent, for reports.
    """

    def __init__(self, settings: StreamSettings) -> None:
        """Begin. Raises ConfigurationError when the package for SRTP is missing."""
        self.ssrc = secrets.randbits(32)
        self.sequence = secrets.randbits(15)
        self.count = SentCount()
        self._timestamp = secrets.randbits(31)
        self._key_timestamp = 0
        self._marker = True
        self._settings = settings
        self._use_codec()
        self._use_packet_length()
        self._use_key()

    def configure(self, settings: StreamSettings) -> None:
        """Take what a new offer and answer agreed on."""
        before, self._settings = self._settings, settings
        if (before.codec, before.dtmf_clock) != (settings.codec, settings.dtmf_clock):
            self._use_codec()
        if (before.codec, before.packet_ms) != (settings.codec, settings.packet_ms):
            self._use_packet_length()
        # Only then: a context counts the turns of the sequence numbers (RFC 3711 section 3.3.1).
        if before.send_key != settings.send_key:
            self._use_key()

    def _use_codec(self) -> None:
        clock = self._settings.dtmf_clock
        self._dtmf = DtmfSender(clock, interval=round(FRAME_SECONDS * clock))

    def _use_packet_length(self) -> None:
        octets = packet_octets(self._settings.codec, self._settings.packet_ms)
        self._packetizer = None if octets is None else Packetizer(octets)

    def _use_key(self) -> None:
        key = self._settings.send_key
        self._protect = SrtpContext(key, inbound=False) if key else None

    def press(self, keys: str) -> None:
        """Send keys. Raises ValueError for what is no key or when the far end takes none."""
        if self._settings.dtmf_send is None:
            raise ValueError("the far end takes no keys in RTP")
        self._dtmf.press(keys)

    @property
    def pressing(self) -> bool:
        """Whether keys are still being sent."""
        return self._dtmf.active

    def packets(self, payload: bytes) -> Sequence[bytes]:
        """The datagrams for this interval of 20 ms, none when nothing is sent; keys go before audio.

        Call it once for each interval: it counts the time.
        """
        settings, packetizer, timestamp = self._settings, self._packetizer, self._timestamp
        ticks = round(FRAME_SECONDS * settings.codec.clock_rate)
        self._timestamp = (timestamp + ticks) & 0xFFFFFFFF
        key = self._key_packet(timestamp)
        if key is not None or not payload or not settings.sending:
            self._marker = self._marker or key is None
            if packetizer is not None:
                packetizer.clear()
            return () if key is None else (key,)
        kind = settings.payload_type
        if packetizer is None:
            return (self._datagram(kind, timestamp, payload),)
        return [self._datagram(kind, at, cut) for at, cut in packetizer.cut(payload, timestamp)]

    def _key_packet(self, timestamp: int) -> bytes | None:
        """The datagram of the key that is being pressed; None: none is."""
        settings = self._settings
        if not settings.sending or not self._dtmf.active:
            return None
        event, first = self._dtmf.step()
        if event is None or settings.dtmf_send is None:
            return None
        if first:
            self._key_timestamp = timestamp
        self._marker = first
        return self._datagram(settings.dtmf_send, self._key_timestamp, serialize_event(event))

    def _datagram(self, payload_type: int, timestamp: int, payload: bytes) -> bytes:
        datagram = serialize_rtp(
            RtpPacket(payload_type, self.sequence, timestamp, self.ssrc, payload, self._marker)
        )
        self._marker = False
        self.sequence = (self.sequence + 1) & 0xFFFF
        self.count.packets += 1
        self.count.octets += len(payload)
        self.count.timestamp = timestamp
        return datagram if self._protect is None else self._protect.protect(datagram)

    def protect_rtcp(self, report: bytes) -> bytes:
        """A report as it goes out."""
        return report if self._protect is None else self._protect.protect_rtcp(report)
