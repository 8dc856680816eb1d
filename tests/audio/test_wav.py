import struct
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.audio import AudioFileError, AudioFrame, WavWriter, read_wav, write_wav

VALUES = [0, 1, -1, 256, -256, 20_000, -20_000, 32_767, -32_768]


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def fmt(codec: int, bits: int, channels: int = 1, rate: int = 16_000) -> tuple[bytes, bytes]:
    frame = channels * bits // 8
    return b"fmt ", struct.pack("<HHIIHH", codec, channels, rate, rate * frame, frame, bits)


def extensible(codec: int, bits: int) -> tuple[bytes, bytes]:
    name, plain = fmt(0xFFFE, bits)
    guid = struct.pack("<I", codec) + bytes.fromhex("000010008000 00AA00389B71")
    return name, plain + struct.pack("<HHI", 22, bits, 4) + guid


def as_int24(values: list[int]) -> bytes:
    return b"".join(struct.pack("<i", value)[:3] for value in values)


ENCODINGS = [
    ("8-bit", fmt(1, 8), bytes([128, 129, 0, 255]), [0, 256, -32_768, 32_512]),
    ("16-bit", fmt(1, 16), np.array(VALUES, "<i2").tobytes(), VALUES),
    ("24-bit", fmt(1, 24), as_int24([0, 256, 383, 384, -128, -129, 8_388_607, -8_388_608]), [0, 1, 1, 2, 0, -1, 32_767, -32_768]),
    ("32-bit", fmt(1, 32), np.array([65_536, 32_767, 32_768, 2**31 - 1, -(2**31)], "<i4").tobytes(), [1, 0, 1, 32_767, -32_768]),
    ("float", fmt(3, 32), np.array([0, 0.5, -1, 1, 7, -7, np.nan, np.inf], "<f4").tobytes(), [0, 16_384, -32_768, 32_767, 32_767, -32_768, 0, 32_767]),
    ("double", fmt(3, 64), np.array([0.25, -0.25], "<f8").tobytes(), [8_192, -8_192]),
    ("extensible 16-bit", extensible(1, 16), np.array(VALUES, "<i2").tobytes(), VALUES),
    ("extensible float", extensible(3, 32), np.array([0.5], "<f4").tobytes(), [16_384]),
]  # fmt: skip


@pytest.mark.parametrize("row", ENCODINGS, ids=lambda row: row[0])
def test_reads(row, tmp_path: Path):
    _, form, data, expected = row
    path = tmp_path / "in.wav"
    path.write_bytes(
        riff((b"LIST", b"odd"), form, (b"fact", b"\0" * 4), (b"data", data), (b"LIST", b"after"))
    )
    frame = read_wav(path)
    assert frame.samples.tolist() == expected
    assert (frame.sample_rate, frame.num_channels) == (16_000, 1)


def test_reads_stereo_at_any_rate(tmp_path: Path):
    path = tmp_path / "in.wav"
    path.write_bytes(
        riff(fmt(1, 16, channels=2, rate=37_800), (b"data", np.array(VALUES[:8], "<i2").tobytes()))
    )
    frame = read_wav(path)
    assert (frame.sample_rate, frame.num_channels, frame.samples_per_channel) == (37_800, 2, 4)


DATA = np.arange(100, dtype="<i2").tobytes()
WHOLE = riff(fmt(1, 16), (b"data", DATA))
DAMAGED = [
    ("cut in the audio", WHOLE[:-51], 74),
    ("no audio at all", riff(fmt(1, 16), (b"data", b"")), 0),
    ("cut right after the header", WHOLE[:44], 0),
    ("size unknown to a pipe", WHOLE[:40] + b"\xff\xff\xff\xff" + WHOLE[44:], 100),
]


@pytest.mark.parametrize(("name", "content", "samples"), DAMAGED, ids=[row[0] for row in DAMAGED])
def test_reads_what_is_there(name: str, content: bytes, samples: int, tmp_path: Path):
    path = tmp_path / "in.wav"
    path.write_bytes(content)
    assert read_wav(path).samples.tolist() == list(range(samples))


