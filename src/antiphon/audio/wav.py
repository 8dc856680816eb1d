"""WAV files in and out.

Format: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications 1.0" (1991), chapter 3;
WAVE_FORMAT_EXTENSIBLE: Microsoft, "Multiple channel audio data and WAVE files" (2001).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .frame import AudioFrame, Int16Array

_PCM = 0x0001
_FLOAT = 0x0003
_EXTENSIBLE = 0xFFFE
_CODECS = {0x0002: "Microsoft ADPCM", 0x0006: "A-law", 0x0007: "mu-law", 0x0011: "IMA ADPCM", 0x0055: "MP3"}
_EXTENSIBLE_GUID_TAIL = bytes.fromhex("0000 1000 8000 00AA 0038 9B71")  # after the four bytes of the codec
_UNKNOWN_SIZE = 0xFFFFFFFF  # written by programs that stream into a pipe
_HEADER_BYTES = 44
_MAX_DATA_BYTES = 0xFFFFFFFF - _HEADER_BYTES

StrPath = str | os.PathLike[str]


class AudioFileError(ValueError):
    """A file is not audio that can be read; the message says what to do."""


@dataclass(frozen=True)
class _Format:
    codec: int
    num_channels: int
    sample_rate: int
    bits: int

    @property
    def frame_bytes(self) -> int:
        return self.num_channels * self.bits // 8


def read_wav(path: StrPath) -> AudioFrame:
    """Read a whole WAV file.

    8-, 16-, 24- and 32-bit integer PCM, and 32- and 64-bit floats, in any number of channels, at any rate.
    Floats beyond full scale are clipped. When the file ends before its header says, what is there is read.

    Args:
        path: the file.

    Returns:
        All of it, rounded to 16 bits, with the file's rate and channels.

    Raises:
        AudioFileError: not a WAV file, a broken header, or a codec that is not PCM.
        OSError: the file cannot be opened.
    """
    with open(path, "rb") as file:
        form, data = _read_chunks(file, path)
    whole = len(data) - len(data) % form.frame_bytes
    return AudioFrame(_to_int16(data[:whole], form), form.sample_rate, form.num_channels)


def _read_chunks(file: BinaryIO, path: StrPath) -> tuple[_Format, bytes]:
    riff = file.read(12)
    if riff[:4] in (b"RF64", b"RIFX"):
        raise AudioFileError(f"{path} is a WAV of the kind {riff[:4].decode()}. {_convert(path)}")
    if len(riff) < 12 or riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        raise AudioFileError(
            f"{path} is not a WAV file (it does not begin with RIFF and WAVE). {_convert(path)}"
        )
    form: _Format | None = None
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            if form is None:
                raise AudioFileError(f"{path} has no format chunk before its audio. {_convert(path)}")
            return form, file.read() if size == _UNKNOWN_SIZE else file.read(size)
        if name == b"fmt ":
            form = _parse_format(file.read(size), path)
            file.seek(size % 2, os.SEEK_CUR)
        else:
            file.seek(size + size % 2, os.SEEK_CUR)
    raise AudioFileError(
        f"{path} ends before its audio begins: the header is cut off. Copy or record it again."
    )


def _parse_format(chunk: bytes, path: StrPath) -> _Format:
    if len(chunk) < 16:
        raise AudioFileError(
            f"{path} ends inside its format chunk: the header is cut off. Copy or record it again."
        )
    codec, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if codec == _EXTENSIBLE and len(chunk) >= 40 and chunk[28:40] == _EXTENSIBLE_GUID_TAIL:
        codec = int.from_bytes(chunk[24:28], "little")
    if not channels or not rate:
        raise AudioFileError(
            f"{path} claims {channels} channels at {rate} Hz: the header is broken. {_convert(path)}"
        )
    if (codec, bits) not in {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}:
        kind = {_PCM: "PCM", _FLOAT: "float"}.get(codec) or _CODECS.get(codec, f"codec {codec:#06x}")
        raise AudioFileError(f"{path} holds {bits}-bit {kind}, which cannot be read. {_convert(path)}")
    return _Format(codec, channels, rate, bits)


def _convert(path: StrPath) -> str:
    return f"Convert it to 16-bit PCM: ffmpeg -i {path} -c:a pcm_s16le converted.wav"


def _to_int16(data: bytes, form: _Format) -> Int16Array:
    if form.codec == _FLOAT:
        floats = np.nan_to_num(np.frombuffer(data, dtype=f"<f{form.bits // 8}"), posinf=1.0, neginf=-1.0)
        return np.asarray(np.clip(np.rint(floats * 32768.0), -32768, 32767).astype(np.int16))
    match form.bits:
        case 8:
            return (np.frombuffer(data, dtype=np.uint8).astype(np.int16) - 128) << 8
        case 16:
            return np.frombuffer(data, dtype="<i2").astype(np.int16, copy=False)
        case 24:
            octets = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
            high = np.ascontiguousarray(octets[:, 1:]).view("<i2").reshape(-1)
            return _round_up(high, octets[:, 0] >= 0x80)
        case _:
            words = np.frombuffer(data, dtype="<u2").reshape(-1, 2)
            return _round_up(np.ascontiguousarray(words[:, 1]).view("<i2"), words[:, 0] >= 0x8000)


def _round_up(high: Int16Array, upper_half: NDArray[np.bool_]) -> Int16Array:
    """The 16 high bits, rounded by what the low bits were."""
    return (high + (upper_half & (high < 32767))).astype(np.int16)


class WavWriter:
    """Writes 16-bit PCM to a WAV file piece by piece.

    The header tells the true length after every `flush` and about once a second of audio, audio first: whenever the
    process dies, the file is a valid WAV of all but the last second.
    """

    def __init__(self, path: StrPath, sample_rate: int, num_channels: int = 1) -> None:
        """Create the file, or empty it when it exists.

        Raises:
            ValueError: a rate or channel count that a WAV cannot hold.
            OSError: the file cannot be created.
        """
        if not 1 <= sample_rate <= 0xFFFFFFFF // (2 * num_channels or 1) or not 1 <= num_channels <= 0xFFFF:
            raise ValueError(f"a WAV file cannot hold {num_channels} channels at {sample_rate} Hz")
        self.sample_rate = sample_rate
        self.num_channels = num_channels
        self._path = path
        self._bytes = 0
        self._bytes_in_header = 0
        self._file = open(path, "wb")  # noqa: SIM115 - closed by close()
        self._write_header()

    @property
    def duration(self) -> float:
        """Seconds written so far."""
        return self._bytes / (2 * self.num_channels * self.sample_rate)

    @property
    def closed(self) -> bool:
        return self._file.closed

    def write(self, audio: AudioFrame | Int16Array) -> None:
        """Append audio.

        Args:
            audio: a frame of this file's format, or an interleaved int16 array.

        Raises:
            ValueError: a frame of another format, a closed file, or more than the 4 GiB that a WAV can hold.
            OSError: the disk does not take it.
        """
        frame = (
            audio if isinstance(audio, AudioFrame) else AudioFrame(audio, self.sample_rate, self.num_channels)
        )
        if (frame.sample_rate, frame.num_channels) != (self.sample_rate, self.num_channels):
            raise ValueError(
                f"{frame!r} does not fit into {self._path}, which has {self.sample_rate} Hz and "
                f"{self.num_channels} channels; resample or mix it down first"
            )
        if self._bytes + frame.samples.nbytes > _MAX_DATA_BYTES:
            raise ValueError(
                f"{self._path} has reached the 4 GiB that a WAV file can hold; go on in another file"
            )
        self._file.write(frame.samples.astype("<i2", copy=False).data)
        self._bytes += frame.samples.nbytes
        if self._bytes - self._bytes_in_header >= 2 * self.num_channels * self.sample_rate:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the operating system and bring the header up to date.

        Raises:
            OSError: the disk does not take it.
        """
        self._file.flush()
        if self._bytes_in_header != self._bytes:
            self._file.seek(0)
            self._write_header()
            self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        if not self._file.closed:
            try:
                self.flush()
            finally:
                self._file.close()

    def _write_header(self) -> None:
        frame_bytes = 2 * self.num_channels
        self._file.write(
            struct.pack(
                "<4sI4s4sIHHIIHH4sI",
                *(b"RIFF", self._bytes + _HEADER_BYTES - 8, b"WAVE"),
                *(b"fmt ", 16, _PCM, self.num_channels, self.sample_rate),
                *(self.sample_rate * frame_bytes, frame_bytes, 16),
                *(b"data", self._bytes),
            )
        )
        self._file.flush()
        self._bytes_in_header = self._bytes

    def __enter__(self) -> WavWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_wav(path: StrPath, frame: AudioFrame) -> None:
    """Write one frame as a 16-bit PCM WAV file.

    Raises:
        ValueError: more audio than the 4 GiB that a WAV can hold.
        OSError: the file cannot be written.
    """
    with WavWriter(path, frame.sample_rate, frame.num_channels) as writer:
        writer.write(frame)
