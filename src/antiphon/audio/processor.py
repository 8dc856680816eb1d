"""What can stand in the path of incoming audio, such as a noise filter."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from .frame import AudioFrame


@runtime_checkable
class FrameProcessor(Protocol):
    """Changes the audio of one stream, frame by frame; keeps state, so one is needed for each stream."""

    def process(self, frame: AudioFrame) -> AudioFrame:
        """Return a frame of the same format and length, possibly delayed by what went in before."""
        ...


@runtime_checkable
class NoiseCancellation(Protocol):
    """A choice of noise filter, as given to a session."""

    def stream(self) -> FrameProcessor:
        """A fresh processor for one stream."""
        ...
