"""The codecs of telephone calls.

Sources: RFC 3551 (payload types, clocks; G.722 has a clock of 8000 although it samples at 16000), RFC 7587 (Opus), ITU-T G.711, G.722.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..audio import g711
from ..audio.frame import Int16Array
from ..models.errors import ConfigurationError
from .packet import MalformedPacket

FRAME_SECONDS = 0.02
_MOST_SECONDS = 0.12  # of audio in one packet


@dataclass(frozen=True, slots=True)
class CodecInfo:
    """A codec as SDP names it.

    Attributes:
        name: encoding name, as in `a=rtpmap`.
        payload_type: the static one, or what we offer.
        clock_rate: RTP ticks a second.
        sample_rate: of the audio.
        channels: as `a=rtpmap` wants it; 2 for Opus, whatever is sent.
        format_parameters: what we put into `a=fmtp`.
        silence: the byte that is silence; None where no one byte is.
    """

    name: str
    payload_type: int
    clock_rate: int
    sample_rate: int
    channels: int = 1
    format_parameters: str = ""
    silence: int | None = None

    @property
    def static(self) -> bool:
        """Whether the payload type needs no `a=rtpmap`."""
        return self.payload_type < 96

    def ticks(self, samples: int) -> int:
        """RTP ticks of so many samples."""
        return samples * self.clock_rate // self.sample_rate


PCMU = CodecInfo("PCMU", 0, 8000, 8000, silence=g711.ULAW_SILENCE)
PCMA = CodecInfo("PCMA", 8, 8000, 8000, silence=g711.ALAW_SILENCE)
G722 = CodecInfo("G722", 9, 8000, 16000)
OPUS = CodecInfo(
    "opus", 96, 48000, 16000, 2, "useinbandfec=1;maxplaybackrate=16000;sprop-maxcapturerate=16000"
)

CODECS = {codec.name.lower(): codec for codec in (PCMU, PCMA, G722, OPUS)}


def codec_named(name: str) -> CodecInfo:
    """A codec by its encoding name, in any case. Raises ConfigurationError."""
    codec = CODECS.get(name.lower())
    if codec is None:
        known = ", ".join(sorted(one.name for one in CODECS.values()))
        raise ConfigurationError(f"there is no codec {name!r}; codecs are {known}")
    return codec


class Coder(ABC):
    """Encodes and decodes one call; both directions have a state of their own."""

    info: CodecInfo

    @abstractmethod
    def encode(self, samples: Int16Array) -> bytes:
        """20 ms of mono audio at the codec's sample rate to a payload."""

    @abstractmethod
    def decode(self, payload: bytes) -> Int16Array:
        """A payload of any length to mono audio at the codec's sample rate.

        Raises:
            MalformedPacket: it cannot be decoded.
        """

    @abstractmethod
    def length(self, payload: bytes) -> int:
        """RTP ticks of audio in a payload. Raises MalformedPacket."""


def create_coder(info: CodecInfo) -> Coder:
    """A coder for one call.

    Raises:
        ConfigurationError: a package that it needs is not installed.
    """
    if info.name == "PCMU":
        return _G711(info, g711.encode_ulaw, g711.decode_ulaw)
    if info.name == "PCMA":
        return _G711(info, g711.encode_alaw, g711.decode_alaw)
    try:
        from .av_codecs import G722Coder, OpusCoder
    except ImportError as error:
        raise ConfigurationError(
            f'{info.name} needs PyAV; pip install "antiphon[platform]" brings it'
        ) from error
    return G722Coder(info) if info.name == "G722" else OpusCoder(info)


class _G711(Coder):
    def __init__(
        self,
        info: CodecInfo,
        encode: Callable[[Int16Array], g711.Uint8Array],
        decode: Callable[[g711.Uint8Array], Int16Array],
    ) -> None:
        self.info = info
        self._encode = encode
        self._decode = decode

    def encode(self, samples: Int16Array) -> bytes:
        return self._encode(samples).tobytes()

    def decode(self, payload: bytes) -> Int16Array:
        return self._decode(np.frombuffer(payload, dtype=np.uint8))

    def length(self, payload: bytes) -> int:
        return check_length(len(payload), self.info)


def check_length(ticks: int, info: CodecInfo) -> int:
    """Raises MalformedPacket for a packet of no audio, or of more than anybody sends."""
    if not 0 < ticks <= _MOST_SECONDS * info.clock_rate:
        raise MalformedPacket(f"{ticks} ticks of {info.name} in one packet")
    return ticks
