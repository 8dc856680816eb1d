"""One participant's connection to a room of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..room import (
    AudioOutput,
    DataPacket,
    DTMFEvent,
    Participant,
    RemoteAudioTrack,
    Room,
    RoomDisconnected,
    RoomEvent,
    TextMessage,
)
from .listeners import Listener, Listeners
from .output import LocalOutput
from .tracks import LocalSource, LocalTrack

if TYPE_CHECKING:
    from .hub import HostedRoom, LocalRooms

CLIENT_INITIATED = "client initiated"
LISTENER_DEADLINE = 2.0
"""Seconds that coroutine listeners have to end once the room is left; then they are cancelled."""


class LocalRoom(Room):
    """Made by `LocalRooms.join`.

    Events reach a participant one after the other on the event loop, never from inside the call that caused them.
    What `remote_participants` and `audio_tracks` show changes at the moment its event is emitted, so that listing and
    then listening misses nothing and sees nothing twice.
    """

    def __init__(self, hub: LocalRooms, hosted: HostedRoom, participant: Participant) -> None:
        self.name = hosted.name
        self._hub = hub
        self._hosted = hosted
        self._participant = participant
        self._remotes: dict[str, Participant] = {}
        self._published: dict[LocalTrack, LocalOutput | None] = {}
        self._subscribed: dict[LocalTrack, Participant] = {}
        self._listeners = Listeners(f"room {hosted.name!r} of {participant.identity!r}")
        self._connected = True
        self._left: asyncio.Future[None] | None = None

    @property
    def local_participant(self) -> Participant:
        return self._participant

    @property
    def remote_participants(self) -> Mapping[str, Participant]:
        return MappingProxyType(self._remotes)

    @property
    def connected(self) -> bool:
        return self._connected

    def on(self, event: str, listener: Listener | None = None) -> Callable[..., Any]:
        if listener is None:
            return lambda decorated: self.on(event, decorated)
        self._listeners.add(event, listener)
        return listener

    def off(self, event: str, listener: Listener) -> None:
        self._listeners.remove(event, listener)

    def audio_tracks(self) -> list[tuple[Participant, RemoteAudioTrack]]:
        return [(publisher, track) for track, publisher in self._subscribed.items()]

    async def publish_audio(self, name: str, *, sample_rate: int) -> AudioOutput:
        self._check_connected("publish audio")
        track = LocalTrack(name, sample_rate, paced=True)
        output = LocalOutput(track, self._hub.tick, self._unpublish)
        self._publish(track, output)
        return output

    def publish_source(self, name: str, sample_rate: int) -> LocalSource:
        """Publish a track whose frames come at the pace of their own clock (a microphone, a telephone line).

        Raises:
            RoomDisconnected: we are not in the room any more.
        """
        self._check_connected("publish audio")
        track = LocalTrack(name, sample_rate, paced=False)
        self._publish(track, None)
        return LocalSource(track, self._unpublish)

    async def publish_data(
        self, data: bytes | str, *, topic: str = "", destination_identities: list[str] | None = None
    ) -> None:
        self._check_connected("send data")
        payload = data.encode() if isinstance(data, str) else bytes(data)
        packet = DataPacket(payload, topic, self._participant)
        for other in self._hosted.others(self):
            if destination_identities is None or other._participant.identity in destination_identities:
                other._post(other._emit, RoomEvent.DATA_RECEIVED, packet)

    async def send_text(
        self, text: str, *, topic: str = "", attributes: Mapping[str, str] | None = None
    ) -> None:
        self._check_connected("send text")
        message = TextMessage(text, topic, self._participant, dict(attributes or {}))
        for other in self._hosted.others(self):
            other._post(other._emit, RoomEvent.TEXT_RECEIVED, message)

    async def publish_dtmf(self, digit: str) -> None:
        """Tell everybody else that a key of our telephone was pressed.

        Raises:
            ValueError: `digit` is not one of `0`-`9`, `*`, `#`, `A`-`D`.
        """
        if len(digit) != 1 or digit not in "0123456789*#ABCD":
            raise ValueError(f"{digit!r} is not a telephone key: 0-9, *, #, A-D")
        self._check_connected("send DTMF")
        event = DTMFEvent(digit, self._participant)
        for other in self._hosted.others(self):
            other._post(other._emit, RoomEvent.SIP_DTMF_RECEIVED, event)

    async def set_attributes(self, attributes: Mapping[str, str]) -> None:
        """Merge into our attributes; an empty value removes its key."""
        self._check_connected("set attributes")
        for key, value in attributes.items():
            if value:
                self._participant.attributes[key] = value
            else:
                self._participant.attributes.pop(key, None)
        for other in self._hosted.others(self):
            other._post(other._emit, RoomEvent.ATTRIBUTES_CHANGED, self._participant)

    async def disconnect(self) -> None:
        await self.leave(CLIENT_INITIATED)

    async def leave(self, reason: str, *, spare: asyncio.Task[Any] | None = None) -> None:
        """Disconnect for `reason`; returns when listeners have ended and outputs are closed.

        Args:
            reason: what `disconnected` is emitted with.
            spare: a listener's task not to wait for, when it is the one that asks; the calling task by default.
        """
        self.drop_out(reason)
        if self._left is None:
            self._left = asyncio.get_running_loop().create_future()
            try:
                await self._listeners.aclose(
                    deadline=LISTENER_DEADLINE, spare=spare or asyncio.current_task()
                )
            finally:
                self._left.set_result(None)
        else:
            await asyncio.wait([self._left], timeout=2 * LISTENER_DEADLINE)

    def drop_out(self, reason: str) -> None:
        """Be out of the room at once: the part of leaving that needs no waiting."""
        if not self._connected:
            return
        self._connected = False
        for track, output in tuple(self._published.items()):
            if output is not None:
                output.stop()
            track.end()
        self._hub.forget(self._hosted, self)
        for other in self._hosted.others(self):
            other._post(other._remote_left, self._participant)
        self._published.clear()
        self._subscribed.clear()
        self._remotes.clear()
        self._listeners.emit(RoomEvent.DISCONNECTED, reason)

    def receive_data(self, packet: DataPacket) -> None:
        """Hand on what the host sends; called by `HostedRoom.send_data`."""
        self._post(self._emit, RoomEvent.DATA_RECEIVED, packet)

    def enter(self) -> None:
        """Meet everybody who is in the room; called once, by `LocalRooms.join`."""
        for other in self._hosted.others(self):
            self._remotes[other._participant.identity] = other._participant
            for track in other._published:
                self._post(self._track_published, track, other._participant)
            other._post(other._remote_joined, self._participant)

    def _publish(self, track: LocalTrack, output: LocalOutput | None) -> None:
        self._published[track] = output
        for other in self._hosted.others(self):
            other._post(other._track_published, track, self._participant)

    def _unpublish(self, track: LocalTrack) -> None:
        if track not in self._published:
            return
        del self._published[track]
        track.end()
        for other in self._hosted.others(self):
            other._post(other._track_unpublished, track)

    def _post(self, deliver: Callable[..., None], *args: object) -> None:
        """Deliver on the next turn of the loop, in order, unless we have left by then."""
        asyncio.get_running_loop().call_soon(self._deliver, deliver, args)

    def _deliver(self, deliver: Callable[..., None], args: tuple[object, ...]) -> None:
        if self._connected:
            deliver(*args)

    def _emit(self, event: RoomEvent, *args: object) -> None:
        self._listeners.emit(event, *args)

    def _remote_joined(self, participant: Participant) -> None:
        self._remotes[participant.identity] = participant
        self._emit(RoomEvent.PARTICIPANT_JOINED, participant)

    def _remote_left(self, participant: Participant) -> None:
        for track, publisher in tuple(self._subscribed.items()):
            if publisher is participant:
                self._track_unpublished(track)
        if self._remotes.get(participant.identity) is participant:
            del self._remotes[participant.identity]
        self._emit(RoomEvent.PARTICIPANT_LEFT, participant)

    def _track_published(self, track: LocalTrack, participant: Participant) -> None:
        self._subscribed[track] = participant
        self._emit(RoomEvent.TRACK_SUBSCRIBED, track, participant)

    def _track_unpublished(self, track: LocalTrack) -> None:
        participant = self._subscribed.pop(track, None)
        if participant is not None:
            self._emit(RoomEvent.TRACK_UNSUBSCRIBED, track, participant)

    def _check_connected(self, action: str) -> None:
        if not self._connected:
            raise RoomDisconnected(
                f"{self._participant.identity!r} cannot {action}: it is no longer in room {self.name!r}"
            )
