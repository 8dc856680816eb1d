"""From what offer and answer agreed on to what the media engine needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..rtp.codecs import codec_named
from ..rtp.settings import StreamSettings
from ..rtp.srtp import SrtpKey
from ..sip.offer_answer import NOWHERE, NegotiatedMedia


def stream_settings(media: NegotiatedMedia, media_networks: Sequence[str] = ()) -> StreamSettings:
    """Settings for the engine.

    Args:
        media: as the user agent reported it.
        media_networks: where the trunk's media may come from beside the address of its SDP.

    Raises:
        ConfigurationError: a codec that this version has not.
    """
    codec = replace(codec_named(media.codec), payload_type=media.receive_payload_type)
    others = {number: replace(codec_named(name), payload_type=number) for number, name in media.also_received}
    received = media.dtmf_receive_type
    somewhere = media.address not in NOWHERE
    return StreamSettings(
        codec=codec,
        payload_type=media.send_payload_type,
        # Timestamps of another clock would be another stream.
        receive={number: one for number, one in others.items() if one.clock_rate == codec.clock_rate}
        | {media.receive_payload_type: codec},
        dtmf_send=media.dtmf_send_type,
        dtmf_receive=frozenset() if received is None else frozenset({received}),
        dtmf_clock=media.dtmf_clock_rate,
        remote=(media.address, media.port) if media.port and somewhere else None,
        remote_rtcp=(media.address, media.rtcp_port) if media.rtcp_port and somewhere else None,
        packet_ms=media.ptime,
        rtcp_mux=media.rtcp_mux,
        sending=media.direction.sends,
        receiving=media.direction.receives,
        send_key=None if media.send_key is None else SrtpKey(media.suite, media.send_key),
        receive_key=None
        if media.receive_key is None
        else SrtpKey(media.suite, media.receive_key, media.receive_mki),
        media_networks=tuple(media_networks),
        round=media.round,
    )
