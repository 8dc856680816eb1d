"""Sample-rate conversion with little delay, for live audio and for files.

A polyphase FIR filter (windowed sinc, Kaiser window) evaluated by BLAS. Theory: Crochiere and Rabiner, "Multirate
Digital Signal Processing" (1983), chapter 4; Kaiser's design formulas: Oppenheim and Schafer, "Discrete-Time Signal
Processing", section 7.5.3.

The coefficients are multiples of 2**-30, so that every sum of products with 16-bit samples is exact in float64:
the result does not depend on how the input was cut or in which order a BLAS adds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import overload

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .frame import AudioFrame, Int16Array

Float64Array = NDArray[np.float64]

_STOP_BAND_DB = 60.0
_CUTOFF = 0.46  # -6 dB point, as a part of the lower rate
_MAX_DELAY = 0.002  # seconds
_MAX_ZERO_CROSSINGS = 24
_MAX_MATRIX = 150_000  # coefficients; above, gathering windows is faster than two dense products
_FILE_CHUNK = 1 << 13


@dataclass(frozen=True, eq=False)
class _Filter:
    """The filter of one pair of rates; shared by all resamplers of that pair, read-only.

    Attributes:
        up, down: the ratio of the rates in lowest terms.
        half: the filter's delay in samples of the lower rate.
        phases: shape (up, taps); row p gives the output that falls p / up samples after the newest sample.
        early, late: shape (block, outputs) each, or None. A block of inputs yields `outputs` samples:
            `block @ early + next_block @ late`, where each block starts `taps - 1` samples before its first output.
    """

    up: int
    down: int
    half: int
    phases: Float64Array
    early: Float64Array | None
    late: Float64Array | None

    @property
    def taps(self) -> int:
        return int(self.phases.shape[1])


@lru_cache(maxsize=64)
def _design(input_rate: int, output_rate: int) -> _Filter:
    divisor = math.gcd(input_rate, output_rate)
    up, down = output_rate // divisor, input_rate // divisor
    half = max(8, min(_MAX_ZERO_CROSSINGS, int(min(input_rate, output_rate) * _MAX_DELAY)))
    wide = max(up, down)  # one sample of the lower rate, counted at the common rate
    reach = half * wide
    taps = -(-(2 * reach + 1) // up)
    beta = 0.1102 * (_STOP_BAND_DB - 8.7)
    time = (np.arange(taps * up) - reach) / wide
    window = np.i0(beta * np.sqrt(np.clip(1 - (time / half) ** 2, 0, None))) / np.i0(beta)
    prototype = np.sinc(2 * _CUTOFF * time) * window * (np.abs(time) <= half)
    phases = prototype.reshape(taps, up).T[:, ::-1].copy()  # newest sample last
    phases /= phases.sum(axis=1, keepdims=True)  # the same gain in every phase: no image of DC
    phases = np.rint(phases * 2**30) / 2**30
    early, late = _block_matrices(phases, up, down)
    return _Filter(up, down, half, phases, early, late)


def _block_matrices(
    phases: Float64Array, up: int, down: int
) -> tuple[Float64Array, Float64Array] | tuple[None, None]:
    taps = phases.shape[1]
    block = down * -(-(taps - 1) // down)
    outputs = block // down * up
    if 2 * block * outputs > _MAX_MATRIX:
        return None, None
    matrix = np.zeros((2 * block, outputs))
    for output in range(outputs):
        start, phase = divmod(output * down, up)
        matrix[start : start + taps, output] = phases[phase]
    return np.ascontiguousarray(matrix[:block]), np.ascontiguousarray(matrix[block:])


def _convolve(design: _Filter, parts: tuple[Int16Array, ...], outputs: int) -> Float64Array:
    """The first `outputs` samples for the joined `parts`, which begin `taps - 1` samples before time 0."""
    if design.early is None or design.late is None:
        joined = np.concatenate(parts).astype(np.float64)
        start, phase = np.divmod(np.arange(outputs) * design.down, design.up)
        windows = sliding_window_view(joined, design.taps)[start]
        return np.asarray(np.einsum("ij,ij->i", windows, design.phases[phase]))
    block, per_block = design.early.shape
    count = -(-outputs // per_block)
    blocks = np.empty((count + 1, block))
    flat = blocks.reshape(-1)
    filled = 0
    for part in parts:
        flat[filled : filled + part.size] = part
        filled += part.size
    flat[filled:] = 0.0
    product = blocks[:-1] @ design.early
    product += blocks[1:] @ design.late
    return product.reshape(-1)[:outputs]


def _to_int16(values: Float64Array) -> Int16Array:
    rounded = np.rint(values)
    np.minimum(rounded, 32767.0, out=rounded)
    np.maximum(rounded, -32768.0, out=rounded)
    return rounded.astype(np.int16)


class Resampler:
    """Converts one stream of mono audio from one sample rate to another.

    N samples in yield `ceil(N * output_rate / input_rate)` samples out at once, whatever the sizes of the pieces, and
    the same values as one push of the whole. So 20 ms in give 20 ms out for every pair of telephony and WebRTC rates.
    The signal comes out `delay` seconds late: 24 samples of the lower rate, at most 2 ms. The pass-band is flat
    within 0.5 dB up to 0.4 of the lower rate; from 0.54 of it on, everything is at least 50 dB down.

    Attributes:
        input_rate: samples a second that go in.
        output_rate: samples a second that come out.
    """

    def __init__(self, input_rate: int, output_rate: int) -> None:
        """Prepare for one pair of rates; filters are computed once a process for each pair.

        Raises:
            ValueError: a rate below 1.
        """
        if input_rate < 1 or output_rate < 1:
            raise ValueError(
                f"cannot resample from {input_rate} Hz to {output_rate} Hz: rates must be at least 1"
            )
        self.input_rate = input_rate
        self.output_rate = output_rate
        self._design = None if input_rate == output_rate else _design(input_rate, output_rate)
        self._skip = 0
        self._history: Int16Array = np.zeros(0, dtype=np.int16)
        self.reset()

    @property
    def delay(self) -> float:
        """Group delay in seconds."""
        if self._design is None:
            return 0.0
        return self._design.half / min(self.input_rate, self.output_rate)

    def reset(self) -> None:
        """Forget the past, as if nothing had been pushed."""
        self._skip = 0
        taps = 1 if self._design is None else self._design.taps
        self._history = np.zeros(taps - 1, dtype=np.int16)

    @overload
    def push(self, audio: AudioFrame) -> AudioFrame: ...
    @overload
    def push(self, audio: Int16Array) -> Int16Array: ...
    def push(self, audio: AudioFrame | Int16Array) -> AudioFrame | Int16Array:
        """Convert the next piece of the stream.

        Args:
            audio: mono audio at `input_rate`, of any length: a frame, or an int16 array of shape (n,).

        Returns:
            Audio at `output_rate`, of the kind that was given; possibly of no samples.

        Raises:
            ValueError: a frame of another rate or with several channels.
        """
        if isinstance(audio, AudioFrame):
            if audio.sample_rate != self.input_rate or audio.num_channels != 1:
                raise ValueError(
                    f"{audio!r} was pushed into a resampler of mono audio at {self.input_rate} Hz; "
                    "use to_mono() first, and one resampler for each rate"
                )
            return AudioFrame(self._process(audio.samples), self.output_rate)
        return self._process(audio)

    def flush(self) -> AudioFrame:
        """End the stream: what the filter still holds, `delay` seconds of audio. Afterwards a new stream begins."""
        tail = np.zeros(0, dtype=np.int16)
        if self._design is not None:
            missing = -(-self._design.half * self.input_rate // min(self.input_rate, self.output_rate))
            tail = self._process(np.zeros(missing, dtype=np.int16))
        self.reset()
        return AudioFrame(tail, self.output_rate)

    def _process(self, samples: Int16Array) -> Int16Array:
        design = self._design
        if design is None:
            return samples
        history = self._history
        size = history.size + samples.size
        # Outputs are counted from the start of a period of the filter; `_skip` of this period are out already.
        ready = -(-(size - design.taps + 1) * design.up // design.down)
        if ready <= self._skip:
            self._history = np.concatenate((history, samples))
            return np.zeros(0, dtype=np.int16)
        values = _convolve(design, (history, samples), ready)[self._skip :]
        periods, self._skip = divmod(ready, design.up)
        self._history = _drop(history, samples, periods * design.down)
        return _to_int16(values)

    def _start_aligned(self) -> None:
        """Leave the delay out: the first sample out then lies at the time of the first sample in."""
        design = self._design
        if design is None:
            return
        if design.up > design.down:
            self._history = self._history[design.half :]
        else:
            periods, self._skip = divmod(design.half, design.up)
            self._history = self._history[periods * design.down :]


def _drop(history: Int16Array, samples: Int16Array, count: int) -> Int16Array:
    if count >= history.size:
        return samples[count - history.size :].copy()
    return np.concatenate((history[count:], samples))


def resample(samples: Int16Array, input_rate: int, output_rate: int) -> Int16Array:
    """Convert a whole recording, without delay: sample times in and out agree.

    Args:
        samples: mono int16 array of shape (n,) at `input_rate`.
        input_rate: samples a second of `samples`.
        output_rate: samples a second wanted.

    Returns:
        int16 array of shape (ceil(n * output_rate / input_rate),).

    Raises:
        ValueError: a rate below 1.
    """
    resampler = Resampler(input_rate, output_rate)
    resampler._start_aligned()
    wanted = -(-samples.size * output_rate // input_rate)
    parts = [
        resampler.push(samples[start : start + _FILE_CHUNK]) for start in range(0, samples.size, _FILE_CHUNK)
    ]
    parts.append(resampler.flush().samples)
    return np.concatenate(parts)[:wanted]
