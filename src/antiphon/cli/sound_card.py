"""The microphone and the loudspeaker of this machine, through PortAudio."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ..audio import AudioFrame, Int16Array
from ..models.errors import ConfigurationError

MICROPHONE_RATE = 16000
LOUDSPEAKER_RATE = 24000
BLOCK = 0.02
_PREBUFFER = 0.06
"""Seconds of the agent's voice that are gathered before it plays, so that a late frame leaves no gap."""

_WITHOUT_AUDIO = "console --text needs no audio at all."


class SoundCard:
    """Opened by `start`; hands microphone frames to the event loop and plays what is given to `play`.

    PortAudio calls back in a thread of its own.
    """

    def __init__(
        self, on_frame: Callable[[AudioFrame], None], *, input_device: str | None, output_device: str | None
    ) -> None:
        """Prepare it.

        Args:
            on_frame: called on the event loop with each 20 ms of the microphone, mono at `MICROPHONE_RATE`.
            input_device: number or part of the name of the microphone; None: the system's choice.
            output_device: the same for the loudspeaker.

        Raises:
            ConfigurationError: the package or PortAudio is missing.
        """
        self._sounddevice = _load()
        self._on_frame = on_frame
        self._devices = (_device(input_device), _device(output_device))
        self._loop = asyncio.get_running_loop()
        self._streams: list[Any] = []
        self._queue = _PlayQueue(round(_PREBUFFER * LOUDSPEAKER_RATE))

    def start(self) -> None:
        """Open both devices.

        Raises:
            ConfigurationError: one is missing, busy or unknown.
        """
        sd = self._sounddevice
        plans = (
            ("microphone", sd.InputStream, MICROPHONE_RATE, self._devices[0], self._record),
            ("loudspeaker", sd.OutputStream, LOUDSPEAKER_RATE, self._devices[1], self._fill),
        )
        for what, stream, rate, device, callback in plans:
            try:
                opened = stream(
                    samplerate=rate,
                    blocksize=round(rate * BLOCK),
                    channels=1,
                    dtype="int16",
                    device=device,
                    callback=callback,
                )
                opened.start()
            except (sd.PortAudioError, ValueError) as error:
                self.close()
                option = "--input-device" if what == "microphone" else "--output-device"
                raise ConfigurationError(
                    f"the {what} cannot be opened: {error}. Choose another with {option}; "
                    f"python -m sounddevice lists what there is. {_WITHOUT_AUDIO}"
                ) from error
            self._streams.append(opened)

    def play(self, frame: AudioFrame) -> None:
        """Queue the agent's audio, mono at `LOUDSPEAKER_RATE`."""
        self._queue.push(frame.samples)

    @property
    def playing(self) -> bool:
        """Whether something waits to be heard."""
        return self._queue.waiting > 0

    def close(self) -> None:
        """Let go of the devices; safe to call twice."""
        for stream in self._streams:
            stream.stop()
            stream.close()
        self._streams.clear()

    def _record(self, block: Any, _frames: int, _time: Any, _status: Any) -> None:
        frame = AudioFrame(np.array(block[:, 0], dtype=np.int16), MICROPHONE_RATE)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_frame, frame)

    def _fill(self, block: Any, frames: int, _time: Any, _status: Any) -> None:
        block[:, 0] = self._queue.pull(frames)


class _PlayQueue:
    """Audio between the event loop, which pushes, and the thread of the sound card, which pulls."""

    def __init__(self, prebuffer: int) -> None:
        self._prebuffer = prebuffer
        self._lock = threading.Lock()
        self._parts: deque[Int16Array] = deque()
        self._playing = False
        self._known = 0  # samples that waited after the last pull
        self.waiting = 0

    def push(self, samples: Int16Array) -> None:
        with self._lock:
            self._parts.append(samples)
            self.waiting += samples.size

    def pull(self, count: int) -> Int16Array:
        """The next `count` samples, or silence while the prebuffer fills; what does not grow any more plays as it is."""
        out = np.zeros(count, dtype=np.int16)
        with self._lock:
            complete = 0 < self.waiting == self._known
            self._playing = self._playing or complete or self.waiting >= self._prebuffer
            filled = 0
            while self._playing and self._parts and filled < count:
                part = self._parts[0]
                taken = min(part.size, count - filled)
                out[filled : filled + taken] = part[:taken]
                filled += taken
                if taken == part.size:
                    self._parts.popleft()
                else:
                    self._parts[0] = part[taken:]
            self.waiting -= filled
            self._known = self.waiting
            self._playing = self._playing and self.waiting > 0
        return out


def _load() -> Any:
    try:
        return importlib.import_module("sounddevice")
    except ImportError as error:
        raise ConfigurationError(
            f'the console needs the package sounddevice: pip install "antiphon[console]". {_WITHOUT_AUDIO}'
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"the console needs the PortAudio library ({error}); on Debian and Ubuntu: apt-get install libportaudio2. "
            f"{_WITHOUT_AUDIO}"
        ) from error


def _device(name: str | None) -> int | str | None:
    return int(name) if name is not None and name.isdigit() else name


def list_devices() -> tuple[bool, bool]:
    """Whether there is a microphone, and whether there is a loudspeaker.

    Raises:
        ConfigurationError: the package or PortAudio is missing.
    """
    devices = _load().query_devices()
    return (
        any(device["max_input_channels"] > 0 for device in devices),
        any(device["max_output_channels"] > 0 for device in devices),
    )
