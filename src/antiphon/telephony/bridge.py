"""Joins a SIP call and its audio to a room.

The far end is participant `sip-<number>` of the room, of kind `sip`. What happens to its line is told to the room by data packets on topic
`sip_bridge_events` and, for whoever joins later, by attributes of the participant; its keys come as `sip_dtmf_received`.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..models.errors import AntiphonError
from ..rooms import ParticipantKind, Room, RoomDisconnected, RoomHost
from ..rooms.local.tick import MediaTick
from ..rtp.codecs import codec_named
from ..rtp.media_process import MediaCall
from ..sip.offer_answer import NegotiatedMedia
from .room_audio import RoomAudio
from .stream_settings import stream_settings

logger = logging.getLogger(__name__)

TOPIC = "sip_bridge_events"
HOLD_ATTRIBUTE = "sip.hold"
STATUS_ATTRIBUTE = "sip.callStatus"
_IDENTITY = re.compile(r"[^A-Za-z0-9+_.-]")
_SAME_KEY_SECONDS = 1.0


def identity_of(number: str) -> str:
    """The identity of a telephone in its room."""
    return f"sip-{_IDENTITY.sub('', number)[:64] or 'anonymous'}"


class Bridge:
    """Between one leg's media call and one room.

    Attributes:
        agreed: what offer and answer agreed on; None: nothing yet.
        on_hold: the far end holds us.
        room: None until it joined one.
    """

    def __init__(self, media: MediaCall, rooms: RoomHost, tick: MediaTick, networks: tuple[str, ...]) -> None:
        """Prepare; nothing is joined yet.

        Args:
            media: the leg's place in a media engine.
            rooms: where its room is.
            tick: paces the mixing of all calls of the process.
            networks: where the trunk's media may come from.
        """
        self.on_hold = False
        self.room: Room | None = None
        self._media = media
        self._rooms = rooms
        self._tick = tick
        self._networks = networks
        self.agreed: NegotiatedMedia | None = None
        self._audio: RoomAudio | None = None
        self._audio_rate = 0
        self._answered = False
        self._closed = False
        self._unmatched: list[tuple[str, str, float]] = []  # keys of late that came by one way only
        media.on_audio = self._heard

    async def join(self, room: str, number: str, attributes: Mapping[str, str]) -> None:
        """Join a room as the telephone of `number`. Raises AntiphonError when it cannot be joined, or the call is over."""
        self._check_open()
        joined = await self._rooms.join(
            room, identity_of(number), ParticipantKind.SIP, name=number, attributes=attributes
        )
        try:
            self._check_open()
        except AntiphonError:
            await joined.disconnect()
            raise
        self.room = joined
        self._connect_audio()

    def agree(self, media: NegotiatedMedia) -> bool:
        """Take what offer and answer agreed on; returns whether hold began or ended.

        Raises:
            ConfigurationError: a codec that this version has not.
        """
        self._media.configure(stream_settings(media, self._networks))
        self.agreed = media
        self._connect_audio()
        changed = media.on_hold is not self.on_hold
        self.on_hold = media.on_hold
        return changed

    @property
    def ready(self) -> bool:
        """Whether audio that is sent now would be heard."""
        return self._audio is not None and self.agreed is not None

    @property
    def expects_audio(self) -> bool:
        """Whether the far end means to send audio: not on hold, nor if it only listens."""
        return self.agreed is not None and not self.on_hold and self.agreed.direction.receives

    def answered(self) -> None:
        """The call is answered: from now on what the far end says is heard in the room."""
        self._answered = True
        if self.agreed is not None:
            # Anew, so that the first packet after the answer is told apart from a ringing tone before it.
            self._media.configure(stream_settings(self.agreed, self._networks))

    async def announce(self, event: str, **more: Any) -> None:
        """Tell the room, by a data packet and by attributes."""
        if self.room is None or not self.room.connected:
            return
        try:
            await self.room.publish_data(json.dumps({"event": event, **more}), topic=TOPIC)
            if event in ("call_hold", "call_resume"):
                await self.room.set_attributes({HOLD_ATTRIBUTE: "true" if event == "call_hold" else "false"})
            elif event == "call_answered":
                await self.room.set_attributes({STATUS_ATTRIBUTE: "active"})
        except RoomDisconnected:
            return  # the call is ending anyway

    async def pressed(self, key: str, source: str) -> None:
        """The far end pressed a key; one that comes by RTP and by INFO counts once.

        Args:
            key: `0`-`9`, `*`, `#`, `A`-`D`.
            source: `"rtp"` or `"info"`.
        """
        now = time.monotonic()
        self._unmatched = [one for one in self._unmatched if now - one[2] < _SAME_KEY_SECONDS]
        for one in self._unmatched:
            if one[0] == key and one[1] != source:
                self._unmatched.remove(one)
                return
        self._unmatched.append((key, source, now))
        if self.room is None or not self.room.connected:
            return
        try:
            await self.room.publish_dtmf(key)
        except RoomDisconnected:
            return

    async def aclose(self) -> dict[str, Any]:
        """Leave the room and free the ports; returns what the audio was like. Safe to call twice."""
        self._closed = True
        self._media.on_audio = None
        if self._audio is not None:
            self._audio.close()
        room, self.room = self.room, None
        if room is not None:
            await room.disconnect()
        return await self._media.aclose()

    def _check_open(self) -> None:
        if self._closed:
            raise AntiphonError("the far end hung up before its telephone was in the room")

    def _connect_audio(self) -> None:
        if self.agreed is None or self.room is None or not self.room.connected:
            return
        rate = codec_named(self.agreed.codec).sample_rate
        if self._audio is not None and rate == self._audio_rate:
            return
        if self._audio is not None:
            self._audio.close()
        self._audio_rate = rate
        self._audio = RoomAudio(self.room, rate, self._media.send, self._tick)

    def _heard(self, frame: bytes) -> None:
        if self._audio is not None and self._answered and len(frame) == self._audio_rate // 25:
            self._audio.receive(np.frombuffer(frame, dtype=np.int16))
