"""What the listener hears: one segment at a time, with its true position."""

from __future__ import annotations

from collections.abc import Callable

from ..rooms import AudioOutput
from .speech_segment import SpeechSegment


class Playout:
    """Feeds segments to the room's audio output.

    `on_started()` and `on_finished(seconds)` are called for the segment that plays; not for one that was stopped. Without an
    output, or for a segment without audio, both come at once.
    """

    def __init__(self, on_started: Callable[[], None], on_finished: Callable[[float], None]) -> None:
        self._on_started = on_started
        self._on_finished = on_finished
        self._output: AudioOutput | None = None
        self._segment: SpeechSegment | None = None

    @property
    def output(self) -> AudioOutput | None:
        return self._output

    @output.setter
    def output(self, output: AudioOutput | None) -> None:
        if self._output is not None:
            self._output.on_started = self._output.on_finished = None
        self._output = output
        if output is not None:
            output.on_started = self._started
            output.on_finished = self._finished

    @property
    def segment(self) -> SpeechSegment | None:
        """What is being heard, or about to be."""
        return self._segment

    @property
    def position(self) -> float:
        """Seconds of the present segment heard so far."""
        return self._output.position if self._output is not None and self._segment is not None else 0.0

    def play(self, segment: SpeechSegment) -> None:
        self._segment = segment
        if self._output is None or not segment.has_audio:
            self._started()
            self._finished(segment.heard.duration)
        else:
            segment.attach(self._output)

    def pause(self) -> None:
        if self._output is not None:
            self._output.pause()

    def resume(self) -> None:
        if self._output is not None:
            self._output.resume()

    def stop(self) -> float:
        """End the present segment at once.

        Returns:
            Seconds of it that were heard.
        """
        segment, self._segment = self._segment, None
        if segment is None or self._output is None:
            return 0.0
        position = self._output.clear()
        segment.close()
        return position

    def _started(self) -> None:
        if self._segment is not None:
            self._on_started()

    def _finished(self, position: float) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            segment.close()
            self._on_finished(position)
