"""Loops behind the conversation: at their level, without seams, only when they should be heard."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.audio.wav import AudioFileError, write_wav
from antiphon.rooms import ParticipantKind
from antiphon.rooms.local import LocalRooms
from antiphon.rooms.playback import PlaybackBuffer
from antiphon.voice import Agent, AgentSession
from antiphon.voice.controllers import BackgroundAudio, BackgroundAudioOptions, HoldController
from antiphon.voice.controllers.background_audio import room_tone, typing
from support.controllers import TURN, near, play
from support.scripted import RATE, Answer, ScriptedLLM, Speaker

TONE = 8000
QUIET = {"ambience_level": -30.0, "thinking_level": -20.0}


def spans(
    options: BackgroundAudioOptions, *, until: float, script: Any = (), **rest: Any
) -> list[list[float]]:
    """When something was heard on the background track."""
    output = PlaybackBuffer(RATE)
    speaker = Speaker(output)
    background = BackgroundAudio(output, options)
    hold = HoldController([background])
    script = [(0.0, lambda _: speaker.start()), *[(when, act(hold)) for when, act in script]]
    script.append((until, lambda _: speaker.stop()))
    play([TURN], background, hold, until=until, script=script, **rest)
    assert output.idle
    return speaker.spans


def holding(on: bool) -> Any:
    return lambda hold: lambda _session: hold.signal_hold(on)


@pytest.fixture
def tone(tmp_path: Path) -> str:
    """A steady tone without a zero in it."""
    path = tmp_path / "tone.wav"
    wave = np.where(np.arange(2 * TONE) % 16 < 8, 1000, -1000).astype(np.int16)
    write_wav(path, AudioFrame(wave, TONE))
    return str(path)


def test_nothing_is_played_by_default() -> None:
    assert spans(BackgroundAudioOptions(), until=5) == []


def test_ambience_is_played_all_the_time_without_a_gap(tone: str) -> None:
    assert spans(BackgroundAudioOptions(ambience=tone), until=9) == [[near(0.0), near(9.0)]]


def test_the_thinking_sound_is_heard_exactly_while_the_agent_thinks(tone: str) -> None:
    llm = ScriptedLLM(Answer("Three o'clock.", first=2.0, whole=2.0))
    assert spans(BackgroundAudioOptions(thinking=tone), until=9, llm=llm) == [[near(3.0), near(4.9)]]


def test_it_is_silent_on_hold(tone: str) -> None:
    options = BackgroundAudioOptions(ambience=tone)
    script = [(2.0, holding(True)), (5.0, holding(False))]
    assert spans(options, until=8, script=script) == [[near(0.0), near(2.0)], [near(5.0), near(8.0)]]


def test_the_ambience_goes_on_where_hold_cut_it_off(tmp_path: Path) -> None:
    path = tmp_path / "ramp.wav"
    write_wav(path, AudioFrame(np.arange(1, RATE, dtype=np.int16), RATE))
    output = PlaybackBuffer(RATE)
    speaker = Speaker(output)
    background = BackgroundAudio(output, BackgroundAudioOptions(ambience=str(path), ambience_level=-10.0))
    hold = HoldController([background])
    script = [
        (0.0, lambda _: speaker.start()),
        (1.7, lambda _: hold.signal_hold(True)),
        (2.5, lambda _: hold.signal_hold(False)),
        (4.0, lambda _: speaker.stop()),
    ]
    play([], background, hold, until=4, script=script)
    loop, heard = background._ambience, speaker.audio
    assert loop is not None
    assert len(heard) == pytest.approx(3.2 * RATE, rel=0.01)
    assert np.array_equal(heard, np.take(loop, np.arange(len(heard)), mode="wrap"))


def test_it_ends_with_the_session(tone: str) -> None:
    options = BackgroundAudioOptions(ambience=tone)
    closing = lambda _hold: lambda session: session.shutdown(drain=False)  # noqa: E731
    assert spans(options, until=8, script=[(2.0, closing)]) == [[near(0.0), near(2.0)]]


@pytest.mark.parametrize("source", ["room_tone", "typing"])
@pytest.mark.parametrize("level", [-50.0, -30.0])
def test_a_loop_is_as_loud_as_asked(source: str, level: float) -> None:
    options = BackgroundAudioOptions(ambience=source, ambience_level=level)
    loop = BackgroundAudio(PlaybackBuffer(RATE), options)._ambience
    assert loop is not None
    rms = np.sqrt(np.mean((loop / 32768.0) ** 2))
    assert 20 * np.log10(rms) == pytest.approx(level, abs=0.5)


def test_the_room_tone_has_no_seam() -> None:
    wave = room_tone(16000)
    steps = np.abs(np.diff(wave))
    assert abs(wave[0] - wave[-1]) <= steps.max()


def test_typing_is_mostly_pauses() -> None:
    wave = np.abs(typing(16000))
    assert np.mean(wave < wave.max() / 100) > 0.5


def test_both_are_mixed() -> None:
    output = PlaybackBuffer(RATE)
    options = BackgroundAudioOptions(ambience="room_tone", thinking="typing", **QUIET)
    background = BackgroundAudio(output, options)
    heard: list[np.ndarray[Any, Any]] = []

    def pull(_session: Any) -> None:
        heard.append(output.pull(round(0.2 * RATE)))

    llm = ScriptedLLM(Answer("Three o'clock.", first=3.0, whole=3.0))
    # The output is read by hand, as much as time has passed: while the agent is idle, then while it thinks.
    script = [(when / 5, pull) for when in range(1, 26)]
    play([TURN], background, until=5.1, script=script, llm=llm)
    levels = [float(np.sqrt(np.mean(samples.astype(float) ** 2))) for samples in heard]
    assert max(levels[:14]) < 2000 < max(levels[16:])


def test_a_file_that_is_no_sound_is_told_before_the_call(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(b"not a sound")
    with pytest.raises(AudioFileError):
        BackgroundAudio(PlaybackBuffer(RATE), BackgroundAudioOptions(ambience=str(path)))


def test_a_level_that_would_drown_the_voice_is_refused() -> None:
    with pytest.raises(ValueError, match="ambience_level"):
        BackgroundAudioOptions(ambience_level=0.0)


def test_it_is_heard_on_a_track_of_its_own() -> None:
    async def run() -> None:
        rooms = LocalRooms()
        caller = await rooms.join("call", "caller")
        agent_room = await rooms.join("call", "agent", ParticipantKind.AGENT)
        frames: list[AudioFrame] = []
        caller.on(
            "track_subscribed",
            lambda track, _who: track.subscribe(frames.append) if track.name == "background" else None,
        )
        session: AgentSession[Any] = AgentSession()
        await session.start(Agent(), room=agent_room)
        background = await BackgroundAudio.publish(agent_room, BackgroundAudioOptions(ambience="room_tone"))
        background.attach(session)
        async with asyncio.timeout(3.0):
            while len(frames) < 5:  # noqa: ASYNC110 - no event to wait for
                await asyncio.sleep(0.01)
        await session.aclose()
        await background.aclose()
        await background.aclose()
        assert not background.attached
        await agent_room.disconnect()
        await caller.disconnect()
        await rooms.aclose()

    asyncio.run(run())
