"""Cuts encoded audio into packets of the length that the far end asks for (RFC 8866 sections 6.4 and 6.5).

For the codecs with one octet a tick, whose octets may be cut anywhere (RFC 3551 section 4.5). Frames come every 20 ms; packets of 10 ms
leave in pairs, those of 30 ms after every second frame and the third.
"""

from __future__ import annotations

from collections.abc import Iterator

from .codecs import FRAME_SECONDS, CodecInfo

FRAME_MS = round(FRAME_SECONDS * 1000)
_STEP_MS, _LONGEST_MS = 10, 60
_ONE_OCTET_A_TICK = frozenset({"PCMU", "PCMA", "G722"})


def packet_octets(codec: CodecInfo, milliseconds: int) -> int | None:
    """Octets of a packet of about this length, at most; None: frames are packets, as they are or because nothing else can be."""
    if codec.name not in _ONE_OCTET_A_TICK:
        return None
    length = min(max(milliseconds // _STEP_MS * _STEP_MS, _STEP_MS), _LONGEST_MS)
    return None if length == FRAME_MS else length * codec.clock_rate // 1000


class Packetizer:
    """What is left of the frames so far, and from when it is."""

    def __init__(self, octets: int) -> None:
        """Args:
        octets: of each packet.
        """
        self._octets = octets
        self._left = bytearray()

    def cut(self, payload: bytes, timestamp: int) -> Iterator[tuple[int, bytes]]:
        """The packets that are complete with one more frame, each with its timestamp.

        Args:
            payload: the frame.
            timestamp: of the frame.
        """
        start = timestamp - len(self._left)
        self._left += payload
        while len(self._left) >= self._octets:
            yield start & 0xFFFFFFFF, bytes(self._left[: self._octets])
            del self._left[: self._octets]
            start += self._octets

    def clear(self) -> None:
        """The audio broke off: what is left goes nowhere."""
        self._left.clear()
