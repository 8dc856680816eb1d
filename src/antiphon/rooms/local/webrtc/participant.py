"""A browser as a participant of a local room, from its offer to its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamTrack

from ...room import Participant, ParticipantKind, RemoteAudioTrack, RoomEvent
from ..ice import IceServer
from ..room import LocalRoom
from .data_channel import CHAT_TOPIC, DataChannelBridge
from .incoming import ROOM_RATE, MicrophonePump
from .jitter import hurry
from .offer import OfferRejected, check_offer
from .outgoing import RoomVoices, RoomVoiceTrack

logger = logging.getLogger(__name__)

CONNECT_DEADLINE = 15.0
SILENCE_DEADLINE = 10.0
"""Seconds without a single packet from the browser after which it counts as gone (it sends reports when muted)."""
_CHECK_INTERVAL = 2.0
_CLOSE_DEADLINE = 5.0
_CHECK_PACE = 0.03  # ICE checks under way look every 20 ms whether they are still wanted

_OPUS = [
    codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.mimeType.lower() == "audio/opus"
]
_SHUT_BY_ROOM = frozenset({"room deleted", "participant removed"})


class WebRTCParticipant:
    """Connects one browser to the `LocalRoom` that was joined for it, and leaves the room when the browser goes.

    The browser goes when it says so, closes its connection, does not connect within 15 s, or is silent for 10 s.
    `aclose` ends it from our side. Either way nothing is left: no task, socket or thread.

    Attributes:
        answer: the SDP to send back.
        reason: why it ended, once it has.
        on_connected: called once media flows both ways.
    """

    def __init__(self, room: LocalRoom, ice_servers: Sequence[IceServer]) -> None:
        self.answer = ""
        self.reason = ""
        self.on_connected: Callable[[], None] | None = None
        self._room = room
        self._peer = RTCPeerConnection(
            RTCConfiguration(
                # An empty list, since aiortc would otherwise ask a public STUN server.
                iceServers=[
                    RTCIceServer(
                        urls=list(server.urls),
                        username=server.username or None,
                        credential=server.credential or None,
                    )
                    for server in ice_servers
                ],
                bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
            )
        )
        self._voices = RoomVoices()
        self._bridge = DataChannelBridge(self._typed, lambda: self._end("left"))
        self._connected = asyncio.Event()
        self._ended = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._life: asyncio.Task[None] | None = None

    @classmethod
    async def accept(
        cls, room: LocalRoom, offer: str, *, ice_servers: Sequence[IceServer] = ()
    ) -> WebRTCParticipant:
        """Answer an offer; the connection then comes about by itself.

        Args:
            room: joined on behalf of the browser; it is left when the browser goes, or when this raises.
            offer: SDP with all candidates (no trickle) and an audio section.
            ice_servers: for our side; without any, host candidates only.

        Raises:
            OfferRejected: the offer cannot be answered.
        """
        self = cls(room, ice_servers)
        try:
            async with asyncio.timeout(CONNECT_DEADLINE):
                await self._negotiate(check_offer(offer))
        except BaseException:
            await self._clean_up("not connected")
            raise
        self._life = asyncio.get_running_loop().create_task(self._live(), name=f"browser {self.identity!r}")
        return self

    @property
    def identity(self) -> str:
        return self._room.local_participant.identity

    @property
    def connected(self) -> bool:
        """Whether media flows."""
        return self._connected.is_set() and not self._ended.is_set()

    async def wait_closed(self) -> None:
        """Return when the browser has gone and everything is cleaned up."""
        if self._life is not None:
            await asyncio.wait([self._life])

    async def aclose(self, reason: str = "closed by the server") -> None:
        """End the connection; safe to call twice, and after the browser has gone."""
        self._end(reason)
        await self.wait_closed()

    async def hang_up(self, reason: str) -> None:
        """End the call from our side, and tell the page so that it does not connect again; safe to call twice."""
        self._say_ended(reason)
        await self.aclose(reason)

    async def _negotiate(self, offer: str) -> None:
        peer, room = self._peer, self._room
        peer.on("track", self._track_received)
        peer.on("datachannel", self._bridge_channel)
        peer.on("connectionstatechange", self._state_changed)
        room.on(RoomEvent.TRACK_SUBSCRIBED, self._track_subscribed)
        room.on(RoomEvent.TRACK_UNSUBSCRIBED, lambda track, _: self._voices.remove(track))
        room.on(RoomEvent.DATA_RECEIVED, self._bridge.forward_data)
        room.on(RoomEvent.TEXT_RECEIVED, self._bridge.forward_text)
        room.on(RoomEvent.PARTICIPANT_LEFT, self._participant_left)
        room.on(RoomEvent.DISCONNECTED, self._room_left)
        for _, track in room.audio_tracks():
            self._voices.add(track)
        try:
            await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            self._use_one_audio_section()
            answer = await peer.createAnswer()
            await peer.setLocalDescription(answer)
        except (ValueError, KeyError, IndexError, AttributeError, AssertionError) as error:
            raise OfferRejected(f"the offer cannot be answered: {type(error).__name__}: {error}") from error
        except Exception as error:
            if type(error).__module__.startswith("aiortc"):
                raise OfferRejected(f"the offer cannot be answered: {error}") from error
            raise
        self.answer = peer.localDescription.sdp

    def _use_one_audio_section(self) -> None:
        """Speak and listen on the first audio section; refuse video and further audio."""
        audio = None
        for transceiver in self._peer.getTransceivers():
            if transceiver.kind == "audio" and audio is None:
                audio = transceiver
                transceiver.sender.replaceTrack(RoomVoiceTrack(self._voices))
                transceiver.setCodecPreferences(_OPUS)
                transceiver.direction = "sendrecv"
                hurry(transceiver.receiver)
            else:
                transceiver.direction = "inactive"

    async def _live(self) -> None:
        try:
            await self._wait_for_connection()
            await self._watch_for_silence()
        finally:
            await self._clean_up(self.reason or "cancelled")

    async def _wait_for_connection(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_DEADLINE
        connected = loop.create_task(self._connected.wait())
        ended = loop.create_task(self._ended.wait())
        try:
            await asyncio.wait(
                {connected, ended}, timeout=deadline - loop.time(), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            connected.cancel()
            ended.cancel()
        if not self._connected.is_set():
            self._end(f"no connection within {CONNECT_DEADLINE:g} s")

    async def _watch_for_silence(self) -> None:
        loop = asyncio.get_running_loop()
        heard, heard_at = -1, loop.time()
        while not self._ended.is_set():
            received = await self._packets_received()
            if received != heard:
                heard, heard_at = received, loop.time()
            elif loop.time() - heard_at >= SILENCE_DEADLINE:
                self._end("connection lost")
            try:
                async with asyncio.timeout(_CHECK_INTERVAL):
                    await self._ended.wait()
            except TimeoutError:
                continue

    async def _packets_received(self) -> int:
        report = await self._peer.getStats()
        return sum(stats.packetsReceived for stats in report.values() if stats.type == "transport")

    def _track_received(self, track: MediaStreamTrack) -> None:
        if track.kind != "audio" or self._pump is not None or not self._room.connected:
            return
        source = self._room.publish_source("microphone", ROOM_RATE)
        self._pump = asyncio.get_running_loop().create_task(
            MicrophonePump(source).run(track), name=f"microphone of {self.identity!r}"
        )

    def _bridge_channel(self, channel: RTCDataChannel) -> None:
        self._bridge.attach(channel)

    def _state_changed(self) -> None:
        match self._peer.connectionState:
            case "connected":
                first = not self._connected.is_set()
                self._connected.set()
                if first and self.on_connected is not None:
                    asyncio.get_running_loop().call_soon(self.on_connected)
            case "failed":
                self._end("connection lost")
            case "closed":
                self._end("left")

    def _track_subscribed(self, track: RemoteAudioTrack, _participant: Participant) -> None:
        self._voices.add(track)

    def _typed(self, text: str) -> None:
        if self._room.connected:
            self._own(self._room.send_text(text, topic=CHAT_TOPIC))

    def _participant_left(self, participant: Participant) -> None:
        """A call whose assistant has gone is over, whether the assistant said so or not."""
        others = self._room.remote_participants.values()
        if participant.kind is ParticipantKind.AGENT and not any(
            other.kind is ParticipantKind.AGENT for other in others
        ):
            self._say_ended("the assistant left")
            self._end("the assistant left")

    def _room_left(self, reason: str) -> None:
        if reason in _SHUT_BY_ROOM:
            self._say_ended(reason)
        self._end(reason)

    def _say_ended(self, reason: str) -> None:
        if not self._bridge.ended:
            self._bridge.ended = True
            self._bridge.send({"type": "ended", "reason": reason})

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._ended.set()

    def _own(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _clean_up(self, reason: str) -> None:
        self._end(reason)
        self._voices.close()
        tasks = {*self._sending}
        if self._pump is not None:
            tasks.add(self._pump)
            self._pump.cancel()
        await self._room.leave(self.reason)
        try:
            async with asyncio.timeout(_CLOSE_DEADLINE):
                await self._bridge.drain(deadline=0.5)
                await self._peer.close()
                if not self._connected.is_set():
                    await asyncio.sleep(_CHECK_PACE)
                if tasks:
                    await asyncio.wait(tasks)
        except TimeoutError:
            logger.error(
                "browser %r: its connection did not close within %g s", self.identity, _CLOSE_DEADLINE
            )
        for transceiver in self._peer.getTransceivers():
            if transceiver.sender.track is not None:
                transceiver.sender.track.stop()
