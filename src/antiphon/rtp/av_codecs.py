"""G.722 and Opus through PyAV."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np

from ..audio import Resampler
from ..audio.frame import Int16Array
from .codecs import CodecInfo, Coder, check_length
from .packet import MalformedPacket

_OPUS_BIT_RATE = 24_000


class _AvCoder(Coder):
    """Encoder and decoder of one call, made when first needed."""

    def __init__(self, info: CodecInfo) -> None:
        self.info = info
        self._encoder: Any = None
        self._decoder: Any = None
        self._position = 0

    def encode(self, samples: Int16Array) -> bytes:
        if self._encoder is None:
            self._encoder = self._make_encoder()
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = self.info.sample_rate
        frame.pts, frame.time_base = self._position, Fraction(1, self.info.sample_rate)
        self._position += samples.size
        return b"".join(bytes(packet) for packet in self._encoder.encode(frame))

    def _decoded(self, payload: bytes) -> list[Any]:
        if self._decoder is None:
            self._decoder = self._make_decoder()
        try:
            return list(self._decoder.decode(av.Packet(payload)))
        except av.FFmpegError as error:
            raise MalformedPacket(f"{self.info.name}: {error}") from error

    def _make_encoder(self) -> Any:
        raise NotImplementedError

    def _make_decoder(self) -> Any:
        raise NotImplementedError


class G722Coder(_AvCoder):
    """64 kbit/s: two samples a byte."""

    def decode(self, payload: bytes) -> Int16Array:
        parts = [frame.to_ndarray().reshape(-1) for frame in self._decoded(payload)]
        return np.concatenate(parts).astype(np.int16) if parts else np.zeros(0, dtype=np.int16)

    def length(self, payload: bytes) -> int:
        return check_length(len(payload), self.info)

    def _make_encoder(self) -> Any:
        return self._make("w")

    def _make_decoder(self) -> Any:
        return self._make("r")

    def _make(self, mode: Literal["r", "w"]) -> Any:
        context: Any = av.CodecContext.create("g722", mode)
        context.sample_rate, context.layout, context.format = self.info.sample_rate, "mono", "s16"
        context.open()
        return context


class OpusCoder(_AvCoder):
    """Mono speech with in-band error correction."""

    def __init__(self, info: CodecInfo) -> None:
        super().__init__(info)
        self._resampler = Resampler(48000, info.sample_rate)

    def decode(self, payload: bytes) -> Int16Array:
        parts = []
        for frame in self._decoded(payload):
            samples = frame.to_ndarray()
            if samples.dtype != np.int16:
                samples = np.clip(np.rint(samples * 32767), -32768, 32767)
            channels = len(frame.layout.channels)
            planes = (
                samples.reshape(channels, -1) if frame.format.is_planar else samples.reshape(-1, channels).T
            )
            mono = np.rint(planes.mean(axis=0)).astype(np.int16)
            parts.append(self._resampler.push(mono))
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)

    def length(self, payload: bytes) -> int:
        return check_length(opus_ticks(payload), self.info)

    def _make_encoder(self) -> Any:
        context: Any = av.CodecContext.create("libopus", "w")
        context.sample_rate, context.layout, context.format = self.info.sample_rate, "mono", "s16"
        context.bit_rate = _OPUS_BIT_RATE
        context.options = {"application": "voip", "frame_duration": "20", "fec": "1", "packet_loss": "5"}
        context.open()
        return context

    def _make_decoder(self) -> Any:
        context: Any = av.CodecContext.create("libopus", "r")
        context.sample_rate, context.layout = 48000, "mono"
        context.open()
        return context


def opus_ticks(payload: bytes) -> int:
    """How long a packet plays, in ticks of 48 kHz. Source: RFC 6716 section 3.1, tables 2 and 3.

    Raises:
        MalformedPacket: it is no Opus packet.
    """
    if not payload:
        raise MalformedPacket("an Opus packet of no bytes")
    configuration, code = payload[0] >> 3, payload[0] & 3
    if configuration < 12:
        frame = (480, 960, 1920, 2880)[configuration & 3]
    elif configuration < 16:
        frame = (480, 960)[configuration & 1]
    else:
        frame = (120, 240, 480, 960)[configuration & 3]
    if code < 2:
        return frame * (code + 1)
    if code == 2:
        return frame * 2
    if len(payload) < 2 or not payload[1] & 0x3F:
        raise MalformedPacket("an Opus packet without its count of frames")
    return frame * (payload[1] & 0x3F)