REFUSED = [
    ("empty file", b"", "not a WAV file"),
    ("MP3", b"ID3" + b"\0" * 100, "not a WAV file"),
    ("other RIFF", b"RIFF\x04\0\0\0AVI ", "not a WAV file"),
    ("cut before the format", WHOLE[:14], "cut off"),
    ("cut in the format", WHOLE[:30], "cut off"),
    ("cut before the audio", WHOLE[:40], "cut off"),
    ("audio before the format", riff((b"data", DATA), fmt(1, 16)), "no format chunk"),
    ("no channels", riff(fmt(1, 16, channels=0), (b"data", DATA)), "0 channels"),
    ("mu-law", riff(fmt(7, 8), (b"data", DATA)), "mu-law.*ffmpeg"),
    ("unknown codec", riff(fmt(0x1234, 16), (b"data", DATA)), "codec 0x1234.*ffmpeg"),
    ("12-bit", riff(fmt(1, 12), (b"data", DATA)), "12-bit PCM.*ffmpeg"),
    ("extensible without codec", riff(fmt(0xFFFE, 16), (b"data", DATA)), "codec 0xfffe"),
    ("RF64", b"RF64" + WHOLE[4:], "RF64.*ffmpeg"),
]


@pytest.mark.parametrize(("name", "content", "why"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refuses_and_says_why(name: str, content: bytes, why: str, tmp_path: Path):
    path = tmp_path / "in.wav"
    path.write_bytes(content)
    with pytest.raises(AudioFileError, match=why):
        read_wav(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "missing.wav")


@settings(max_examples=100)
@given(content=st.binary(max_size=80))
def test_any_bytes_give_audio_or_a_clear_error(content: bytes, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.getbasetemp() / "fuzz.wav"
    path.write_bytes(WHOLE[:12] + content)
    try:
        frame = read_wav(path)
    except AudioFileError:
        return
    assert frame.samples.nbytes <= 2 * len(content)


def test_what_is_written_reads_the_same_everywhere(tmp_path: Path):
    path = tmp_path / "out.wav"
    frame = AudioFrame(np.array(VALUES[:8], dtype=np.int16), 22_050, 2)
    write_wav(path, frame)
    assert read_wav(path).samples.tolist() == VALUES[:8]
    with wave.open(str(path)) as reference:
        assert (reference.getframerate(), reference.getnchannels(), reference.getnframes()) == (22_050, 2, 4)
        assert reference.readframes(4) == frame.tobytes()


def test_streaming_writes_are_readable_before_the_end(tmp_path: Path):
    path = tmp_path / "out.wav"
    writer = WavWriter(path, 8_000)
    assert read_wav(path).samples.size == 0
    writer.write(AudioFrame.silence(0.5, 8_000))
    writer.flush()
    assert read_wav(path).duration == 0.5
    for _ in range(60):
        writer.write(np.ones(160, dtype=np.int16))
    assert read_wav(path).duration == 1.5  # once a second, without being asked
    writer.close()
    writer.close()
    assert writer.closed
    assert read_wav(path).duration == writer.duration == pytest.approx(1.7)


def test_a_frame_of_another_format_is_refused_and_the_file_still_closed(tmp_path: Path):
    path = tmp_path / "out.wav"
    writer = WavWriter(path, 8_000)
    writer.write(np.ones(7, dtype=np.int16))
    with pytest.raises(ValueError, match="resample"), writer:
        writer.write(AudioFrame.silence(0.1, 16_000))
    assert read_wav(path).samples.size == 7
    with pytest.raises(ValueError, match="closed"):
        writer.write(np.ones(7, dtype=np.int16))


@pytest.mark.parametrize(("rate", "channels"), [(0, 1), (8_000, 0), (2**32, 1), (8_000, 70_000)])
def test_refuses_formats_that_a_wav_cannot_hold(rate: int, channels: int, tmp_path: Path):
    with pytest.raises(ValueError, match="cannot hold"):
        WavWriter(tmp_path / "out.wav", rate, channels)
