"""A caller whose voice is a recording."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np

from ..audio import AudioFileError, AudioFrame, Int16Array, read_wav, resample
from ..models.errors import ConfigurationError
from ..rooms.local import LocalSource

SAMPLE_RATE = 16000
FRAME = 0.02
_FRAME_SAMPLES = round(SAMPLE_RATE * FRAME)
_AUDIBLE = 33  # -60 dBFS: no speech is as low as this


def read_recording(path: Path) -> Int16Array:
    """Read what the caller says.

    Args:
        path: a WAV file of any rate, channels and sample format.

    Returns:
        int16 array of shape (samples,), mono at `SAMPLE_RATE`.

    Raises:
        ConfigurationError: there is no such file, or it is no WAV that can be read.
    """
    try:
        frame = read_wav(path).to_mono()
    except AudioFileError as error:
        raise ConfigurationError(str(error)) from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    if not frame.samples.size:
        return frame.samples
    return resample(frame.samples, frame.sample_rate, SAMPLE_RATE)


class WavCaller:
    """Speaks a recording into a room in real time, then keeps the line open with silence.

    Frame k is delivered at the end of its 20 ms, as from a microphone, on a grid that never drifts.
    """

    def __init__(self, samples: Int16Array, source: LocalSource) -> None:
        """Prepare it.

        Args:
            samples: int16 array of shape (samples,) at `SAMPLE_RATE`.
            source: where the voice goes; at the same rate.
        """
        self.duration = samples.size / SAMPLE_RATE
        self.started_at = 0.0
        self._samples = np.concatenate([samples, np.zeros(-samples.size % _FRAME_SAMPLES, dtype=np.int16)])
        self._source = source
        self._loop = asyncio.get_running_loop()
        self.audible_until = _end_of_sound(samples) / SAMPLE_RATE
        """Seconds after which the recording has nothing but silence; 0.0 when there is no sound in it at all."""

    @property
    def now(self) -> float:
        """Seconds since the recording began."""
        return self._loop.time() - self.started_at

    async def speak(self) -> None:
        """Play the recording, then silence, until cancelled."""
        self.started_at = self._loop.time()
        silence = np.zeros(_FRAME_SAMPLES, dtype=np.int16)
        index = 0
        while True:
            await asyncio.sleep(max(0.0, (index + 1) * FRAME - self.now))
            begin = index * _FRAME_SAMPLES
            samples = self._samples[begin : begin + _FRAME_SAMPLES] if begin < self._samples.size else silence
            self._source.push(AudioFrame(samples, SAMPLE_RATE))
            index += 1


def _end_of_sound(samples: Int16Array) -> int:
    audible = np.flatnonzero((samples > _AUDIBLE) | (samples < -_AUDIBLE))
    return int(audible[-1]) + 1 if audible.size else 0
