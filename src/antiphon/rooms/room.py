"""What a session, a bridge and a browser need of a room, whoever hosts it.

`rooms/local` hosts rooms in this process; `rooms/livekit` joins rooms of a LiveKit server. One contract suite runs
on both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..audio import AudioFrame
from ..models.errors import AntiphonError


class RoomDisconnected(AntiphonError):
    """Something was asked of a room that we are no longer in."""


class ParticipantKind(StrEnum):
    STANDARD = "standard"
    AGENT = "agent"
    SIP = "sip"


class RoomEvent(StrEnum):
    """Names for `Room.on`, with what the listener is called with."""

    PARTICIPANT_JOINED = "participant_joined"  # (Participant)
    PARTICIPANT_LEFT = "participant_left"  # (Participant)
    ATTRIBUTES_CHANGED = "participant_attributes_changed"  # (Participant)
    TRACK_SUBSCRIBED = "track_subscribed"  # (RemoteAudioTrack, Participant)
    TRACK_UNSUBSCRIBED = "track_unsubscribed"  # (RemoteAudioTrack, Participant)
    DATA_RECEIVED = "data_received"  # (DataPacket)
    TEXT_RECEIVED = "text_received"  # (TextMessage)
    SIP_DTMF_RECEIVED = "sip_dtmf_received"  # (DTMFEvent)
    DISCONNECTED = "disconnected"  # (str: why)


@dataclass
class Participant:
    """Someone in a room."""

    identity: str
    kind: ParticipantKind = ParticipantKind.STANDARD
    name: str = ""
    metadata: str = ""
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def is_sip(self) -> bool:
        """Whether it is a telephone."""
        return self.kind is ParticipantKind.SIP


@dataclass(frozen=True)
class DataPacket:
    """Bytes sent to the room; `participant` is None when the server sent them."""

    data: bytes
    topic: str = ""
    participant: Participant | None = None


@dataclass(frozen=True)
class TextMessage:
    """Text sent to the room, as typed by a user or transcribed."""

    text: str
    topic: str = ""
    participant: Participant | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DTMFEvent:
    """A key pressed on a telephone: `0`-`9`, `*`, `#`, `A`-`D`."""

    digit: str
    participant: Participant


class RemoteAudioTrack(ABC):
    """Audio that another participant publishes."""

    name: str

    @abstractmethod
    def subscribe(self, on_frame: Callable[[AudioFrame], None]) -> Callable[[], None]:
        """Call `on_frame` on the event loop with each frame as it arrives; returns a function that stops it."""


class AudioOutput(ABC):
    """Where a session's voice goes: takes audio faster than real time and plays it at real time.

    A segment is what is played between two ends: audio is pushed, then `flush` marks its end; `on_finished` is called
    with the seconds played once the last sample is out. Times count samples that left for the listener.
    """

    sample_rate: int
    can_pause: bool = True
    on_started: Callable[[], None] | None = None
    on_finished: Callable[[float], None] | None = None

    @abstractmethod
    def push(self, frame: AudioFrame) -> None:
        """Queue audio of the current segment; never blocks. The frame has this output's sample rate, mono."""

    @abstractmethod
    def flush(self) -> None:
        """The current segment is complete."""

    @abstractmethod
    def clear(self) -> float:
        """Drop what is queued and end the segment at once, without `on_finished`; also ends a pause.

        Returns:
            Seconds of the segment that were played.
        """

    @abstractmethod
    def pause(self) -> None:
        """Stop playing and keep what is queued."""

    @abstractmethod
    def resume(self) -> None:
        """Go on where `pause` stopped."""

    @property
    @abstractmethod
    def position(self) -> float:
        """Seconds of the current segment played so far."""

    async def aclose(self) -> None:
        """Stop playing and free; safe to call twice."""


class AudioSource(ABC):
    """A track of ours whose frames come at the pace of a clock of their own: a microphone, a telephone line."""

    name: str
    sample_rate: int

    @abstractmethod
    def push(self, frame: AudioFrame) -> None:
        """Hand on `frame`, mono at this source's rate, at once; nothing happens after `close`."""

    @abstractmethod
    def close(self) -> None:
        """Unpublish the track; safe to call twice."""


class Room(ABC):
    """A place where participants exchange audio, data and text."""

    name: str

    @property
    @abstractmethod
    def local_participant(self) -> Participant: ...

    @property
    @abstractmethod
    def remote_participants(self) -> Mapping[str, Participant]:
        """By identity."""

    @property
    @abstractmethod
    def connected(self) -> bool: ...

    @abstractmethod
    def on(self, event: str, listener: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """Listen to a `RoomEvent`; usable as a decorator. Coroutine functions run as tasks of the room."""

    @abstractmethod
    def off(self, event: str, listener: Callable[..., Any]) -> None: ...

    @abstractmethod
    def audio_tracks(self) -> list[tuple[Participant, RemoteAudioTrack]]:
        """The audio that others publish now."""

    @abstractmethod
    async def publish_audio(self, name: str, *, sample_rate: int) -> AudioOutput:
        """Publish a track of ours."""

    @abstractmethod
    def publish_source(self, name: str, sample_rate: int) -> AudioSource:
        """Publish a track whose frames come when they come.

        Raises:
            RoomDisconnected: we are not in the room any more.
        """

    @abstractmethod
    async def publish_dtmf(self, digit: str) -> None:
        """Tell everybody else that a key of our telephone was pressed.

        Raises:
            ValueError: `digit` is not one of `0`-`9`, `*`, `#`, `A`-`D`.
        """

    @abstractmethod
    async def publish_data(
        self, data: bytes | str, *, topic: str = "", destination_identities: list[str] | None = None
    ) -> None:
        """Send bytes to everybody else, or to some."""

    @abstractmethod
    async def send_text(
        self, text: str, *, topic: str = "", attributes: Mapping[str, str] | None = None
    ) -> None:
        """Send text to everybody else."""

    @abstractmethod
    async def set_attributes(self, attributes: Mapping[str, str]) -> None:
        """Change our own attributes; late joiners see the latest."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Leave; `disconnected` is emitted once. Safe to call twice."""
