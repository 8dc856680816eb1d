"""What a call's audio is made by, in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .codecs import CodecInfo
from .packetizer import FRAME_MS
from .srtp import SrtpKey

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What offer and answer agreed on.

    Attributes:
        codec: what is sent, and expected.
        payload_type: of the codec in packets that we send.
        receive: payload types that may come, with their codecs.
        dtmf_send: payload type of the keys that we send; None: the far end takes none.
        dtmf_receive: payload types of keys that may come.
        dtmf_clock: ticks a second of telephone events.
        remote: where to send; None: nowhere now, not even reports (RFC 3264 section 8.4).
        remote_rtcp: where reports go; None: one port above.
        packet_ms: how long packets of ours are to be; see `packetizer.py` on what can be.
        rtcp_mux: reports share the port of the audio, both ways (RFC 5761).
        sending: we may send (not on hold by either side).
        receiving: the far end may send.
        send_key, receive_key: with SRTP.
        media_networks: from where media may come beside `remote`; empty: from anywhere, once.
        round: of offer and answer; another number is another one.
    """

    codec: CodecInfo
    payload_type: int
    receive: dict[int, CodecInfo]
    dtmf_send: int | None = None
    dtmf_receive: frozenset[int] = frozenset()
    dtmf_clock: int = 8000
    remote: Address | None = None
    remote_rtcp: Address | None = None
    packet_ms: int = FRAME_MS
    rtcp_mux: bool = False
    sending: bool = True
    receiving: bool = True
    send_key: SrtpKey | None = None
    receive_key: SrtpKey | None = None
    media_networks: Sequence[str] = ()
    round: int = 0
