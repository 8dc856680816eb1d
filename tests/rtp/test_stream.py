"""One call's audio, both ways, without sockets and in exact time."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from antiphon.rtp.codecs import CODECS, G722, OPUS, PCMA, PCMU, CodecInfo
from antiphon.rtp.packet import RtpPacket, parse_rtp, serialize_rtp
from antiphon.rtp.packetizer import packet_octets
from antiphon.rtp.settings import StreamSettings
from antiphon.rtp.srtp import SUITES, SrtpContext, SrtpKey
from antiphon.rtp.stream import RtpStream

FRAME = 0.02
FAR, OTHER = ("192.0.2.1", 4000), ("192.0.2.9", 4000)


def settings(codec: CodecInfo = PCMU, **more: Any) -> StreamSettings:
    given: dict[str, Any] = {
        "receive": {codec.payload_type: codec},
        "dtmf_send": 101,
        "dtmf_receive": frozenset({101}),
        "remote": FAR,
    }
    return StreamSettings(codec, codec.payload_type, **(given | more))


def tone(codec: CodecInfo, seconds: float, frequency: float = 440.0) -> np.ndarray[Any, Any]:
    at = np.arange(round(seconds * codec.sample_rate)) / codec.sample_rate
    return (8000 * np.sin(2 * np.pi * frequency * at)).astype(np.int16)


def level(samples: np.ndarray[Any, Any]) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)) + 1e-9))


def packets(stream: RtpStream, samples: np.ndarray[Any, Any]) -> list[bytes]:
    size = stream.frame_samples
    frames = samples[: samples.size // size * size].reshape(-1, size)
    return [datagram for frame in frames for datagram in stream.packets(stream.encode(frame))]


def through(
    receiver: RtpStream, datagrams: list[bytes], delays: list[float] | None = None
) -> np.ndarray[Any, Any]:
    """What is played while packets arrive every 20 ms, each late by its delay."""
    arrivals = [(n * FRAME + (delays[n] if delays else 0.0), one) for n, one in enumerate(datagrams)]
    arrivals.sort(key=lambda pair: pair[0])
    played = []
    for tick in range(len(datagrams) + 10):
        while arrivals and arrivals[0][0] <= tick * FRAME:
            at, datagram = arrivals.pop(0)
            receiver.receive(datagram, FAR, at)
        played.append(receiver.pull(tick * FRAME))
    return np.concatenate(played)


@pytest.mark.parametrize("codec", CODECS.values(), ids=lambda codec: codec.name)
@pytest.mark.parametrize("suite", [None, *SUITES])
def test_a_tone_goes_through_every_codec(codec: CodecInfo, suite: str | None) -> None:
    key = SrtpKey.generate(suite) if suite else None
    sender, receiver = RtpStream(settings(codec, send_key=key)), RtpStream(settings(codec, receive_key=key))
    heard = through(receiver, packets(sender, tone(codec, 1.0)))
    middle = heard[codec.sample_rate // 4 : codec.sample_rate * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    assert spectrum.argmax() * codec.sample_rate / middle.size == pytest.approx(440, abs=2)
    assert level(middle) == pytest.approx(level(tone(codec, 0.5)), abs=0.5)
    assert receiver.refusals.malformed == 0


def test_loss_and_jitter_leave_the_tone_without_holes() -> None:
    chance = random.Random(5)
    datagrams = packets(RtpStream(settings()), tone(PCMU, 20.0))
    kept = [one if chance.random() > 0.1 else b"" for one in datagrams]
    delays = [chance.uniform(0, 0.05) for _ in datagrams]
    receiver = RtpStream(settings())
    heard = through(receiver, kept, delays)[8000 * 5 : 8000 * 19].astype(float)
    blocks = np.sqrt(np.mean(heard[: heard.size // 160 * 160].reshape(-1, 160) ** 2, axis=1))
    assert np.mean(blocks) == pytest.approx(5656, rel=0.1)
    assert np.mean(blocks < 1000) < 0.005
    assert 2.5 < receiver.statistics()["mos"] < 4.2  # type: ignore[operator]


def test_a_key_takes_the_place_of_audio_and_is_no_loss() -> None:
    sender, receiver = RtpStream(settings()), RtpStream(settings())
    sender.press("7#")
    keys = []
    for n, datagram in enumerate(packets(sender, tone(PCMU, 1.0))):
        found = receiver.receive(datagram, FAR, n * FRAME)
        keys += [found.key] if found.key else []
        receiver.pull(n * FRAME)
    assert keys == ["7", "#"]
    assert receiver.statistics()["packets_lost"] == 0
    assert receiver.statistics()["concealed"] == 0


def test_sequence_and_timestamp_go_on_over_a_new_offer() -> None:
    sender = RtpStream(settings(PCMU))
    first = [parse_rtp(one) for one in packets(sender, tone(PCMU, 0.1))]
    sender.configure(settings(PCMA, sending=False))
    assert packets(sender, tone(PCMA, 0.1)) == []
    sender.configure(settings(PCMA))
    second = [parse_rtp(one) for one in packets(sender, tone(PCMA, 0.1))]
    assert first[0].ssrc == second[0].ssrc
    assert second[0].sequence == (first[-1].sequence + 1) & 0xFFFF
    assert second[0].timestamp == (first[-1].timestamp + 160 * 6) & 0xFFFFFFFF
    assert [one.marker for one in (first[0], first[1], second[0], second[1])] == [True, False, True, False]
    assert second[0].payload_type == 8


@pytest.mark.parametrize(
    ("sequence", "timestamp"), [(30_000, 40), (40_000, 10**6), (60_000, 2**31 + 99), (5, 9)]
)
def test_a_far_end_that_begins_anew_under_its_old_name_is_heard(sequence: int, timestamp: int) -> None:
    """RFC 3550 appendix A.1: as when another machine takes a call over; what is not lost is not counted as lost."""
    pcm = bytes([0x10] * 160)
    receiver = RtpStream(settings())
    for n in range(200):
        before = n < 100
        number = 20_000 + n if before else sequence + n - 100
        ticks = 500_000 + n * 160 if before else timestamp + (n - 100) * 160
        packet = RtpPacket(0, number & 0xFFFF, ticks & 0xFFFFFFFF, 5, pcm)
        receiver.receive(serialize_rtp(packet), FAR, n * FRAME)
        frame = receiver.pull(n * FRAME)
        if not 95 < n < 110 and n > 5:
            assert np.abs(frame).min() > 1000, n
    assert receiver.statistics()["packets_lost"] == 0


def test_a_stray_number_changes_nothing() -> None:
    receiver = RtpStream(settings())
    for n in range(100):
        receiver.receive(audio(1000 + n), FAR, n * FRAME)
        if n % 10 == 5:
            stray = RtpPacket(0, (n * 3571) & 0xFFFF, 7, 5, bytes(160))
            receiver.receive(serialize_rtp(stray), FAR, n * FRAME)
        receiver.pull(n * FRAME)
    assert receiver.statistics()["packets_lost"] == 0
    assert receiver.statistics()["concealed"] == 0


# -- where packets may come from ---------------------------------------------------------------------------------------


def audio(number: int, ssrc: int = 5) -> bytes:
    return serialize_rtp(RtpPacket(0, number, number * 160, ssrc, bytes([0x55] * 160)))


def test_audio_moves_once_to_where_it_comes_from_and_is_then_locked() -> None:
    stream = RtpStream(settings())
    assert not stream.receive(audio(1), OTHER, 0.00).valid
    assert stream.receive(audio(2), OTHER, 0.02).valid
    assert stream.target == OTHER
    assert not stream.receive(audio(3, 6), FAR, 0.04).valid
    assert not stream.receive(audio(4), ("192.0.2.9", 4002), 0.06).valid
    assert stream.target == OTHER
    assert stream.refusals.source == 3


def test_nothing_moves_away_from_the_address_of_the_offer_once_it_spoke() -> None:
    stream = RtpStream(settings())
    assert stream.receive(audio(1), FAR, 0.0).valid
    for number in range(2, 50):
        assert not stream.receive(audio(number, 99), OTHER, number * FRAME).valid
    assert stream.target == FAR
    stream.configure(settings(remote=("192.0.2.3", 5000)))
    assert stream.receive(audio(60), ("192.0.2.3", 5000), 2.0).valid


def test_it_moves_within_the_networks_of_the_trunk_only() -> None:
    stream = RtpStream(settings(media_networks=("198.51.100.0/24",)))
    for number in range(5):
        stream.receive(audio(number), OTHER, number * FRAME)
    assert stream.target == FAR
    for number in range(5, 8):
        stream.receive(audio(number), ("198.51.100.7", 9000), number * FRAME)
    assert stream.target == ("198.51.100.7", 9000)


def test_nothing_is_sent_nowhere_and_nobody_takes_the_place_meanwhile() -> None:
    """RFC 3264 section 8.4: while the address is 0.0.0.0, neither audio nor reports are sent."""
    stream = RtpStream(settings(remote_rtcp=(FAR[0], 4001)))
    stream.receive(audio(1), FAR, 0.0)
    stream.configure(settings(remote=None, sending=False, round=1))
    assert stream.rtcp_target is None
    for number in range(2, 400):
        assert not stream.receive(audio(number, 99), OTHER, number * FRAME).valid
    stream.configure(settings(remote_rtcp=(FAR[0], 4001), round=2))
    assert (stream.target, stream.rtcp_target) == (FAR, (FAR[0], 4001))


def test_one_forged_packet_moves_nothing() -> None:
    stream = RtpStream(settings())
    stream.receive(audio(1, 66), OTHER, 0.0)
    stream.receive(audio(1), FAR, 0.01)
    stream.receive(audio(2, 66), OTHER, 0.02)
    assert stream.target == FAR


@pytest.mark.parametrize(
    "datagram",
    [b"", b"hello", bytes(12), bytes(3000), bytes([0x80, 0]) + bytes(10), bytes([0x80, 111]) + bytes(170)],
)
def test_garbage_is_counted_and_dropped(datagram: bytes) -> None:
    stream = RtpStream(settings())
    assert not stream.receive(datagram, FAR, 0.0).valid
    refused = stream.refusals
    assert refused.malformed + refused.payload_type == 1


def test_forged_and_replayed_srtp_is_dropped() -> None:
    key = SrtpKey.generate()
    sender, receiver = RtpStream(settings(send_key=key)), RtpStream(settings(receive_key=key))
    datagram = packets(sender, tone(PCMU, 0.02))[0]
    assert not receiver.receive(datagram[:-1] + bytes([datagram[-1] ^ 1]), FAR, 0.0).valid
    assert not receiver.receive(audio(1), FAR, 0.0).valid
    assert receiver.receive(datagram, FAR, 0.0).valid
    assert not receiver.receive(datagram, FAR, 0.1).valid


def test_a_source_that_moved_is_followed_once_it_is_quiet() -> None:
    """RFC 7362 section 4: behind a NAT that forgot its address, a telephone speaks from another port."""
    moved = (FAR[0], 4444)
    stream = RtpStream(settings())
    stream.receive(audio(1), FAR, 0.0)
    for number in range(2, 100):
        assert not stream.receive(audio(number, 99), moved, number * FRAME).valid
    stream = RtpStream(settings())
    stream.receive(audio(1), FAR, 0.0)
    for number in range(200, 210):
        assert not stream.receive(audio(number, 99), OTHER, number * FRAME).valid  # a stranger
    stream.receive(audio(210), moved, 4.2)
    assert stream.receive(audio(211), moved, 4.22).valid
    assert stream.target == moved


def test_after_a_new_offer_a_quiet_source_is_followed_soon() -> None:
    stream = RtpStream(settings(round=1))
    stream.receive(audio(1), FAR, 0.0)
    stream.configure(settings(round=2))
    # The present source goes on: nobody takes its place.
    for number in range(2, 10):
        assert stream.receive(audio(number), FAR, number * FRAME).valid
        assert not stream.receive(audio(number, 99), OTHER, number * FRAME + 0.001).valid
    stream.receive(audio(20, 99), OTHER, 0.5)
    assert stream.receive(audio(21, 99), OTHER, 0.52).valid
    assert stream.target == OTHER
    # Once, and soon: then it is locked again.
    stream.receive(audio(60), FAR, 1.2)
    assert not stream.receive(audio(61), FAR, 1.22).valid


def test_a_move_of_the_audio_takes_the_reports_along() -> None:
    """RFC 3550 section 11: a source behind a NAT is not where its description says."""
    stream = RtpStream(settings(remote=("10.0.0.1", 4000), remote_rtcp=("10.0.0.1", 4001)))
    assert stream.rtcp_target == ("10.0.0.1", 4001)
    for number in range(3):
        stream.receive(audio(number), OTHER, number * FRAME)
    assert stream.rtcp_target == (OTHER[0], OTHER[1] + 1)


@pytest.mark.parametrize(("agreed", "spoken"), [(PCMA, PCMU), (G722, PCMU), (PCMU, G722)])
def test_a_far_end_may_change_its_codec_without_a_word(agreed: CodecInfo, spoken: CodecInfo) -> None:
    """RFC 3264 section 7; the packets of 40 ms are as long as those of the agreed codec at twice its rate."""
    both = {agreed.payload_type: agreed, spoken.payload_type: spoken}
    sender, receiver = RtpStream(settings(spoken)), RtpStream(settings(agreed, receive=both))
    heard = through(receiver, packets(sender, tone(spoken, 1.0)))
    rate = agreed.sample_rate
    middle = heard[rate // 4 : rate * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    assert spectrum.argmax() * rate / middle.size == pytest.approx(440, abs=2)
    assert level(middle) == pytest.approx(level(tone(agreed, 0.5)), abs=0.5)


def test_a_long_packet_of_another_rate_is_not_taken_for_a_frame() -> None:
    receiver = RtpStream(settings(G722, receive={9: G722, 0: PCMU}))
    for number in range(10):
        packet = RtpPacket(0, number, number * 320, 5, bytes([0x55] * 320))
        receiver.receive(serialize_rtp(packet), FAR, number * 0.04)
        for half in range(2):
            ready = receiver.next_payload(number * 0.04 + half * FRAME)
            assert ready is None
            assert receiver.pull(number * 0.04 + half * FRAME).size == 320


@pytest.mark.parametrize("suite", SUITES)
def test_packets_that_name_their_key_are_read(suite: str) -> None:
    """RFC 3711 section 3.1: the MKI stands before the authentication tag, which does not cover it."""
    key = SrtpKey.generate(suite)
    context, receiver = SrtpContext(key, inbound=False), RtpStream(settings(receive_key=replace(key, mki=4)))
    protected = context.protect(audio(1))
    tag = 4 if suite.endswith("_32") else 10
    assert receiver.receive(protected[:-tag] + b"\0\0\0\1" + protected[-tag:], FAR, 0.0).valid
    report = RtpStream(settings()).report(0.0, 0.0)
    assert report is not None
    named = context.protect_rtcp(report)
    receiver.receive_rtcp(named[:-10] + b"\0\0\0\1" + named[-10:], (FAR[0], FAR[1] + 1), 0.1)
    assert not receiver.receive(b"\x80\0", FAR, 0.2).valid
    assert (receiver.refusals.malformed, receiver.refusals.source) == (1, 0)


def test_a_new_key_of_the_far_end_leaves_ours_as_it_is() -> None:
    """RFC 3711 section 3.3.1: the far end has counted how often our sequence numbers began anew, and goes on."""
    ours, theirs, new = SrtpKey.generate(), SrtpKey.generate(), SrtpKey.generate()
    sender = RtpStream(settings(send_key=ours, receive_key=theirs))
    receiver = SrtpContext(ours, inbound=True)
    sender._sending.sequence = 65_500
    for datagram in packets(sender, tone(PCMU, 2.0)):
        receiver.unprotect(datagram)
    sender.configure(settings(send_key=ours, receive_key=new, round=2))
    for datagram in packets(sender, tone(PCMU, 0.1)):
        assert parse_rtp(receiver.unprotect(datagram)).payload_type == 0


# -- reports -----------------------------------------------------------------------------------------------------------


def test_both_sides_learn_loss_and_round_trip() -> None:
    here, there = RtpStream(settings()), RtpStream(settings())
    wall = 1_700_000_000.0
    for n, datagram in enumerate(packets(here, tone(PCMU, 1.0))):
        if n % 5:
            there.receive(datagram, FAR, n * FRAME)
            there.pull(n * FRAME)
    first = here.report(1.0, wall)
    assert first is not None
    there.receive_rtcp(first, (FAR[0], FAR[1] + 1), 1.1, wall + 0.1)
    answer = there.report(1.5, wall + 0.5)
    assert answer is not None
    here.receive_rtcp(answer, (FAR[0], FAR[1] + 1), 1.7, wall + 0.7)
    statistics = here.statistics()
    assert statistics["round_trip"] == pytest.approx(0.3, abs=0.001)
    assert statistics["far_loss"] == pytest.approx(0.2, abs=0.03)
    assert here.report(1.8, wall) is None
    assert here.report(1.8, wall, goodbye=True) is not None


def test_reports_from_elsewhere_are_ignored() -> None:
    stream = RtpStream(settings())
    report = RtpStream(settings()).report(0.0, 0.0)
    assert report is not None
    stream.receive_rtcp(report, OTHER, 0.0)
    stream.receive_rtcp(b"\x80\xc8\x00\xff", (FAR[0], 1), 0.0)
    assert (stream.refusals.source, stream.refusals.malformed) == (1, 1)


@pytest.mark.parametrize("codec", [PCMU, PCMA, G722], ids=lambda codec: codec.name)
@pytest.mark.parametrize("milliseconds", [10, 20, 30, 40, 60])
def test_packets_of_any_length_are_made_and_heard(codec: CodecInfo, milliseconds: int) -> None:
    """RFC 8866 sections 6.4 and 6.5; RFC 3551 section 4.2: receivers take packets of 0 to 200 ms."""
    sender, receiver = RtpStream(settings(codec, packet_ms=milliseconds)), RtpStream(settings(codec))
    wave, size = tone(codec, 3.0), sender.frame_samples
    played: list[np.ndarray[Any, Any]] = []
    sent: list[RtpPacket] = []
    for number in range(150):
        now = number * FRAME
        for datagram in sender.packets(sender.encode(wave[number * size : (number + 1) * size])):
            sent.append(parse_rtp(datagram))
            receiver.receive(datagram, FAR, now)
        played.append(receiver.pull(now))
    octets = 8 * milliseconds
    assert {len(packet.payload) for packet in sent} == {octets}
    steps = {(b.timestamp - a.timestamp, b.sequence - a.sequence) for a, b in itertools.pairwise(sent)}
    assert steps == {(octets, 1)}
    heard = np.concatenate(played)[codec.sample_rate : codec.sample_rate * 5 // 2]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(heard.size)))
    assert spectrum.argmax() * codec.sample_rate / heard.size == pytest.approx(440, abs=1)
    parts = heard[: heard.size // 100 * 100].reshape(100, -1)
    assert min(level(part) for part in parts) == pytest.approx(level(wave), abs=1.0)
    assert receiver.statistics()["packets_lost"] == 0


def test_a_key_breaks_a_packet_off_and_audio_goes_on_in_time() -> None:
    """RFC 4733 section 2.5.1.2: events take the place of audio; timestamps go on as time does."""
    stream = RtpStream(settings(packet_ms=60))
    frame = stream.encode(tone(PCMU, FRAME))
    assert [len(stream.packets(frame)) for _ in range(4)] == [0, 0, 1, 0]
    stream.press("5")
    sent = [(tick, parse_rtp(one)) for tick in range(40) for one in stream.packets(frame)]
    key, *_ = [packet.timestamp for _, packet in sent if packet.payload_type == 101]
    audio = [(tick, packet) for tick, packet in sent if packet.payload_type == 0]
    assert [tick for tick, packet in sent if packet.payload_type == 101] == list(
        range(len(sent) - len(audio))
    )
    assert {len(packet.payload) for _, packet in audio} == {480}
    assert {packet.timestamp + 480 - key - (tick + 1) * 160 for tick, packet in audio} == {0}
    silent = RtpStream(settings(packet_ms=60))
    for _ in range(4):
        silent.packets(frame)
    silent.configure(settings(packet_ms=60, sending=False))
    assert silent.packets(frame) == ()
    silent.configure(settings(packet_ms=60))
    (again,) = [datagram for _ in range(3) for datagram in silent.packets(frame)]
    assert parse_rtp(again).marker


@pytest.mark.parametrize(
    ("codec", "asked", "octets"),
    [(PCMU, 5, 80), (PCMU, 25, None), (PCMA, 35, 240), (G722, 200, 480), (OPUS, 60, None), (PCMU, 20, None)],
)
def test_which_lengths_are_sent(codec: CodecInfo, asked: int, octets: int | None) -> None:
    """RFC 8866 section 6.4: a wish, rounded down to 10, 20, 30, 40, 50 or 60 ms."""
    assert packet_octets(codec, asked) == octets


def test_opus_packets_of_other_lengths() -> None:
    codec = OPUS
    sender, receiver = RtpStream(settings(codec)), RtpStream(settings(codec))
    assert through(receiver, packets(sender, tone(codec, 0.4))).size == 30 * 320
