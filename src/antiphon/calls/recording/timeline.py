"""Where the audio of a call belongs in its recording: pure arithmetic on arrival times, no clock, no thread.

Both channels lie on one clock, the one by which frames are stamped as they pass through the room. A frame's first sample
belongs at the moment the frame was delivered. What a network delivers jitters, comes late in bursts, and is counted by a clock
that drifts from ours, so a single arrival says little. Of each frame we look at its lateness, arrival time minus position in
its own stream. Delay only ever adds to it, so the least lateness of a frame and those after it says where it really belongs:

- a late burst catches up, so the frames before it are put where they would have been in time;
- after a pause the lateness stays, so what follows begins anew at its arrival;
- a drifting clock shifts it slowly, which is followed by stretching frames by half a percent at most.

The least lateness over a window as a measure of clock offset: as in RFC 5905 section 10 (the clock filter of NTP), Paxson, "On
Calibrating Measurements of Packet Transit Times" (1998), section 4.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ...audio import Resampler
from ...audio.frame import Int16Array
from ...audio.mixer import soft_limit

STEP = 0.015
"""Seconds off the mark from which audio is moved at once; below, it is stretched."""
DEAD_BAND = 0.002
"""Seconds off the mark that are left alone."""
_SETTLED = 0.0003
_MARGIN = 0.005  # frames that begin so soon after the end of what is rendered are put too: the filter brings them forward
_STRETCH = 0.005  # part of a frame's length: 8 cents of pitch, which nobody hears in a voice


class Channel(IntEnum):
    """Who is heard on which side."""

    CALLER = 0
    AGENT = 1


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame as it passed through the room.

    Attributes:
        track: a number of the track, unique in this recording.
        channel: where the track is recorded.
        time: when the frame was delivered, in seconds since the recording began.
        samples: mono int16 array of shape (n,).
        sample_rate: of the samples.
    """

    track: int
    channel: Channel
    time: float
    samples: Int16Array
    sample_rate: int


@dataclass(slots=True)
class Losses:
    """Audio that came and is not in the recording, silence in its place."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds


class StereoTimeline:
    """Collects frames of any number of tracks and gives interleaved stereo, up to a time that only moves forward.

    Attributes:
        sample_rate: samples a second of what comes out.
        losses: what came too late to be put where it belongs.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.losses = Losses()
        self._tracks: dict[int, _Track] = {}
        self._channels = {channel: _Mix(self.losses, sample_rate) for channel in Channel}
        self._rendered = 0

    @property
    def rendered(self) -> int:
        """How many samples, per channel, were given out."""
        return self._rendered

    def add(self, heard: Heard) -> None:
        """Take a frame in; frames of one track come in order."""
        track = self._tracks.get(heard.track)
        if track is None:
            track = _Track(self._channels[heard.channel], self.sample_rate, self.losses)
            self._tracks[heard.track] = track
        track.add(heard)

    def end(self, track: int) -> None:
        """No more frames come of this track."""
        if track in self._tracks:
            self._tracks[track].ended = True

    def render(self, until: float) -> Int16Array:
        """What was heard from the last call's `until` to this one's.

        Args:
            until: seconds since the recording began. The later it is called, the more is known of what belongs there.

        Returns:
            int16 array of shape (2 * n,): left, right, left, right.
        """
        last = max(self._rendered, round(until * self.sample_rate))
        for number, track in tuple(self._tracks.items()):
            track.place(until)
            if track.ended and track.empty:
                track.finish()
                del self._tracks[number]
        stereo = np.empty((last - self._rendered, 2), np.int16)
        for channel, mix in self._channels.items():
            stereo[:, channel] = mix.take(last)
        self._rendered = last
        return stereo.reshape(-1)


class _Mix:
    """One channel: the sum of its tracks, from the first sample that was not given out."""

    def __init__(self, losses: Losses, sample_rate: int) -> None:
        self._losses = losses
        self._sample_rate = sample_rate
        self._start = 0
        self._end = 0
        self._sum: NDArray[np.int32] = np.zeros(sample_rate, np.int32)

    def write(self, position: int, samples: Int16Array) -> None:
        """Add samples whose first one belongs at `position`; what belongs before the beginning is cut off."""
        missed = min(self._start - position, samples.size)
        if missed > 0:
            # Before the recording began nothing is missed.
            too_late = missed - max(0, min(-position, missed))
            if too_late:
                self._losses.add(too_late / self._sample_rate)
            position, samples = position + missed, samples[missed:]
        first = position - self._start
        self._reserve(first + samples.size)
        self._sum[first : first + samples.size] += samples
        self._end = max(self._end, position + samples.size)

    def take(self, until: int) -> Int16Array:
        """int16 array of shape (until - start,)."""
        count = until - self._start
        self._reserve(count)
        total = self._sum[:count]
        too_loud = count and (total.max() > 32767 or total.min() < -32768)
        taken = soft_limit(total) if too_loud else total.astype(np.int16)
        left = max(0, self._end - until)
        self._sum[:left] = self._sum[count : count + left].copy()
        self._sum[left : max(left, self._end - self._start)] = 0
        self._start, self._end = until, max(until, self._end)
        return taken

    def _reserve(self, count: int) -> None:
        if count > self._sum.size:
            larger = np.zeros(max(count, 2 * self._sum.size), np.int32)
            larger[: self._sum.size] = self._sum
            self._sum = larger


