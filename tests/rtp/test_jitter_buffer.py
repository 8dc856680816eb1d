"""The jitter buffer on made-up arrivals, in exact time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.rtp.jitter_buffer import Gap, GapKind, JitterBuffer
from antiphon.rtp.packet import RtpPacket

FRAME = 0.02


def packet(number: int, *, start: int = 0, ssrc: int = 1, ticks: int = 160) -> RtpPacket:
    return RtpPacket(
        0,
        (start + number) & 0xFFFF,
        (start * ticks + number * ticks) & 0xFFFFFFFF,
        ssrc,
        number.to_bytes(4),
    )


def play(
    arrivals: list[tuple[float, RtpPacket]], seconds: float, *, quiet: bool = False, length: int = 160
) -> tuple[list[int | GapKind], JitterBuffer]:
    """What is played, 20 ms at a time, when packets arrive at these times."""
    buffer = JitterBuffer(8000)
    waiting = sorted(arrivals, key=lambda pair: pair[0])
    played: list[int | GapKind] = []
    for tick in range(round(seconds / FRAME)):
        now = tick * FRAME
        while waiting and waiting[0][0] <= now:
            at, one = waiting.pop(0)
            buffer.push(one, length, at)
        item = buffer.pop(now, quiet=quiet)
        played.append(item.kind if isinstance(item, Gap) else int.from_bytes(item.payload))
    return played, buffer


def heard(played: list[int | GapKind]) -> list[int]:
    return [item for item in played if not isinstance(item, GapKind)]


def test_a_steady_stream_is_played_whole_after_the_least_delay() -> None:
    played, buffer = play([(n * FRAME, packet(n)) for n in range(50)], 1.0)
    assert played[0] is GapKind.EMPTY
    assert heard(played) == list(range(49))
    assert buffer.delay <= 0.061
    assert buffer.statistics.concealed == 0


@pytest.mark.parametrize("start", [0xFFF0, 26_843_540])  # sequence wraps; timestamp wraps
def test_counters_wrap(start: int) -> None:
    played, buffer = play([(n * FRAME, packet(n, start=start)) for n in range(60)], 1.3)
    assert heard(played) == list(range(60))
    assert buffer.statistics.restarts == 0


def test_disorder_and_doubles_within_the_delay_are_mended() -> None:
    # A buffer of 40 ms holds this packet and the next one, so a packet may come 20 ms late.
    late = {2: 0.0199, 6: 0.0199}
    arrivals = [(n * FRAME + late.get(n, 0), packet(n)) for n in range(10)]
    arrivals += [(0.1, packet(4)), (0.15, packet(6)), (0.081, packet(4))]
    played, buffer = play(arrivals, 0.4)
    assert heard(played) == list(range(10))
    assert buffer.statistics.duplicates == 3


def test_a_lost_packet_is_one_gap() -> None:
    played, buffer = play([(n * FRAME, packet(n)) for n in range(50) if n not in (20, 21)], 1.0)
    at = played.index(19)
    assert played[at + 1 : at + 4] == [GapKind.LOST, GapKind.LOST, 22]
    assert buffer.statistics.concealed == 2


def test_silence_that_was_not_sent_is_no_loss() -> None:
    first = [(n * FRAME, packet(n)) for n in range(10)]
    later = [
        (1.0 + n * FRAME, RtpPacket(0, 10 + n, 8000 + n * 160, 1, (10 + n).to_bytes(4))) for n in range(10)
    ]
    played, buffer = play(first + later, 1.4)
    assert heard(played) == list(range(20))
    assert buffer.statistics.late == 0
    # What starts anew starts with the whole delay.
    assert played.index(10) == pytest.approx((1.0 + 0.04 - FRAME) / FRAME, abs=1)


def test_jitter_raises_the_delay_and_quiet_lowers_it_again() -> None:
    chance = random.Random(1)
    rough = [(n * FRAME + chance.uniform(0, 0.08), packet(n)) for n in range(500)]
    smooth = [(n * FRAME, packet(n)) for n in range(500, 1500)]
    played, buffer = play(rough + smooth, 30.0, quiet=True)
    lost = [item for item in played[250:500] if item is GapKind.LOST]
    assert len(lost) <= 12
    assert buffer.delay <= 0.1
    assert len(set(heard(played))) >= 1450


@pytest.mark.parametrize("drift", [-0.0005, 0.0005])
def test_a_clock_that_runs_differently_neither_starves_nor_overflows(drift: float) -> None:
    arrivals = [(n * FRAME * (1 + drift), packet(n)) for n in range(9000)]
    played, buffer = play(arrivals, 180.0, quiet=True)
    assert buffer.delay <= 0.12
    gaps = sum(item is GapKind.LOST for item in played[10:-10])
    assert gaps <= 15
    assert buffer.statistics.skipped <= 15


def test_too_much_delay_is_cut_even_in_speech() -> None:
    burst = [(0.0, packet(0))] + [(0.6, packet(n)) for n in range(1, 31)]
    steady = [(0.6 + (n - 30) * FRAME, packet(n)) for n in range(31, 200)]
    _, buffer = play(burst + steady, 3.5)
    assert buffer.delay <= buffer.maximum + 2 * FRAME


def test_another_source_begins_anew() -> None:
    first = [(n * FRAME, packet(n)) for n in range(20)]
    second = [(0.4 + n * FRAME, packet(n + 100, start=5000, ssrc=2)) for n in range(20)]
    played, buffer = play(first + second, 1.0)
    assert heard(played)[-20:] == list(range(100, 120))
    assert buffer.statistics.restarts == 1


def test_a_jump_of_the_timestamps_begins_anew() -> None:
    first = [(n * FRAME, packet(n)) for n in range(20)]
    second = [
        (0.4 + n * FRAME, RtpPacket(0, 20 + n, 900_000 + n * 160, 1, (20 + n).to_bytes(4))) for n in range(20)
    ]
    played, buffer = play(first + second, 1.0)
    assert heard(played)[-20:] == list(range(20, 40))
    assert buffer.statistics.restarts == 1


def test_silence_that_was_not_sent_counts_as_no_loss() -> None:
    """RFC 3551 section 4.1: the sequence goes on where the timestamps jump."""
    first = [(n * FRAME, packet(n)) for n in range(20)]
    jump = 50 * 160
    second = [
        ((n + 50) * FRAME, RtpPacket(0, n, 1000 + jump + n * 160, 1, n.to_bytes(4), n == 20))
        for n in range(20, 40)
    ]
    played, buffer = play(first + second, 1.82)
    assert heard(played) == list(range(40))
    assert buffer.statistics.concealed == 0


def test_packets_of_thirty_milliseconds() -> None:
    buffer = JitterBuffer(8000)
    items = []
    for n in range(20):
        buffer.push(packet(n, ticks=240), 240, n * 0.03)
        items.append(buffer.pop(n * 0.03 + 0.011))
    assert [isinstance(item, Gap) for item in items] == [False] * 20


def test_the_end_of_a_stream_is_concealed_briefly_and_then_silent() -> None:
    played, _ = play([(n * FRAME, packet(n)) for n in range(10)], 1.0)
    tail = played[played.index(9) + 1 :]
    assert tail[:3] == [GapKind.LOST] * 3
    assert set(tail[3:]) == {GapKind.EMPTY}


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.floats(0, 0.3), st.integers(0, 3)), min_size=1, max_size=200)
)
def test_whatever_comes_nothing_is_played_twice_and_nothing_grows(
    arrivals: list[tuple[int, float, int]],
) -> None:
    packets = [(n * FRAME + late, packet(n, ssrc=1 + (odd == 3))) for n, late, odd in arrivals]
    played, buffer = play(packets, 9.0)
    per_source = heard(played)
    assert len(per_source) <= len(packets)
    assert len(buffer._held) <= 200
