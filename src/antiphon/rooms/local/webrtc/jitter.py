"""A jitter buffer for listening machines: in order as soon as possible, rather than evenly spaced."""

from __future__ import annotations

import logging

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket

logger = logging.getLogger(__name__)

MAX_EARLY = 2
"""A missing packet is given up when so many later ones are here: after 20 to 40 ms."""
_MAX_JUMP = 100  # a sequence number farther off than this belongs to a new stream
_PRIVATE_NAME = "_RTCRtpReceiver__jitter_buffer"


class ListeningJitterBuffer:
    """Passes packets on the moment they are next in order.

    aiortc's own buffer holds back four packets, 80 ms, so that playback never starves. A recogniser does not play:
    what it needs is order. Of a lost packet nothing is made here; its time is missing in the frames' timestamps.
    """

    def __init__(self) -> None:
        self._next: int | None = None
        self._early: dict[int, RtpPacket] = {}

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Take a packet in; returns (False, the frame that is due, if one is), as aiortc's receiver expects.

        One frame at most is returned for each packet that comes in, so after a hole was filled the rest follows one
        packet behind, until the next loss.
        """
        number = packet.sequence_number
        if self._next is None or _MAX_JUMP < (number - self._next) % 65536 < 65536 - _MAX_JUMP:
            self._next = number
            self._early.clear()
        ahead = (number - self._next) % 65536
        if ahead >= 65536 - _MAX_JUMP:
            return False, None  # late: it was given up, or is a duplicate
        self._early[number] = packet
        expected = base = self._next
        if expected not in self._early and len(self._early) >= MAX_EARLY:
            expected = min(self._early, key=lambda early: (early - base) % 65536)
        due = self._early.pop(expected, None)
        if due is None:
            return False, None
        self._next = (expected + 1) % 65536
        return False, JitterFrame(due._data, due.timestamp)  # type: ignore[attr-defined]


def hurry(receiver: RTCRtpReceiver) -> bool:
    """Give an aiortc receiver this buffer; returns False where its insides are not as expected.

    It then works as well, 60 ms slower.
    """
    if not hasattr(receiver, _PRIVATE_NAME):
        logger.warning("this version of aiortc keeps its jitter buffer elsewhere; speech arrives 60 ms later")
        return False
    setattr(receiver, _PRIVATE_NAME, ListeningJitterBuffer())
    return True