@dataclass(slots=True)
class _Frame:
    samples: Int16Array
    duration: float
    position: float  # seconds of its stream before it
    lateness: float  # arrival minus position
    least: float = 0.0  # the least lateness from here on


@dataclass(slots=True)
class _Run:
    """Frames that follow each other without a correction, converted together."""

    parts: list[Int16Array] = field(default_factory=list)
    seconds: float = 0.0


class _Track:
    """Places one track's frames in a channel."""

    def __init__(self, mix: _Mix, sample_rate: int, losses: Losses) -> None:
        self.ended = False
        self._mix = mix
        self._rate = sample_rate
        self._losses = losses
        self._pending: deque[_Frame] = deque()
        self._received = 0.0  # seconds of the stream
        self._resampler: Resampler | None = None
        self._end: int | None = None  # where the next sample goes; None: anywhere
        self._stretching = False
        self._filled = False  # the filter holds samples

    @property
    def empty(self) -> bool:
        return not self._pending

    def add(self, heard: Heard) -> None:
        if self._resampler is None or self._resampler.input_rate != heard.sample_rate:
            self.finish()
            self._resampler = Resampler(heard.sample_rate, self._rate)
        duration = heard.samples.size / heard.sample_rate
        self._pending.append(_Frame(heard.samples, duration, self._received, heard.time - self._received))
        self._received += duration

    def place(self, until: float) -> None:
        """Put the frames that begin before `until` into the channel."""
        pending, run = self._pending, _Run()
        until += _MARGIN
        least = float("inf")
        for frame in reversed(pending):
            frame.least = least = min(least, frame.lateness)
        while pending:
            frame = pending[0]
            target = frame.position + frame.least
            if self._end is None:
                self._end = round(target * self._rate)
            expected = self._end / self._rate + run.seconds
            error = target - expected
            if (target if error >= STEP else expected) >= until:
                break
            pending.popleft()
            if abs(error) < (_SETTLED if self._stretching else DEAD_BAND):
                self._stretching = False
                run.parts.append(frame.samples)
                run.seconds += frame.duration
                continue
            self._put(run)
            run = _Run()
            self._correct(frame, error)
        self._put(run)
        if self._end is not None and self._end < until * self._rate:
            self.finish()

    def finish(self) -> None:
        """Nothing follows: put what the filter still holds."""
        if self._resampler is not None and self._end is not None and self._filled:
            self._write(self._resampler.flush().samples, self._end)
            self._filled = False

    def _correct(self, frame: _Frame, error: float) -> None:
        self._stretching = False
        samples = frame.samples
        if error >= STEP:
            self.finish()
            self._end = round((frame.position + frame.least) * self._rate)
        elif error <= -STEP:
            surplus = min(-error, frame.duration)
            self._losses.add(surplus)
            samples = samples[round(surplus / frame.duration * samples.size) :]
        else:
            self._stretching = True
            self._put(_Run([samples], frame.duration), round(error * self._rate))
            return
        self._put(_Run([samples]))

    def _put(self, run: _Run, wanted: int = 0) -> None:
        """Append a run; it is made up to `wanted` samples longer or shorter, as far as that cannot be heard."""
        if not run.parts or self._resampler is None:
            return
        joined = run.parts[0] if len(run.parts) == 1 else np.concatenate(run.parts)
        converted = self._resampler.push(joined)
        if wanted and converted.size:
            most = max(1, int(converted.size * _STRETCH))
            converted = _stretched(converted, converted.size + max(-most, min(most, wanted)))
        assert self._end is not None
        self._write(converted, self._end)
        self._end += converted.size
        self._filled = True

    def _write(self, samples: Int16Array, position: int) -> None:
        if samples.size and self._resampler is not None:
            self._mix.write(position - round(self._resampler.delay * self._rate), samples)


def _stretched(samples: Int16Array, size: int) -> Int16Array:
    """`samples` over `size` samples, by linear interpolation."""
    places = np.arange(size) * (samples.size / size)
    values: NDArray[np.float64] = np.interp(places, np.arange(samples.size), samples)
    return np.rint(values).astype(np.int16)
