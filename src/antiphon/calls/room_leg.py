"""The far end of a call that is a participant of its room, as a browser is, seen by the agent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..audio import AudioFrame
from ..rooms import Participant, RemoteAudioTrack, Room, RoomEvent, TextMessage
from ..telephony import LegEnded, LegMediaReady, LegMediaReceived, OnLegEvent, TransferFailed


class RoomLeg:
    """Watches one participant: the call has media when audio or text comes from them, and is over when they leave."""

    def __init__(self, room: Room, identity: str) -> None:
        """Prepare; `start` begins to watch.

        Args:
            room: as the agent joined it.
            identity: of the participant.
        """
        self.on_event: OnLegEvent | None = None
        self._room = room
        self._identity = identity
        self._present = False
        self._received = False
        self._over = False
        self._listeners: list[tuple[str, Callable[..., None]]] = []
        self._unsubscribe: list[Callable[[], None]] = []

    def start(self) -> None:
        self._listen(RoomEvent.PARTICIPANT_JOINED, self._joined)
        self._listen(RoomEvent.PARTICIPANT_LEFT, self._left)
        self._listen(RoomEvent.TRACK_SUBSCRIBED, self._track)
        self._listen(RoomEvent.TEXT_RECEIVED, self._text)
        if (participant := self._room.remote_participants.get(self._identity)) is not None:
            self._joined(participant)
        for publisher, track in self._room.audio_tracks():
            self._track(track, publisher)

    async def answer(self) -> None: ...

    async def cancel(self) -> None:
        self._stop()

    async def hang_up(self, sip_code: int | None, reason: str) -> None:
        """Closing the room is what ends the participant's call."""
        self._stop()

    async def transfer(self, target: str) -> None:
        raise TransferFailed("this call is not on a telephone, so it cannot be transferred")

    async def send_dtmf(self, digits: str) -> None:
        """A browser has no keys to hear."""

    async def aclose(self) -> None:
        self._stop()

    def _listen(self, event: str, listener: Callable[..., None]) -> None:
        self._room.on(event, listener)
        self._listeners.append((event, listener))

    def _joined(self, participant: Participant) -> None:
        if participant.identity == self._identity and not self._present:
            self._present = True
            self._tell(LegMediaReady())

    def _left(self, participant: Participant) -> None:
        if participant.identity == self._identity:
            self._tell(LegEnded("left the room"))
            self._stop()

    def _track(self, track: RemoteAudioTrack, participant: Participant) -> None:
        if participant.identity == self._identity and not self._received:
            self._unsubscribe.append(track.subscribe(self._frame))

    def _frame(self, _frame: AudioFrame) -> None:
        self._media_came()

    def _text(self, message: TextMessage) -> None:
        if message.participant is not None and message.participant.identity == self._identity:
            self._media_came()

    def _media_came(self) -> None:
        if not self._received:
            self._received = True
            self._tell(LegMediaReceived())
            self._let_go_of_audio()

    def _let_go_of_audio(self) -> None:
        unsubscribe, self._unsubscribe = self._unsubscribe, []
        for stop in unsubscribe:
            stop()

    def _tell(self, event: Any) -> None:
        if self.on_event is not None and not self._over:
            self.on_event(event)

    def _stop(self) -> None:
        self._over = True
        self._let_go_of_audio()
        listeners, self._listeners = self._listeners, []
        for event, listener in listeners:
            self._room.off(event, listener)
