"""Sound behind the conversation: a quiet room, and a sign that the agent is at work."""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...audio import AudioFrame, Resampler
from ...audio.frame import Int16Array
from ...audio.wav import read_wav
from ...rooms import AudioOutput, Room
from ...turns import AgentState
from ..events import AgentStateChanged, SessionEvent
from .controller import Controller

ROOM_TONE = "room_tone"
TYPING = "typing"
TRACK = "background"

_CHUNK = 0.1  # seconds pushed at a time
_AHEAD = 0.3  # seconds kept queued; a change clears them and takes effect at once
_FULL_SCALE = 32768.0


@dataclass(frozen=True)
class BackgroundAudioOptions:
    """What is played. Levels are the root mean square in dBFS.

    Attributes:
        ambience: played all the time: `"room_tone"`, the path of a WAV file, or None.
        ambience_level: how loud.
        thinking: played while the agent thinks: `"typing"`, the path of a WAV file, or None.
        thinking_level: how loud.
    """

    ambience: str | None = None
    ambience_level: float = -50.0
    thinking: str | None = None
    thinking_level: float = -40.0

    def __post_init__(self) -> None:
        for name, level in (("ambience", self.ambience_level), ("thinking", self.thinking_level)):
            if not -90.0 <= level <= -6.0:
                raise ValueError(f"background audio: {name}_level is {level:g} dBFS; it is from -90 to -6")


class BackgroundAudio(Controller):
    """Plays loops, computed once, on a track beside the agent's voice.

    Make it with `publish`, or give it an output of its own. It is silent on hold and ends with the session.
    """

    def __init__(self, output: AudioOutput, options: BackgroundAudioOptions | None = None) -> None:
        """Prepare the loops.

        Raises:
            AudioFileError: a file is no WAV file that can be read.
            OSError: a file cannot be opened.
        """
        super().__init__()
        self.options = options = options or BackgroundAudioOptions()
        self._output = output
        rate = output.sample_rate
        self._ambience = _loop(options.ambience, rate, options.ambience_level)
        self._thinking = _loop(options.thinking, rate, options.thinking_level)
        self._is_thinking = False
        self._pushed = 0  # samples since the last change; the thinking sound begins anew with each
        self._place = 0  # in the ambience loop, of the first of them

    @classmethod
    async def publish(
        cls, room: Room, options: BackgroundAudioOptions | None = None, *, sample_rate: int = 24000
    ) -> BackgroundAudio:
        """Publish a track for it in `room`; files are read in a thread.

        Raises:
            RoomDisconnected: we are not in the room any more.
        """
        output = await room.publish_audio(TRACK, sample_rate=sample_rate)
        try:
            return await asyncio.to_thread(cls, output, options)
        except BaseException:
            await output.aclose()
            raise

    async def aclose(self) -> None:
        """Stop, and close the output."""
        await super().aclose()
        await self._output.aclose()

    def _attached(self) -> None:
        self._listen(SessionEvent.AGENT_STATE_CHANGED, self._on_agent)
        self._is_thinking = self.session.agent_state is AgentState.THINKING
        self._play()

    def _on_agent(self, event: AgentStateChanged) -> None:
        thinking = event.new_state is AgentState.THINKING
        if thinking is self._is_thinking:
            return
        self._is_thinking = thinking
        if self._thinking is not None:
            self._stop()
            self._play()

    def _play(self) -> None:
        """Keep the output's queue filled while there is something to hear."""
        thinking = self._thinking if self._is_thinking else None
        if self.suspended or not self.attached or (self._ambience is None and thinking is None):
            return
        rate = self._output.sample_rate
        count = round(_CHUNK * rate)
        heard = round(self._output.position * rate)
        while self._pushed - heard < _AHEAD * rate:
            samples = np.zeros(count, np.int32)
            if self._ambience is not None:
                samples += _piece(self._ambience, self._place + self._pushed, count)
            if thinking is not None:
                samples += _piece(thinking, self._pushed, count)
            self._output.push(AudioFrame(np.clip(samples, -32768, 32767).astype(np.int16), rate))
            self._pushed += count
        self._set_timer("refill", self._now() + _CHUNK, self._play)

    def _stop(self) -> None:
        """Take back what is queued; the ambience will go on where it was left."""
        self._cancel_timer("refill")
        self._place += round(self._output.clear() * self._output.sample_rate)
        self._pushed = 0

    def _suspend(self) -> None:
        self._stop()

    def _resume(self) -> None:
        self._play()

    def _detach(self) -> None:
        if self.attached:
            self._stop()
        super()._detach()


def _loop(source: str | None, rate: int, level: float) -> Int16Array | None:
    """The samples of one round at `level`; None when there is nothing to play."""
    if source is None:
        return None
    if source == ROOM_TONE:
        wave = room_tone(rate)
    elif source == TYPING:
        wave = typing(rate)
    else:
        wave = _read(source, rate)
    power = float(np.sqrt(np.mean(wave**2))) if wave.size else 0.0
    if power == 0.0:
        return None
    scaled = wave * (10 ** (level / 20) * _FULL_SCALE / power)
    return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16)


def _piece(loop: Int16Array, start: int, count: int) -> Int16Array:
    piece: Int16Array = np.take(loop, np.arange(start, start + count), mode="wrap")
    return piece


def _read(path: str, rate: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    frame = read_wav(Path(path))
    if frame.num_channels != 1:
        frame = frame.to_mono()
    if frame.sample_rate != rate:
        frame = Resampler(frame.sample_rate, rate).push(frame)
    return frame.samples.astype(np.float64)


@functools.lru_cache(maxsize=4)
def room_tone(rate: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Eight seconds of soft noise, falling by 6 dB an octave above 100 Hz, without a seam: made in the frequency domain.

    Returns:
        float64 array of shape (8 * rate,), of no particular level; shared, so it cannot be written to.
    """
    count = 8 * rate
    frequency = np.fft.rfftfreq(count, 1 / rate)
    magnitude = np.where(frequency < 40, 0.0, 1 / np.maximum(frequency, 100.0))
    phase = np.random.default_rng(1).uniform(0, 2 * np.pi, frequency.size)
    wave = np.fft.irfft(magnitude * np.exp(1j * phase), count)
    wave.flags.writeable = False
    return wave


@functools.lru_cache(maxsize=4)
def typing(rate: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Six seconds of soft key strokes, in bursts with pauses between them.

    Returns:
        float64 array of shape (6 * rate,), of no particular level; shared, so it cannot be written to.
    """
    random = np.random.default_rng(2)
    wave = np.zeros(6 * rate)
    time = np.arange(round(0.03 * rate)) / rate
    at = 0.05
    while at < 5.9:
        stroke = random.normal(size=time.size) * np.exp(-time / 0.004) * (1 - np.exp(-time / 0.0005))
        stroke = np.convolve(stroke, np.ones(6) / 6, mode="same") * random.uniform(0.4, 1.0)
        start = round(at * rate)
        wave[start : start + time.size] += stroke[: wave.size - start]
        at += random.uniform(0.35, 0.7) if random.random() < 0.15 else random.uniform(0.09, 0.2)
    wave.flags.writeable = False
    return wave
