"""The mix of a room for a telephone, and the telephone as a track of the room."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.rooms import ParticipantKind, RoomEvent
from antiphon.rooms.local import LocalRooms
from antiphon.telephony.room_audio import RoomAudio
from support.virtual_time import run


def tone(frequency: float, seconds: float, rate: int, loud: int = 6000) -> np.ndarray[Any, Any]:
    return (loud * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def strength(samples: np.ndarray[Any, Any], frequency: float, rate: int) -> float:
    """Amplitude of one frequency."""
    at = np.arange(samples.size) / rate
    return float(2 * np.abs(np.mean(samples * np.exp(-2j * np.pi * frequency * at))))


def test_all_voices_reach_the_telephone_and_it_reaches_them() -> None:
    async def main() -> None:
        rooms = LocalRooms()
        agent = await rooms.join("r", "agent", ParticipantKind.AGENT)
        leg = await rooms.join("r", "sip-1", ParticipantKind.SIP)
        sent: list[np.ndarray[Any, Any]] = []
        heard: list[AudioFrame] = []
        agent.on(RoomEvent.TRACK_SUBSCRIBED, lambda track, _: track.subscribe(heard.append))
        voice = await agent.publish_audio("voice", sample_rate=24000)
        audio = RoomAudio(leg, 8000, sent.append, rooms.tick)
        background = await agent.publish_audio("background", sample_rate=48000)
        await asyncio.sleep(0.05)
        voice.push(AudioFrame(tone(440, 2.0, 24000), 24000))
        voice.flush()
        background.push(AudioFrame(tone(1000, 2.0, 48000, 2000), 48000))
        background.flush()
        for start in range(0, 8000, 160):
            audio.receive(tone(300, 1.0, 8000)[start : start + 160])
            await asyncio.sleep(0.02)
        await asyncio.sleep(2)
        mixed = np.concatenate(sent)
        assert {frame.size for frame in sent} == {160}
        assert mixed.size == pytest.approx(16000, abs=480)
        middle = mixed[2000:14000].astype(float)
        assert strength(middle, 440, 8000) == pytest.approx(6000, rel=0.03)
        assert strength(middle, 1000, 8000) == pytest.approx(2000, rel=0.05)
        assert {frame.sample_rate for frame in heard} == {8000}
        assert np.array_equal(np.concatenate([frame.samples for frame in heard]), tone(300, 1.0, 8000))
        audio.close()
        audio.close()
        voice.push(AudioFrame(tone(440, 0.1, 24000), 24000))
        await asyncio.sleep(0.5)
        assert sum(frame.size for frame in sent) == mixed.size
        await rooms.aclose()

    run(main())


def test_a_voice_that_leaves_is_forgotten_and_a_muted_leg_hears_nothing() -> None:
    async def main() -> None:
        rooms = LocalRooms()
        agent = await rooms.join("r", "agent", ParticipantKind.AGENT)
        leg = await rooms.join("r", "sip-1", ParticipantKind.SIP)
        voice = await agent.publish_audio("voice", sample_rate=8000)
        sent: list[np.ndarray[Any, Any]] = []
        audio = RoomAudio(leg, 8000, sent.append, rooms.tick)
        await asyncio.sleep(0)
        audio.muted = True
        voice.push(AudioFrame(tone(440, 0.2, 8000), 8000))
        voice.flush()
        await asyncio.sleep(0.5)
        assert not sent
        audio.muted = False
        voice.push(AudioFrame(tone(440, 0.03, 8000), 8000))
        voice.flush()
        await asyncio.sleep(0.5)
        # What does not fill a frame is played too, with silence behind it.
        assert [frame.size for frame in sent] == [160, 160]
        await agent.disconnect()
        await asyncio.sleep(0.1)
        assert not rooms.tick.running
        audio.close()
        await rooms.aclose()

    run(main())
