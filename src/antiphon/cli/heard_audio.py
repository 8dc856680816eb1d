"""What a caller hears, as a WAV file on the timeline of the call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..audio import AudioFrame, Resampler, WavWriter
from ..models.errors import ConfigurationError
from ..rooms import Participant, RemoteAudioTrack, Room, RoomEvent

SAMPLE_RATE = 24000
_JITTER = 0.04
"""Seconds by which frames that follow each other may arrive early or late without a gap between them."""


class HeardAudio:
    """Writes the audio of everybody else in a room to a file, each frame where it was heard."""

    def __init__(self, path: Path, room: Room, now: Callable[[], float]) -> None:
        """Open the file.

        Args:
            path: a WAV file that is made, or replaced.
            room: as the caller sees it.
            now: seconds on the file's timeline; what is heard before 0 is left out.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        try:
            self._file = WavWriter(path, SAMPLE_RATE)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from error
        self._now = now
        self._written = 0
        self._resampler: Resampler | None = None
        room.on(RoomEvent.TRACK_SUBSCRIBED, self._subscribe)
        for participant, track in room.audio_tracks():
            self._subscribe(track, participant)

    def _subscribe(self, track: RemoteAudioTrack, _participant: Participant) -> None:
        track.subscribe(self._heard)

    def _heard(self, frame: AudioFrame) -> None:
        at = self._now()
        if at < 0:
            return
        if frame.sample_rate != SAMPLE_RATE:
            if self._resampler is None or self._resampler.input_rate != frame.sample_rate:
                self._resampler = Resampler(frame.sample_rate, SAMPLE_RATE)
            frame = self._resampler.push(frame)
        if at - self._written / SAMPLE_RATE > _JITTER:
            self._fill(at)
        self._write(frame)

    def _fill(self, until: float) -> None:
        missing = round(until * SAMPLE_RATE) - self._written
        if missing > 0:
            self._write(AudioFrame(np.zeros(missing, dtype=np.int16), SAMPLE_RATE))

    def _write(self, frame: AudioFrame) -> None:
        self._file.write(frame)
        self._written += frame.samples.size

    def close(self) -> None:
        """Fill up with silence to now and close the file; safe to call twice."""
        if not self._file.closed:
            self._fill(self._now())
            self._file.close()
