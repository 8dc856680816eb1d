"""A recording as a caller, and what the caller hears as a file."""

from __future__ import annotations

import asyncio
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from antiphon.audio import AudioFrame, read_wav
from antiphon.cli.heard_audio import SAMPLE_RATE as HEARD_RATE
from antiphon.cli.heard_audio import HeardAudio
from antiphon.cli.wav_caller import SAMPLE_RATE, WavCaller, read_recording
from antiphon.models.errors import ConfigurationError
from antiphon.rooms.local import LocalRooms
from support.virtual_time import run


def tone(seconds: float, rate: int, amplitude: int = 8000) -> np.ndarray[Any, Any]:
    return (amplitude * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def write(path: Path, samples: np.ndarray[Any, Any], rate: int, *, channels: int = 1, bits: int = 16) -> Path:
    data = {
        8: lambda s: ((s >> 8) + 128).astype(np.uint8).tobytes(),
        16: lambda s: s.tobytes(),
        24: lambda s: (s.astype("<i4") << 8).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes(),
    }[bits](np.repeat(samples, channels))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(bits // 8)
        file.setframerate(rate)
        file.writeframes(data)
    return path


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize(("channels", "bits"), [(1, 16), (2, 16), (1, 8), (2, 24)])
def test_any_recording_becomes_16_khz_mono(tmp_path: Path, rate: int, channels: int, bits: int) -> None:
    path = write(tmp_path / "in.wav", tone(0.5, rate), rate, channels=channels, bits=bits)
    heard = read_recording(path)
    assert heard.size == pytest.approx(0.5 * SAMPLE_RATE, abs=2)
    spectrum = np.abs(np.fft.rfft(heard[: SAMPLE_RATE // 2]))
    assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=4)
    assert np.abs(heard).max() == pytest.approx(8000, rel=0.05)


def test_what_is_no_recording_is_refused_with_the_reason(tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("not audio at all, but long enough to look at")
    codec = tmp_path / "codec.wav"
    codec.write_bytes(
        b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 7, 1, 8000, 8000, 1, 8) + b"data\0\0\0\0"
    )
    for path, reason in ((text, "not a WAV"), (codec, "mu-law"), (tmp_path / "gone.wav", "No such file")):
        with pytest.raises(ConfigurationError, match=reason):
            read_recording(path)
    assert read_recording(write(tmp_path / "empty.wav", tone(0, 8000), 8000)).size == 0


@pytest.mark.parametrize(
    ("parts", "until"),
    [
        ([(0.5, 0), (1.0, 8000), (2.0, 0)], 1.5),
        ([(1.0, 0)], 0.0),
        ([(1.0, 20)], 0.0),  # the noise of a sound card that nobody speaks into
        ([(1.0, 200)], 1.0),
    ],
)
def test_where_the_sound_of_a_recording_ends(parts: list[tuple[float, int]], until: float) -> None:
    samples = np.concatenate([tone(seconds, SAMPLE_RATE, amplitude) for seconds, amplitude in parts])

    async def scene() -> float:
        rooms = LocalRooms()
        room = await rooms.join("r", "caller")
        caller = WavCaller(samples, room.publish_source("recording", SAMPLE_RATE))
        await rooms.aclose()
        return caller.audible_until

    assert run(scene()) == pytest.approx(until, abs=0.005)


def test_a_recording_is_spoken_in_real_time_then_silence_follows() -> None:
    samples = tone(0.113, SAMPLE_RATE)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        rooms = LocalRooms()
        room = await rooms.join("r", "caller")
        source = room.publish_source("recording", SAMPLE_RATE)
        got: list[tuple[float, AudioFrame]] = []
        other = await rooms.join("r", "agent")
        other.on("track_subscribed", lambda t, _p: t.subscribe(lambda f: got.append((loop.time(), f))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert source.subscribed
        caller = WavCaller(samples, source)
        started = loop.time()
        speaking = asyncio.create_task(caller.speak())
        await asyncio.sleep(0.999)
        speaking.cancel()
        await asyncio.wait([speaking])
        await rooms.aclose()
        assert [when - started for when, _ in got] == pytest.approx([0.02 * (k + 1) for k in range(49)])
        heard = np.concatenate([frame.samples for _, frame in got])
        assert np.array_equal(heard[: samples.size], samples)
        assert not heard[samples.size :].any()
        assert caller.duration == pytest.approx(0.113)

    run(scene())


def test_what_is_heard_lands_where_it_was_heard(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    voice = tone(0.5, 24000)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        rooms = LocalRooms()
        caller = await rooms.join("r", "caller")
        agent = await rooms.join("r", "agent")
        output = await agent.publish_audio("agent", sample_rate=24000)
        origin = loop.time() + 2.0
        heard = HeardAudio(path, caller, lambda: loop.time() - origin)
        await asyncio.sleep(0.5)
        output.push(AudioFrame(voice, 24000))  # before 0: left out
        output.flush()
        await asyncio.sleep(2.0)
        output.push(AudioFrame(voice, 24000))  # at 0.5
        output.flush()
        await asyncio.sleep(1.5)
        output.push(AudioFrame(voice, 24000))  # at 2.0, cut at 2.3
        await asyncio.sleep(0.3)
        output.clear()
        await asyncio.sleep(0.7)
        heard.close()
        heard.close()
        await rooms.aclose()

    run(scene())
    audio = read_wav(path)
    assert audio.duration == pytest.approx(3.0, abs=0.03)
    loud = np.flatnonzero(np.abs(audio.samples) > 100) / HEARD_RATE
    edges = [loud[0], *(t for i in np.flatnonzero(np.diff(loud) > 0.1) for t in loud[i : i + 2]), loud[-1]]
    assert edges == pytest.approx([0.5, 1.0, 2.0, 2.3], abs=0.03)
    first = np.flatnonzero(audio.samples)[0] - 1  # the tone begins with a zero
    assert np.array_equal(audio.samples[first : first + voice.size], voice)  # no gap between the frames


def test_a_file_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    async def scene() -> None:
        rooms = LocalRooms()
        caller = await rooms.join("r", "caller")
        with pytest.raises(ConfigurationError, match="cannot be written"):
            HeardAudio(tmp_path / "no" / "out.wav", caller, lambda: 0.0)
        await rooms.aclose()

    run(scene())
