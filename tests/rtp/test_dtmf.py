"""Keys over RTP: RFC 4733 sections 2.3 and 2.5."""

from __future__ import annotations

import random

import pytest

from antiphon.rtp.dtmf import (
    KEYS,
    DtmfReceiver,
    DtmfSender,
    TelephoneEvent,
    parse_event,
    serialize_event,
)
from antiphon.rtp.packet import MalformedPacket, RtpPacket


def send(keys: str, *, length: float = 0.1) -> list[RtpPacket]:
    """The packets that a sender makes, as they would go out."""
    sender = DtmfSender(8000, interval=160, length=length)
    sender.press(keys)
    packets, timestamp, sequence, begun = [], 0, 0, 0
    while sender.active:
        event, first = sender.step()
        if event is not None:
            begun = timestamp if first else begun
            packets.append(RtpPacket(101, sequence, begun, 7, serialize_event(event), first))
            sequence += 1
        timestamp += 160
    return packets


def receive(packets: list[RtpPacket]) -> str:
    receiver = DtmfReceiver()
    return "".join(key for packet in packets if (key := receiver.receive(packet)))


def test_a_key_has_one_timestamp_a_growing_duration_and_three_ends() -> None:
    events = [parse_event(packet.payload) for packet in send("5")]
    assert [event.duration for event in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [event.end for event in events] == [False] * 4 + [True] * 3
    assert {packet.timestamp for packet in send("5")} == {0}
    assert [packet.marker for packet in send("5")] == [True] + [False] * 6


@pytest.mark.parametrize("keys", ["1234", "1111", KEYS, "1w2", "ABCD", "9"])
@pytest.mark.parametrize("length", [0.02, 0.1, 0.5])
def test_keys_arrive_once_each(keys: str, length: float) -> None:
    assert receive(send(keys, length=length)) == keys.replace("w", "")


def test_ten_thousand_keys_at_five_percent_loss() -> None:
    chance = random.Random(3)
    keys = "".join(chance.choice(KEYS) for _ in range(10_000))
    arrived = [packet for packet in send(keys) if chance.random() > 0.05]
    assert receive(arrived) == keys


def test_reordered_and_repeated_packets_make_no_key_twice() -> None:
    packets = send("12")
    shuffled = packets[:3][::-1] + packets[3:7] + packets[:2] + packets[7:] + packets[-3:]
    assert receive(shuffled) == "12"


def test_only_ends_arrive() -> None:
    assert receive([packet for packet in send("77") if parse_event(packet.payload).end]) == "77"


def test_a_key_held_very_long_goes_on_under_a_new_timestamp() -> None:
    first = RtpPacket(101, 1, 1000, 7, serialize_event(TelephoneEvent(5, False, 10, 0xFFFF)), True)
    second = RtpPacket(101, 2, 1000 + 0xFFFF, 7, serialize_event(TelephoneEvent(5, False, 10, 160)))
    again = RtpPacket(101, 9, 90000, 7, serialize_event(TelephoneEvent(5, False, 10, 160)), True)
    assert receive([first, second, again]) == "55"


def test_what_is_no_key_is_none() -> None:
    assert receive([RtpPacket(101, 1, 0, 7, serialize_event(TelephoneEvent(36, True, 0, 160)))]) == ""
    with pytest.raises(MalformedPacket):
        parse_event(b"\x01\x02\x03")
    with pytest.raises(ValueError, match="not a telephone key"):
        DtmfSender(8000, interval=160).press("1x")
