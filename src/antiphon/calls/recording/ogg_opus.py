"""Stereo Opus in Ogg, written so that the file is playable at every moment.

24 kHz keeps all of an agent's voice (telephones bring 8 kHz, browsers 16 kHz into a room). A minute takes 300 KB at most. At
this bit rate the encoder codes both channels apart, so that with one side silent nothing of the other is heard on it (speech
below -100 dB); from 36 kbit/s down it joins them, and a click of one side can be heard on the other.
"""

from __future__ import annotations

import fractions
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import av
from av.audio.stream import AudioStream

from ...audio.frame import Int16Array

SAMPLE_RATE = 24000
BIT_RATE = 40_000
CODEC = "opus"
CHANNELS = 2
MEDIA_TYPE = "audio/ogg"

_TIME_BASE = fractions.Fraction(1, SAMPLE_RATE)
_PAGE = 500_000  # microseconds of audio in a page at most: what a killed process had in memory
_PIECE = SAMPLE_RATE  # samples encoded at a time


class OggOpusWriter:
    """Encodes 24 kHz stereo into a file as it comes. For one thread at a time."""

    def __init__(self, file: BinaryIO) -> None:
        """Prepare the encoder.

        Args:
            file: open for writing, unbuffered. It stays open when the writer is closed.
        """
        self._container: Any = av.open(
            file, "w", format="ogg", options={"page_duration": str(_PAGE), "flush_packets": "1"}
        )
        stream = self._container.add_stream(
            "libopus",
            rate=SAMPLE_RATE,
            layout="stereo",
            # Measured: from level 6 on the encoder takes four times the processor time.
            options={
                "application": "audio",
                "compression_level": "5",
                "vbr": "constrained",
                "frame_duration": "20",
            },
        )
        assert isinstance(stream, AudioStream)
        stream.bit_rate = BIT_RATE
        self._stream = stream
        self._samples = 0

    @property
    def seconds(self) -> float:
        """Length of what was written."""
        return self._samples / SAMPLE_RATE

    def write(self, stereo: Int16Array) -> None:
        """Append audio.

        Args:
            stereo: int16 array of shape (2 * n,), interleaved.

        Raises:
            OSError: the file takes no more.
        """
        with _errors():
            for start in range(0, stereo.size, 2 * _PIECE):
                self._encode(stereo[start : start + 2 * _PIECE])

    def close(self) -> None:
        """Write what the encoder holds, and the end of the file. Nothing may be written afterwards.

        Raises:
            OSError: the file takes no more; it is playable up to there.
        """
        container, self._container = self._container, None
        if container is None:
            return
        with _errors():
            try:
                if self._samples:
                    for packet in self._stream.encode(None):
                        container.mux(packet)
            finally:
                container.close()

    def _encode(self, stereo: Int16Array) -> None:
        frame = av.AudioFrame.from_ndarray(stereo.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        frame.time_base = _TIME_BASE
        frame.pts = self._samples
        self._samples += stereo.size // CHANNELS
        for packet in self._stream.encode(frame):
            self._container.mux(packet)


@contextmanager
def _errors() -> Iterator[None]:
    """Failures of the library as the errors of files that they stand for."""
    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno, f"Ogg Opus cannot be written: {error.strerror}") from error
