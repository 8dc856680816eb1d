"""What the media engine and the process that owns it tell each other, over a pair of connected sockets.

Each message is its length, its kind and its body. Commands and events are pickled: both ends are this program, and nobody else holds
the sockets. Audio is one message a tick for all calls.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .settings import StreamSettings

_HEADER = struct.Struct("!IB")
_FRAME = struct.Struct("!IH")
CONTROL, AUDIO = 0, 1
_LONGEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Open:
    """Bind a pair of ports for a call."""

    call: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Configure:
    """Begin a call's audio, or change it."""

    call: int
    settings: StreamSettings


@dataclass(frozen=True, slots=True)
class Press:
    call: int
    keys: str


@dataclass(frozen=True, slots=True)
class Close:
    """End a call; `Closed` follows."""

    call: int


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process."""


@dataclass(frozen=True, slots=True)
class Started:
    """The engine runs; whether before others, as `goes_first` says."""

    goes_first: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """The ports are bound; or not, and `error` says why."""

    call: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """A call cannot go on with what it was told."""

    call: int
    error: str


@dataclass(frozen=True, slots=True)
class FirstPacket:
    """The first valid packet came since the call was configured."""

    call: int


@dataclass(frozen=True, slots=True)
class Key:
    call: int
    key: str


@dataclass(frozen=True, slots=True)
class Silent:
    """No packet came for `seconds`; told once for each `ENGINE_SILENCE` seconds that this goes on."""

    call: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Closed:
    """A call's ports are free; what it was like."""

    call: int
    statistics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pacing:
    """How late packets left, in seconds, over the last reporting period."""

    calls: int
    packets: int
    p50: float
    p99: float
    worst: float
    late: int  # over 5 ms


Command = Open | Configure | Press | Close | Stop
Event = Started | Opened | Failed | FirstPacket | Key | Silent | Closed | Pacing


def pack(message: Command | Event) -> bytes:
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _HEADER.pack(len(body), CONTROL) + body


def pack_audio(frames: Iterable[tuple[int, bytes]]) -> bytes:
    """One message with a frame of each call: its number and int16 samples."""
    parts = [part for call, frame in frames for part in (_FRAME.pack(call, len(frame)), frame)]
    body = b"".join(parts)
    return _HEADER.pack(len(body), AUDIO) + body


class MessageReader:
    """Takes a stream of bytes in any pieces; gives commands or events, and frames of audio."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Each message that is complete: a command or event, or a list of (call, samples as bytes)."""
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= _HEADER.size:
            length, kind = _HEADER.unpack_from(self._buffer, at)
            if length > _LONGEST:
                raise ValueError("the media engine and its owner lost step")
            start, end = at + _HEADER.size, at + _HEADER.size + length
            if len(self._buffer) < end:
                break
            body = bytes(self._buffer[start:end])
            at = end
            yield list(_frames(body)) if kind == AUDIO else pickle.loads(body)
        del self._buffer[:at]


def _frames(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(body):
        call, length = _FRAME.unpack_from(body, at)
        at += _FRAME.size
        yield call, body[at : at + length]
        at += length
