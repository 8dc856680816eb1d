"""RTP packets: RFC 3550 section 5.1, and counters that wrap."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.rtp.packet import (
    MalformedPacket,
    RtpPacket,
    Unwrapper,
    is_rtcp,
    parse_rtp,
    serialize_rtp,
)

PACKETS = st.builds(
    RtpPacket,
    st.integers(0, 127),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=64),
    st.booleans(),
)


@given(PACKETS)
def test_a_packet_comes_back_as_it_went(packet: RtpPacket) -> None:
    assert parse_rtp(serialize_rtp(packet)) == packet


def test_sources_extension_and_padding_are_skipped() -> None:
    header = bytes([0x80 | 0x20 | 0x10 | 2, 0x80 | 8, 0, 7, 0, 0, 0, 9, 0, 0, 0, 1])
    sources, extension = bytes(8), bytes([0xBE, 0xDE, 0, 1, 1, 2, 3, 4])
    packet = parse_rtp(header + sources + extension + b"audio" + bytes([0, 0, 3]))
    assert packet == RtpPacket(8, 7, 9, 1, b"audio", True)


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        bytes(11),
        bytes(40),  # version 0
        bytes([0x8F]) + bytes(20),  # sources cut off
        bytes([0x90]) + bytes(13),  # extension cut off
        bytes([0x90]) + bytes(13) + b"\xff\xff",  # extension longer than the packet
        bytes([0xA0]) + bytes(20),  # padding of nothing
        bytes([0xA0]) + bytes(11) + b"\xff",  # padding longer than the packet
    ],
)
def test_what_is_no_packet_is_refused(datagram: bytes) -> None:
    with pytest.raises(MalformedPacket):
        parse_rtp(datagram)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_packet_or_refused(datagram: bytes) -> None:
    with contextlib.suppress(MalformedPacket):
        parse_rtp(datagram)


def test_reports_are_told_from_audio() -> None:
    assert is_rtcp(bytes([0x80, 200]))
    assert not is_rtcp(serialize_rtp(RtpPacket(8, 1, 2, 3, b"", True)))


@given(st.integers(0, 0xFFFF), st.lists(st.integers(-3000, 3000), max_size=60))
def test_counters_go_on_over_the_wrap(first: int, steps: list[int]) -> None:
    unwrapper = Unwrapper(16)
    newest = true = base = unwrapper.unwrap(first)
    for step in steps:
        true = newest + step
        assert unwrapper.unwrap(true & 0xFFFF) == true
        newest = max(newest, true)
    assert newest >= base
