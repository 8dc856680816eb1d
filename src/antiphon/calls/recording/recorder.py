"""One call's recorder: listens in the room, stamps what it hears, and hands it to the encoder twice a second."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Protocol

from ...audio import AudioFrame
from ...models.errors import AntiphonError
from ...rooms import Participant, ParticipantKind, RemoteAudioTrack, Room, RoomEvent
from ...rooms.room_host import RoomHost
from .encoder import Batch, Encoded, RecordingEncoder
from .info import RecordingInfo, RecordingState
from .timeline import Channel, Heard

logger = logging.getLogger(__name__)

HAND_OVER = 0.5
"""Seconds between two batches."""
HINDSIGHT = 2.0
"""Seconds that audio may come late and still be put where it belongs."""
STOP_DEADLINE = 5.0
"""Seconds that `stop` waits for the file; it is completed behind it, if it takes longer."""
JOIN_DEADLINE = 5.0


class RecorderOwner(Protocol):
    """What keeps the documents of recordings: `Recordings`."""

    def wall_clock(self) -> float:
        """Seconds since 1970."""

    def file(self, recorder: CallRecorder) -> asyncio.Task[RecordingInfo]:
        """Keep the document of a recording that begins; the task ends when it says how the recording went."""


class CallRecorder:
    """Made by `Recordings.recorder`. Caller on the left; on the right what the caller hears.

    It joins the room as a participant of kind `agent` that publishes nothing, so it must be stopped before the room can be
    empty. Nothing that goes wrong with a recording is raised: the call goes on, and `info` says it.
    """

    def __init__(
        self,
        owner: RecorderOwner,
        encoder: RecordingEncoder,
        info: RecordingInfo,
        rooms: RoomHost,
        room_name: str,
        caller_identity: str | None,
    ) -> None:
        self._owner = owner
        self._encoder = encoder
        self._info = info
        self._rooms = rooms
        self._room_name = room_name
        self._caller = caller_identity
        self._room: Room | None = None
        self._listeners: list[tuple[str, Callable[..., None]]] = []
        self._tracks: dict[RemoteAudioTrack, tuple[int, Callable[[], None]]] = {}
        self._next_track = 0
        self._batch = Batch(0.0)
        self._timer: asyncio.TimerHandle | None = None
        self._began: float | None = None
        self._handed_over = 0.0
        self._finished: Future[Encoded] | None = None
        self._complete: asyncio.Future[RecordingInfo] | None = None
        self._filing: asyncio.Task[RecordingInfo] | None = None

    @property
    def id(self) -> str:
        """Of the document in `recordings`."""
        return self._info.id

    @property
    def call_id(self) -> str:
        return self._info.call_id

    @property
    def info(self) -> RecordingInfo:
        """What is known now."""
        error = self._encoder.error
        if error and self._info.state is RecordingState.RECORDING:
            return replace(self._info, state=RecordingState.FAILED, error=error)
        return self._info

    async def start(self) -> RecordingInfo:
        """Begin; the recording's first sample is heard now. A second call changes nothing."""
        if self._began is not None:
            return self.info
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        self._complete = loop.create_future()
        self._info = replace(self._info, started_at=self._owner.wall_clock())
        self._filing = self._owner.file(self)
        try:
            async with asyncio.timeout(JOIN_DEADLINE):
                self._room = await self._rooms.join(
                    self._room_name, f"recorder-{self.id}", ParticipantKind.AGENT, name="Recorder"
                )
        except (AntiphonError, TimeoutError, OSError) as error:
            self._fail(f"the recorder could not join room {self._room_name!r}: {error or 'it took too long'}")
        else:
            self._listen(self._room)
        if self._finished is None:
            self._timer = loop.call_at(self._began + HAND_OVER, self._hand_over)
        elif self._room is not None:  # stopped while it joined
            await self._leave()
        return self.info

    async def stop(self) -> RecordingInfo:
        """End the recording here and complete the file; safe to call twice.

        Returns:
            `stored` or `failed`; `recording` if the disk takes so long that it is completed later.
        """
        if self._filing is None:
            return self.info
        self._cut()
        await self._leave()
        await asyncio.wait([self._filing], timeout=STOP_DEADLINE)
        return self.info

    async def encoded(self) -> RecordingInfo:
        """Wait until the file is closed, which `stop` or a failure brings about, and say how it went."""
        assert self._complete is not None
        return await asyncio.shield(self._complete)

    # -- the room

    def _listen(self, room: Room) -> None:
        self._listeners = [
            (RoomEvent.TRACK_SUBSCRIBED, self._track_subscribed),
            (RoomEvent.TRACK_UNSUBSCRIBED, self._track_unsubscribed),
        ]
        for event, listener in self._listeners:
            room.on(event, listener)
        for participant, track in room.audio_tracks():
            self._track_subscribed(track, participant)

    async def _leave(self) -> None:
        room, self._room = self._room, None
        if room is None:
            return
        for event, listener in self._listeners:
            room.off(event, listener)
        try:
            async with asyncio.timeout(JOIN_DEADLINE):
                await room.disconnect()
        except (AntiphonError, TimeoutError, OSError) as error:
            logger.warning("the recorder of call %s did not leave its room: %r", self._info.call_id, error)

    def _channel(self, participant: Participant) -> Channel:
        if self._caller is not None:
            return Channel.CALLER if participant.identity == self._caller else Channel.AGENT
        return Channel.AGENT if participant.kind is ParticipantKind.AGENT else Channel.CALLER

    def _track_subscribed(self, track: RemoteAudioTrack, participant: Participant) -> None:
        if track in self._tracks or self._finished is not None:
            return
        number, channel = self._next_track, self._channel(participant)
        self._next_track += 1
        now = asyncio.get_running_loop().time
        began = self._began or 0.0

        def on_frame(frame: AudioFrame) -> None:
            mono = frame.to_mono()
            self._batch.frames.append(Heard(number, channel, now() - began, mono.samples, mono.sample_rate))

        self._tracks[track] = (number, track.subscribe(on_frame))

    def _track_unsubscribed(self, track: RemoteAudioTrack, _participant: Participant) -> None:
        if track in self._tracks:
            number, unsubscribe = self._tracks.pop(track)
            unsubscribe()
            self._batch.ended.append(number)

    # -- the encoder

    def _hand_over(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._began is not None
        if self._encoder.error:
            self._fail(self._encoder.error)
            return
        now = loop.time() - self._began
        # When the event loop stalled, audio waits behind this very timer: so never close more than twice the usual time.
        until = min(now - HINDSIGHT, self._handed_over + 2 * HAND_OVER)
        if until > self._handed_over:
            self._handed_over = until
            self._encoder.submit(self._take(until))
        periods = int(now / HAND_OVER + 0.5) + 1  # a timer may fire a moment early
        self._timer = loop.call_at(self._began + periods * HAND_OVER, self._hand_over)

    def _take(self, until: float) -> Batch:
        batch, self._batch = self._batch, Batch(0.0)
        batch.until = until
        return batch

    def _cut(self) -> None:
        """Hear nothing more, and have the file completed; it ends now."""
        loop = asyncio.get_running_loop()
        assert self._began is not None
        if self._finished is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _, unsubscribe in self._tracks.values():
            unsubscribe()
        self._tracks.clear()
        self._finished = self._encoder.finish(self._take(loop.time() - self._began))

        def closed(future: Future[Encoded]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended meanwhile
                loop.call_soon_threadsafe(self._closed, future.result())

        self._finished.add_done_callback(closed)

    def _fail(self, error: str) -> None:
        """Give up at once: the room is left when the call ends, or when somebody stops us."""
        logger.error("call %s is not recorded any more: %s", self._info.call_id, error)
        self._info = replace(self._info, state=RecordingState.FAILED, error=error)
        self._cut()

    def _closed(self, encoded: Encoded) -> None:
        error = self._info.error or encoded.error
        if encoded.losses.count:
            logger.warning(
                "recording %s lacks %.2f s of audio in %d places",
                self.id,
                encoded.losses.seconds,
                encoded.losses.count,
                extra={"call_id": self._info.call_id},
            )
        self._info = replace(
            self._info,
            state=RecordingState.FAILED if error else RecordingState.STORED,
            error=error,
            seconds=encoded.seconds,
            bytes=encoded.size,
            gaps=encoded.losses.count,
            gap_seconds=round(encoded.losses.seconds, 3),
        )
        assert self._complete is not None
        if not self._complete.done():
            self._complete.set_result(self._info)
