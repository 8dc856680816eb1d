"""Browsers in local rooms, played by aiortc peers in this process."""

from __future__ import annotations

import asyncio
import fractions
import gc
import json
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack
from aiortc.rtp import RtpPacket

from antiphon.audio import AudioFrame
from antiphon.rooms import ParticipantKind, TextMessage
from antiphon.rooms.local import LocalRoom, LocalRooms
from antiphon.rooms.local.webrtc import OfferRejected, WebRTCParticipant, check_offer, participant
from antiphon.rooms.local.webrtc.incoming import MicrophonePump
from antiphon.rooms.local.webrtc.jitter import ListeningJitterBuffer, hurry
from antiphon.rooms.local.webrtc.outgoing import FRAME, RoomVoices, RoomVoiceTrack

pytestmark = pytest.mark.needs("aiortc")

PATIENCE = 5.0


class Tone(MediaStreamTrack):
    """A microphone that hears one frequency."""

    kind = "audio"

    def __init__(self, frequency: float) -> None:
        super().__init__()
        self._frequency = frequency
        self._count = 0
        self._start: float | None = None

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._start = self._start or loop.time()
        await asyncio.sleep(max(0.0, self._start + self._count / 48000 - loop.time()))
        time = (self._count + np.arange(960)) / 48000
        samples = (8000 * np.sin(2 * np.pi * self._frequency * time)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, self._count, fractions.Fraction(1, 48000)
        self._count += 960
        return frame


class Page:
    """A browser tab: speaks a tone, hears, and talks on the data channel."""

    def __init__(self, *, microphone: bool = True) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel: RTCDataChannel = self.peer.createDataChannel("antiphon")
        self.messages: list[dict[str, Any]] = []
        self.heard: list[np.ndarray] = []
        self._listening: asyncio.Task[None] | None = None
        self.channel.on("message", lambda raw: self.messages.append(json.loads(raw)))
        self.peer.on("track", self._on_track)
        if microphone:
            self.peer.addTrack(Tone(440))
        else:
            self.peer.addTransceiver("audio", direction="recvonly")

    async def offer(self) -> str:
        await self.peer.setLocalDescription(await self.peer.createOffer())
        return self.peer.localDescription.sdp

    async def accept(self, answer: str) -> None:
        await self.peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] == kind]

    def say(self, **message: Any) -> None:
        self.channel.send(json.dumps(message))

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._listening = asyncio.get_running_loop().create_task(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            frame = await track.recv()
            assert isinstance(frame, av.AudioFrame)
            self.heard.append(frame.to_ndarray().reshape(-1, 2)[:, 0])

    async def close(self) -> None:
        await self.peer.close()
        if self._listening:
            self._listening.cancel()
            await asyncio.wait([self._listening])


async def until(condition: Callable[[], Any], patience: float = PATIENCE) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while not condition():
        assert loop.time() < deadline, "waited in vain"
        await asyncio.sleep(0.005)


def pitch(samples: np.ndarray, rate: int) -> float:
    """The strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum)) * rate / samples.size


def tone(frequency: float, seconds: float, rate: int = 24000) -> AudioFrame:
    time = np.arange(round(seconds * rate)) / rate
    return AudioFrame((8000 * np.sin(2 * np.pi * frequency * time)).astype(np.int16), rate)


class Call:
    def __init__(self, hub: LocalRooms, agent: LocalRoom, page: Page, browser: WebRTCParticipant) -> None:
        self.hub, self.agent, self.page, self.browser = hub, agent, page, browser


@asynccontextmanager
async def call(*, microphone: bool = True) -> AsyncIterator[Call]:
    hub = LocalRooms()
    agent = await hub.join("r", "agent", ParticipantKind.AGENT)
    page = Page(microphone=microphone)
    browser = await WebRTCParticipant.accept(await hub.join("r", "page"), await page.offer())
    await page.accept(browser.answer)
    try:
        yield Call(hub, agent, page, browser)
    finally:
        await browser.aclose()
        await page.close()
        await hub.aclose()


def test_microphone_reaches_the_room_as_16_khz_mono(run_clean: Any) -> None:
    async def scenario() -> None:
        async with call() as c:
            await until(c.agent.audio_tracks)
            [(who, track)] = c.agent.audio_tracks()
            assert (who.identity, track.name) == ("page", "microphone")
            frames: list[AudioFrame] = []
            track.subscribe(frames.append)
            await until(lambda: sum(frame.duration for frame in frames) > 1.0)
            assert {(frame.sample_rate, frame.num_channels) for frame in frames} == {(16000, 1)}
            samples = np.concatenate([frame.samples for frame in frames])[4000:]
            assert pitch(samples, 16000) == pytest.approx(440, abs=4)

    run_clean(scenario())


def test_greeting_spoken_before_the_connection_is_heard_in_full(run_clean: Any) -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        agent = await hub.join("r", "agent", ParticipantKind.AGENT)
        output = await agent.publish_audio("voice", sample_rate=24000)
        page = Page()
        browser = await WebRTCParticipant.accept(await hub.join("r", "page"), await page.offer())
        await asyncio.sleep(0.01)
        output.push(tone(600, 0.6))
        output.flush()
        await asyncio.sleep(0.3)
        await page.accept(browser.answer)
        await until(lambda: sum(part.size for part in page.heard) > 48000)
        heard = np.concatenate(page.heard)
        loud = np.abs(heard.reshape(-1, 480).astype(int)).max(axis=1) > 2000
        assert 0.55 <= loud.sum() * 0.01 <= 0.7
        first = int(np.argmax(loud)) * 480
        assert pitch(heard[first + 4800 : first + 24000], 48000) == pytest.approx(600, abs=6)
        await browser.aclose()
        await page.close()
        await hub.aclose()

    run_clean(scenario())


def test_messages_both_ways(run_clean: Any) -> None:
    async def scenario() -> None:
        async with call() as c:
            typed: list[TextMessage] = []
            c.agent.on("text_received", typed.append)
            # Said before the channel is open: kept until it is.
            await c.agent.publish_data(json.dumps({"type": "state", "agent": "listening"}), topic="antiphon")
            await c.agent.publish_data(b"\xff\x00", topic="telemetry")
            await until(lambda: c.page.messages)
            assert c.page.messages == [{"type": "state", "agent": "listening"}]
            c.page.say(type="text", text="  what is my balance?  ")
            await until(lambda: typed)
            assert (typed[0].text, typed[0].topic) == ("what is my balance?", "chat")
            assert typed[0].participant is not None
            assert typed[0].participant.identity == "page"
            c.page.say(type="ping", id=7)
            await until(lambda: c.page.of_type("pong"))
            assert c.page.of_type("pong") == [{"type": "pong", "id": 7}]
            await c.agent.send_text("by hand", topic="note")
            await until(lambda: c.page.of_type("text"))
            assert c.page.of_type("text") == [
                {"type": "text", "text": "by hand", "topic": "note", "from": "agent"}
            ]

    run_clean(scenario())


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ("not json", "JSON objects"),
        ("[1]", "with a type"),
        ('{"type": "dance"}', "'dance' is unknown"),
        ('{"type": "text"}', "lacks something"),
        ('{"type": "text", "text": "' + "x" * 5000 + '"}', "4000 characters"),
        ("x" * 20000, "16384 characters"),
    ],
)
def test_a_message_that_breaks_the_protocol_is_answered(run_clean: Any, raw: str, complaint: str) -> None:
    async def scenario() -> None:
        async with call(microphone=False) as c:
            await until(lambda: c.page.channel.readyState == "open")
            c.page.channel.send(raw)
            await until(lambda: c.page.of_type("error"))
            assert complaint in c.page.of_type("error")[0]["message"]
            assert c.browser.connected

    run_clean(scenario())


def test_without_a_microphone_the_page_still_hears_and_types(run_clean: Any) -> None:
    async def scenario() -> None:
        async with call(microphone=False) as c:
            output = await c.agent.publish_audio("voice", sample_rate=24000)
            output.push(tone(500, 0.5))
            await until(lambda: any(np.abs(part).max() > 4000 for part in c.page.heard))
            assert c.agent.audio_tracks() == []

    run_clean(scenario())


def test_two_voices_are_mixed(run_clean: Any) -> None:
    async def scenario() -> None:
        async with call() as c:
            second = await c.hub.join("r", "second", ParticipantKind.AGENT)
            for room, frequency in ((c.agent, 500), (second, 1500)):
                output = await room.publish_audio("voice", sample_rate=24000)
                output.push(tone(frequency, 2.0))
            await until(lambda: c.browser.connected)
            c.page.heard.clear()
            await until(lambda: sum(part.size for part in c.page.heard) > 48000)
            spectrum = np.abs(np.fft.rfft(np.concatenate(c.page.heard)[-24000:]))
            assert spectrum[250] > 20 * np.median(spectrum)
            assert spectrum[750] > 20 * np.median(spectrum)

    run_clean(scenario())


@pytest.mark.parametrize(
    ("farewell", "reason"),
    [("bye", "left"), ("close", "left"), ("channel", "left")],
)
def test_closing_the_tab_leaves_the_room_at_once(run_clean: Any, farewell: str, reason: str) -> None:
    async def scenario() -> None:
        async with call() as c:
            await until(lambda: c.page.channel.readyState == "open")
            left: list[str] = []
            c.agent.on("participant_left", lambda who: left.append(who.identity))
            if farewell == "bye":
                c.page.say(type="bye")
            elif farewell == "channel":
                c.page.channel.close()
            else:
                await c.page.peer.close()
            await until(lambda: left, 2.0)
            assert left == ["page"]
            await asyncio.wait_for(c.browser.wait_closed(), 2.0)
            assert c.browser.reason == reason

    run_clean(scenario())


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("room deleted", "room deleted"),
        ("agent leaves", "the assistant left"),
        ("said by the agent", "goodbye"),
    ],
)
def test_the_page_is_told_when_the_call_is_over(run_clean: Any, how: str, reason: str) -> None:
    async def scenario() -> None:
        async with call() as c:
            await until(lambda: c.page.channel.readyState == "open")
            if how == "said by the agent":
                await c.agent.publish_data(json.dumps({"type": "ended", "reason": reason}), topic="antiphon")
            if how == "room deleted":
                await c.hub.close("r")
            else:
                await c.agent.disconnect()
            await until(lambda: c.page.of_type("ended"))
            await asyncio.wait_for(c.browser.wait_closed(), 2.0)
            assert c.page.of_type("ended") == [{"type": "ended", "reason": reason}]

    run_clean(scenario())


def test_the_page_is_told_once_that_the_call_is_over(run_clean: Any) -> None:
    """The conversation says so when it closes, and the server when it hangs up, in whatever order."""

    async def scenario() -> None:
        async with call() as c:
            await until(lambda: c.page.channel.readyState == "open")
            for reason in ("first", "second"):
                await c.agent.publish_data(json.dumps({"type": "ended", "reason": reason}), topic="antiphon")
            await until(lambda: c.page.of_type("ended"))
            await c.browser.hang_up("third")
            await asyncio.sleep(0.1)
            assert c.page.of_type("ended") == [{"type": "ended", "reason": "first"}]

    run_clean(scenario())


def test_a_server_that_shuts_down_does_not_claim_that_the_call_ended(run_clean: Any) -> None:
    async def scenario() -> None:
        async with call() as c:
            await until(lambda: c.page.channel.readyState == "open")
            await c.hub.aclose()
            await asyncio.wait_for(c.browser.wait_closed(), 2.0)
            assert c.page.of_type("ended") == []
            assert c.browser.reason == "server shutting down"

    run_clean(scenario())


def test_a_browser_that_never_connects_is_given_up(run_clean: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(participant, "CONNECT_DEADLINE", 0.3)

    async def scenario() -> None:
        hub = LocalRooms()
        page = Page()
        browser = await WebRTCParticipant.accept(await hub.join("r", "page"), await page.offer())
        await asyncio.wait_for(browser.wait_closed(), 3.0)
        assert "no connection within 0.3 s" in browser.reason
        assert not hub.rooms["r"].members
        await page.close()
        await hub.aclose()

    run_clean(scenario())


def test_a_browser_that_vanishes_leaves_the_room(run_clean: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(participant, "SILENCE_DEADLINE", 0.5)
    monkeypatch.setattr(participant, "_CHECK_INTERVAL", 0.1)

    async def scenario() -> None:
        async with call() as c:
            await until(lambda: c.browser.connected)
            # The network goes away without a word: nothing is sent any more, neither media nor goodbye.
            for transceiver in c.page.peer.getTransceivers():
                for protocol in transceiver.receiver.transport.transport._connection._protocols:
                    protocol.transport.sendto = lambda *_: None
            await asyncio.wait_for(c.browser.wait_closed(), 3.0)
            assert c.browser.reason == "connection lost"

    run_clean(scenario())


OFFER_PROBLEMS = {
    "empty": ("", "does not begin with v=0"),
    "prose": ("hello", "does not begin with v=0"),
    "truncated": ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio", "not valid SDP"),
    "no media": ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", "no audio section"),
    "no ICE": (
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n",
        "ICE credentials",
    ),
    "no Opus": (
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtpmap:0 PCMU/8000\r\na=rtcp-mux\r\n"
        "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\n"
        f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\n",
        "does not offer Opus",
    ),
}


@pytest.mark.parametrize("name", OFFER_PROBLEMS)
def test_bad_offers_are_refused_with_a_reason(name: str) -> None:
    sdp, complaint = OFFER_PROBLEMS[name]
    with pytest.raises(OfferRejected, match=complaint):
        check_offer(sdp)


def test_a_refused_offer_leaves_nothing_behind(run_clean: Any) -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        room = await hub.join("r", "page")
        with pytest.raises(OfferRejected):
            await WebRTCParticipant.accept(room, "v=0\r\n")
        assert not room.connected
        await hub.aclose()

    run_clean(scenario())


def test_hidden_host_candidates_are_not_resolved(run_clean: Any) -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        page = Page()
        offer = await page.offer()
        lines = [line for line in offer.split("\r\n") if not line.startswith("a=candidate:")]
        hidden = "a=candidate:1 1 udp 2113937151 0e6f7d8e-aaaa-bbbb-cccc-1f2e3d4c5b6a.local 54321 typ host"
        audio = next(index for index, line in enumerate(lines) if line.startswith("a=ice-ufrag"))
        offer = "\r\n".join([*lines[:audio], hidden, *lines[audio:]])
        assert ".local" not in check_offer(offer)
        browser = await WebRTCParticipant.accept(await hub.join("r", "page"), offer)
        await page.accept(browser.answer)
        await until(lambda: browser.connected)
        await browser.aclose()
        await page.close()
        await hub.aclose()

    run_clean(scenario())


def test_video_and_further_audio_are_declined(run_clean: Any) -> None:
    async def scenario() -> None:
        hub = LocalRooms()
        page = Page()
        page.peer.addTransceiver("video", direction="recvonly")
        page.peer.addTransceiver("audio", direction="recvonly")
        browser = await WebRTCParticipant.accept(await hub.join("r", "page"), await page.offer())
        sections = browser.answer.split("m=")[1:]
        directions = {section.split()[0] + str(index): section for index, section in enumerate(sections)}
        active = [name for name, section in directions.items() if "a=sendrecv" in section]
        assert active == ["audio0"]
        assert [name for name, section in directions.items() if "a=inactive" in section] == [
            "video1",
            "audio2",
        ]
        await browser.aclose()
        await page.close()
        await hub.aclose()

    run_clean(scenario())


class TestJitterBuffer:
    @pytest.mark.parametrize(
        ("arrivals", "passed"),
        [
            ([5, 6, 7], [5, 6, 7]),
            ([5, 7, 6, 8, 9], [5, 6, 7, 8]),  # out of order: put right, then one packet behind
            ([5, 7, 8, 9], [5, 7, 8]),  # 6 is lost
            ([5, 7, 8, 6, 9], [5, 7, 8]),  # 6 comes too late
            ([5, 5, 6], [5, 6]),  # a duplicate
            ([65534, 65535, 0, 1], [65534, 65535, 0, 1]),
            ([65534, 0, 65535, 1], [65534, 65535, 0]),
            ([65534, 0, 1, 2], [65534, 0, 1]),
            ([5, 6, 40000, 40001], [5, 6, 40000, 40001]),  # a new stream
        ],
    )
    def test_order(self, arrivals: list[int], passed: list[int]) -> None:
        buffer = ListeningJitterBuffer()
        out = []
        for number in arrivals:
            packet = RtpPacket(sequence_number=number, timestamp=number)
            packet._data = b"opus"
            _, frame = buffer.add(packet)
            if frame is not None:
                out.append(frame.timestamp)
        assert out == passed

    def test_aiortc_lets_us_replace_its_buffer(self, run_clean: Any) -> None:
        async def scenario() -> None:
            peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            transceiver = peer.addTransceiver("audio")
            assert hurry(transceiver.receiver)
            await peer.close()

        run_clean(scenario())


class TestIncoming:
    @staticmethod
    def decoded(channels: list[list[int]], rate: int, pts: int) -> av.AudioFrame:
        layout = {1: "mono", 2: "stereo", 3: "2.1"}[len(channels)]
        interleaved = np.array(channels, dtype=np.int16).T.reshape(1, -1).copy()
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, pts, fractions.Fraction(1, rate)
        return frame

    @pytest.mark.parametrize(
        "channels",
        [
            [[1, -2, 32767]],
            [[1, -2, 32767, -32768, 5], [2, -3, 32767, -32768, -5]],
            [[3, -32768], [6, -32768], [9, -32768]],
        ],
    )
    def test_channels_are_averaged_exactly(self, run_clean: Any, channels: list[list[int]]) -> None:
        async def scenario() -> None:
            hub = LocalRooms()
            page, agent = await hub.join("r", "page"), await hub.join("r", "agent")
            source = page.publish_source("microphone", 16000)
            await asyncio.sleep(0)
            heard: list[AudioFrame] = []
            agent.audio_tracks()[0][1].subscribe(heard.append)
            MicrophonePump(source).push(self.decoded(channels, 16000, 0))
            expected = [sum(column) // len(channels) for column in zip(*channels, strict=True)]
            assert heard[0].samples.tolist() == expected
            await hub.aclose()

        run_clean(scenario())

    @pytest.mark.parametrize(("gap", "silence"), [(0, 0), (960, 320), (2880, 960), (96000, 0)])
    def test_lost_packets_become_silence(self, run_clean: Any, gap: int, silence: int) -> None:
        async def scenario() -> None:
            hub = LocalRooms()
            page, agent = await hub.join("r", "page"), await hub.join("r", "agent")
            source = page.publish_source("microphone", 16000)
            await asyncio.sleep(0)
            heard: list[AudioFrame] = []
            agent.audio_tracks()[0][1].subscribe(heard.append)
            pump = MicrophonePump(source)
            pump.push(self.decoded([[1000] * 960] * 2, 48000, 0))
            pump.push(self.decoded([[1000] * 960] * 2, 48000, 960 + gap))
            assert sum(frame.samples.size for frame in heard) == 640 + silence
            await hub.aclose()

        run_clean(scenario())


class TestOutgoing:
    def test_frames_keep_time_whatever_the_loop_does(self, run_clean: Any) -> None:
        async def scenario() -> None:
            track = RoomVoiceTrack(RoomVoices())
            loop = asyncio.get_running_loop()
            start = loop.time()
            stamps: list[tuple[float, int]] = []
            for index in range(20):
                packet = await track.recv()
                stamps.append((loop.time() - start, packet.pts))
                assert packet.duration in (0, None, FRAME)
                if index == 9:
                    import time

                    time.sleep(0.2)  # noqa: ASYNC251 - the stall that is tested
            for at, pts in stamps:
                assert pts / 48000 <= at + 0.005, "never sent ahead of its time"
                assert pts / 48000 >= at - 0.1, "never a backlog"
            at_once = [at for at, _ in stamps if stamps[9][0] + 0.19 < at < stamps[9][0] + 0.21]
            assert len(at_once) <= 4, "no burst after a stall"

        run_clean(scenario())

    def test_stale_audio_is_dropped_but_not_before_the_browser_listens(self, run_clean: Any) -> None:
        async def scenario() -> None:
            hub = LocalRooms()
            agent = await hub.join("r", "agent")
            page = await hub.join("r", "page")
            source = agent.publish_source("voice", 48000)
            await asyncio.sleep(0)
            voices = RoomVoices()
            voices.add(page.audio_tracks()[0][1])

            def drain() -> float:
                count = 0
                while voices.take() is not None:
                    count += 1
                return count * 0.02

            source.push(tone(400, 2.0, 48000))
            assert drain() == pytest.approx(2.0)
            for _ in range(50):
                source.push(tone(400, 0.02, 48000))
            assert drain() == pytest.approx(0.2)
            voices.close()
            await hub.aclose()

        run_clean(scenario())


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts file descriptors in /proc")
def test_fifty_calls_leave_nothing_behind(run_clean: Any) -> None:
    async def one(hub: LocalRooms, index: int) -> None:
        page = Page()
        name = f"r{index}"
        agent = await hub.join(name, "agent", ParticipantKind.AGENT)
        browser = await WebRTCParticipant.accept(await hub.join(name, "page"), await page.offer())
        if index % 5:  # every fifth one never hears the answer
            await page.accept(browser.answer)
            await until(lambda: browser.connected)
        match index % 3:
            case 0:
                await browser.aclose()
            case 1:
                await page.close()
                await (browser.wait_closed() if index % 5 else browser.aclose())
            case 2:
                await hub.close(name)
                await browser.wait_closed()
        await page.close()
        await agent.disconnect()
        await hub.close(name)

    async def settle() -> tuple[int, int, int]:
        for _ in range(5):
            gc.collect()
            await asyncio.sleep(0.02)
        threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
        return len(asyncio.all_tasks()), len(threads), len(os.listdir("/proc/self/fd"))

    async def scenario() -> None:
        hub = LocalRooms()
        await one(hub, 1)
        before = await settle()
        for index in range(50):
            await one(hub, index)
        assert await settle() == before
        await hub.aclose()

    run_clean(scenario(), timeout=100)
