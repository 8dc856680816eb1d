import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.audio import AudioByteStream, AudioFrame


def pcm(count: int) -> bytes:
    return np.arange(count, dtype="<i2").tobytes()


def test_frames_are_20_ms_by_default():
    stream = AudioByteStream(16_000)
    frames = stream.push(pcm(700))
    assert [frame.samples_per_channel for frame in frames] == [320, 320]
    (rest,) = stream.flush()
    assert rest.samples.tolist() == list(range(640, 700))
    assert stream.flush() == []


@given(
    sizes=st.lists(st.integers(0, 50), max_size=30),
    channels=st.integers(1, 3),
    length=st.integers(1, 12),
)
def test_any_chunk_sizes_give_the_same_samples(sizes: list[int], channels: int, length: int):
    data = bytes(index % 251 for index in range(sum(sizes)))
    stream = AudioByteStream(8_000, channels, length)
    frames: list[AudioFrame] = []
    start = 0
    for size in sizes:
        frames += stream.push(data[start : start + size])
        start += size
    assert all(frame.samples_per_channel == length for frame in frames)
    assert all(frame.num_channels == channels for frame in frames)
    frames += stream.flush()
    whole = len(data) - len(data) % (2 * channels)
    assert b"".join(frame.tobytes() for frame in frames) == data[:whole]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: AudioFrame(data, 8_000)])
def test_takes_every_kind_of_buffer(kind):
    stream = AudioByteStream(8_000, samples_per_channel=3)
    (frame,) = stream.push(kind(pcm(4)))
    assert frame.samples.tolist() == [0, 1, 2]
    (rest,) = stream.flush()
    assert rest.samples.tolist() == [3]


def test_a_frame_does_not_change_when_the_caller_reuses_its_buffer():
    buffer = bytearray(pcm(2))
    (frame,) = AudioByteStream(8_000, samples_per_channel=2).push(buffer)
    buffer[:] = b"\xff" * 4
    assert frame.samples.tolist() == [0, 1]


def test_clear_drops_a_half_sample_too():
    stream = AudioByteStream(8_000, samples_per_channel=1)
    stream.push(b"\x01")
    stream.clear()
    (frame,) = stream.push(b"\x02\x00")
    assert frame.samples.tolist() == [2]


@pytest.mark.parametrize("arguments", [(0,), (8_000, 0), (8_000, 1, 0), (20,)])
def test_refuses_formats_without_samples(arguments):
    with pytest.raises(ValueError, match="at least 1"):
        AudioByteStream(*arguments)


def test_refuses_a_frame_of_another_format():
    with pytest.raises(ValueError, match="resample"):
        AudioByteStream(16_000).push(AudioFrame.silence(0.02, 8_000))
