"""Audio formats as descriptions name them: codecs, telephone events, and their payload types.

Source: RFC 3551; RFC 4733; RFC 7587 (Opus); RFC 3264 sections 5.1, 6.1 and 7 on whose numbers count.
"""

from __future__ import annotations

from dataclasses import dataclass

from .sdp import Attribute, MediaDescription, RtpMap


@dataclass(frozen=True, slots=True)
class Codec:
    """An audio codec as SDP names it.

    Attributes:
        payload_type: the static one, or the one that our offers use.
        clock_rate: of RTP timestamps; G.722 has 8000 there although it samples at 16 kHz (RFC 3551 section 4.5.2).
    """

    name: str
    payload_type: int
    clock_rate: int
    channels: int = 1
    parameters: str = ""


CODECS = {
    codec.name: codec
    for codec in (
        Codec("PCMU", 0, 8000),
        Codec("PCMA", 8, 8000),
        Codec("G722", 9, 8000),
        Codec("OPUS", 107, 48000, 2, "useinbandfec=1"),
    )
}
EVENT_TYPES = {8000: 101, 48000: 110}


def is_same(payload: RtpMap, codec: Codec | RtpMap) -> bool:
    """Whether a payload type stands for a codec, whatever its number."""
    channels = payload.channels == codec.channels or payload.name != "OPUS"
    return payload.name == codec.name and payload.clock_rate == codec.clock_rate and channels


def number_in(ours: MediaDescription, payload: RtpMap) -> int:
    """Under which number our section has what the peer's section has as `payload`."""
    return next((t.payload_type for t in ours.payload_types if is_same(t, payload)), payload.payload_type)


def also_received(
    theirs: MediaDescription, ours: MediaDescription, chosen: int
) -> tuple[tuple[int, str], ...]:
    """The peer may send any codec that both sections have (RFC 3264 section 7); some do it by the numbers of their own."""
    meant = {t.payload_type: t for t in ours.payload_types}
    found: dict[int, str] = {}
    for payload in theirs.payload_types:
        if payload.name not in CODECS or not any(is_same(t, payload) for t in meant.values()):
            continue
        for number in (number_in(ours, payload), payload.payload_type):
            if number not in meant or is_same(meant[number], payload):
                found[number] = payload.name
    found.pop(chosen, None)
    return tuple(sorted(found.items()))


def codec_attributes(payload: RtpMap) -> list[Attribute]:
    """`a=rtpmap`, and `a=fmtp` where the codec has parameters of ours."""
    channels = f"/{payload.channels}" if payload.channels > 1 else ""
    name = payload.name.lower() if payload.name == "OPUS" else payload.name
    attributes: list[Attribute] = [
        ("rtpmap", f"{payload.payload_type} {name}/{payload.clock_rate}{channels}")
    ]
    if CODECS[payload.name].parameters:
        attributes.append(("fmtp", f"{payload.payload_type} {CODECS[payload.name].parameters}"))
    return attributes


def event_attributes(payload_type: int, clock_rate: int) -> list[Attribute]:
    """`a=rtpmap` and `a=fmtp` of telephone events 0 to 15: keys and nothing else."""
    return [("rtpmap", f"{payload_type} telephone-event/{clock_rate}"), ("fmtp", f"{payload_type} 0-15")]
