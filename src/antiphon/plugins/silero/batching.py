"""Judges the windows of all the streams of one event loop together, in batches.

Each stream owns a slot: a row in a few stacked arrays that hold its current window, its network state, its noise
floor and its recent energies. A batch gathers the rows whose windows are complete, runs the network once, and
scatters the results, so that Python's overhead is paid per batch.

Windows that hold nothing but the noise that was there before are not run through the network: its state then stays
as it was, which it cannot tell from a shorter pause.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .network import CONTEXT, STATE, Float32Array, Network
from .tracker import BLOCK, BLOCKS, WINDOW

IndexArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]

MAX_BATCH = 28  # about 1.5 ms of the event loop
_AT_ONCE = 4  # up to so many streams, a window is judged in the same turn of the loop
_GATHER = 0.02  # seconds; how long windows wait for company when there are more
_REMEMBERED = 32  # windows of energies kept for finding an onset: a second

_FLOOR_MIN = 1e-8  # -80 dBFS: digital silence
_FLOOR_START = 10 ** (-45 / 10)
_SKIP_FLOOR = 10 ** (-50 / 10)  # a louder background is always listened to
_SKIP_PEAK = 10 ** (5 / 10)  # over the floor
_NOT_SPEECH = 0.15
_LISTEN_ON = 8  # windows run after the last one that was more than noise
_LISTEN_FIRST = 16  # windows run at the start, so that the network and the floor have settled


class Slot(Protocol):
    """What a stream offers to its batcher."""

    index: int
    wakes_at: float

    def attach(self, row: Float32Array) -> None:
        """Use this row from now on."""

    def judged(self, probability: float, energies: Sequence[float] | None, floor: float) -> None:
        """The window in the row was judged; `energies` is None where nothing can follow from it."""


class Batcher:
    """The windows of one event loop's streams."""

    def __init__(self, network: Network, loop: asyncio.AbstractEventLoop | None) -> None:
        """Begin with room for 16 streams.

        Args:
            network: the shared model.
            loop: the streams' event loop; without one each window is judged during the push.
        """
        self._network = network
        self._loop = None if loop is None else weakref.ref(loop)
        self._slots: list[Slot | None] = []
        self._free: list[int] = []
        self._open = 0
        self._ready: list[Slot] = []
        self._scheduled: asyncio.Handle | None = None
        self._judging = False
        self._rows = np.zeros((0, CONTEXT + WINDOW), dtype=np.float32)
        self._state = np.zeros((2, 0, STATE), dtype=np.float32)
        self._floor = np.zeros(0, dtype=np.float32)
        self._energies = np.zeros((0, _REMEMBERED, BLOCKS), dtype=np.float32)
        self._cursor = np.zeros(0, dtype=np.intp)
        self._listen = np.zeros(0, dtype=np.intp)  # windows still to run though nothing happens
        self._speaking = np.zeros(0, dtype=np.bool_)
        self._grow(16)

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The streams' event loop, if they have one."""
        return None if self._loop is None else self._loop()

    def _grow(self, capacity: int) -> None:
        old = len(self._slots)
        extra = capacity - old
        self._rows = np.pad(self._rows, ((0, extra), (0, 0)))
        self._state = np.pad(self._state, ((0, 0), (0, extra), (0, 0)))
        self._floor = np.pad(self._floor, (0, extra))
        self._energies = np.pad(self._energies, ((0, extra), (0, 0), (0, 0)))
        self._cursor = np.pad(self._cursor, (0, extra))
        self._listen = np.pad(self._listen, (0, extra))
        self._speaking = np.pad(self._speaking, (0, extra))
        self._free.extend(range(capacity - 1, old - 1, -1))
        self._slots.extend([None] * extra)
        for slot in self._slots:
            if slot is not None:
                slot.attach(self._rows[slot.index])

    def open(self, slot: Slot) -> None:
        """Give a stream a slot."""
        if not self._free:
            self._grow(2 * len(self._slots))
        slot.index = self._free.pop()
        self._slots[slot.index] = slot
        self._open += 1
        self.reset(slot)
        slot.attach(self._rows[slot.index])

    def close(self, slot: Slot) -> None:
        """Take the slot back; a window that waits is dropped."""
        self._slots[slot.index] = None
        self._free.append(slot.index)
        self._open -= 1
        if slot in self._ready:
            self._ready.remove(slot)

    def reset(self, slot: Slot) -> None:
        """Forget what a slot heard, its noise floor too; drop a window that waits."""
        index = slot.index
        self._rows[index] = 0
        self._state[:, index] = 0
        self._energies[index] = 0
        self._floor[index] = 0
        self._speaking[index] = False
        self._listen[index] = _LISTEN_FIRST
        if slot in self._ready:
            self._ready.remove(slot)

    def set_speaking(self, slot: Slot, speaking: bool) -> None:
        """While a slot is in speech, each of its windows goes through the network."""
        self._speaking[slot.index] = speaking
        self._listen[slot.index] = _LISTEN_ON

    def recent_energies(self, slot: Slot, count: int) -> list[float]:
        """Energies of the slot's last `count` blocks (at most a second), oldest first."""
        ordered = np.roll(self._energies[slot.index], -self._cursor[slot.index], axis=0).reshape(-1)
        recent: list[float] = ordered[max(0, ordered.size - count) :].tolist()
        return recent

    def submit(self, slot: Slot) -> None:
        """The slot's row holds a whole window: judge it now or soon."""
        self._ready.append(slot)
        if self._judging:
            return  # a window that completed while another was judged: it is looked at afterwards
        if self._loop is None:
            self._judge_all()
        elif self._scheduled is None:
            loop = asyncio.get_running_loop()
            if self._open <= _AT_ONCE:
                self._scheduled = loop.call_soon(self._run)
            else:
                self._scheduled = loop.call_later(_GATHER, self._run)
        elif len(self._ready) == MAX_BATCH and isinstance(self._scheduled, asyncio.TimerHandle):
            self._scheduled.cancel()
            self._scheduled = asyncio.get_running_loop().call_soon(self._run)

    def judge_now(self) -> None:
        """Judge the windows that wait, as somebody's end of speech is due."""
        if self._scheduled is not None and not self._judging:
            self._scheduled.cancel()
            self._run()

    def _run(self) -> None:
        self._scheduled = None
        if self._ready:  # what waited may have been reset or closed since
            self._judge_ready()
        if self._ready:
            self._scheduled = asyncio.get_running_loop().call_soon(self._run)

    def _judge_all(self) -> None:
        while self._ready:
            self._judge_ready()

    def _judge_ready(self) -> None:
        self._judging = True
        try:
            self._judge(self._ready[:MAX_BATCH])
        finally:
            self._judging = False

    def _judge(self, batch: list[Slot]) -> None:
        del self._ready[: len(batch)]
        index = np.fromiter((slot.index for slot in batch), dtype=np.intp, count=len(batch))
        windows = self._rows[index]
        windows *= 1 / 32768
        energies = _block_energies(windows[:, CONTEXT:])
        peaks = np.maximum.reduce(energies, axis=1)
        listening = self._listens(index, peaks)
        probabilities = np.zeros(len(batch), dtype=np.float32)
        if listening.all():
            probabilities, self._state[:, index] = self._network(windows, self._state[:, index])
        elif listening.any():
            heard = index[listening]
            probabilities[listening], self._state[:, heard] = self._network(
                windows[listening], self._state[:, heard]
            )
        self._rows[index, :CONTEXT] = self._rows[index, WINDOW:]
        floor = self._follow_floor(index, energies, peaks, probabilities)
        cursor = self._cursor[index]
        self._energies[index, cursor] = energies
        self._cursor[index] = (cursor + 1) % _REMEMBERED
        speaking = self._speaking[index].tolist()
        for position, (slot, probability) in enumerate(zip(batch, probabilities.tolist(), strict=True)):
            if self._slots[slot.index] is not slot:
                continue  # closed by an event of this very batch
            if speaking[position] or probability >= slot.wakes_at:
                slot.judged(probability, energies[position].tolist(), float(floor[position]))
            else:
                slot.judged(probability, None, 0.0)

    def _listens(self, index: IndexArray, peaks: Float32Array) -> BoolArray:
        """Which windows may hold speech, bool of shape (B,)."""
        floor = self._floor[index]
        eventful = peaks > floor * _SKIP_PEAK  # true of the first window, whose floor is 0
        return eventful | self._speaking[index] | (self._listen[index] > 0) | (floor > _SKIP_FLOOR)

    def _follow_floor(
        self, index: IndexArray, energies: Float32Array, peaks: Float32Array, probabilities: Float32Array
    ) -> Float32Array:
        """Track the background: quickly down, up only by what the network takes for noise."""
        halves = np.add.reduce(energies.reshape(-1, 2, BLOCKS // 2), axis=2) * (2 / BLOCKS)
        quietest = np.maximum(np.minimum.reduce(halves, axis=1), _FLOOR_MIN)
        floor = self._floor[index]
        fresh = floor == 0
        if fresh.any():
            floor[fresh] = np.minimum(quietest[fresh], _FLOOR_START)
        noise = probabilities < _NOT_SPEECH
        step = np.where(noise, 0.15 * (np.minimum(quietest, 4 * floor) - floor), 0.005 * floor)
        floor = np.where(quietest < floor, 0.5 * (floor + quietest), np.minimum(quietest, floor + step))
        self._floor[index] = floor
        calm = noise & (peaks <= floor * _SKIP_PEAK)
        listen = self._listen[index]
        self._listen[index] = np.maximum(listen - calm, np.where(calm, 0, _LISTEN_ON))
        return floor


def block_energies(samples: Float32Array) -> list[float]:
    """Energies of the whole 2 ms blocks of part of a window; `samples` in 16-bit units, shape (n,)."""
    count = samples.size // BLOCK
    if not count:
        return []
    energies: list[float] = _block_energies((samples[: count * BLOCK] * (1 / 32768)).reshape(1, -1))[
        0
    ].tolist()
    return energies


def _block_energies(windows: Float32Array) -> Float32Array:
    """Mean squares of 2 ms blocks about each row's mean: a constant offset is no sound. (B, n) -> (B, n / 32)."""
    centred = windows - np.add.reduce(windows, axis=1, keepdims=True) * (1 / windows.shape[1])
    blocks = centred.reshape(centred.shape[0], -1, BLOCK)
    energies: Float32Array = np.einsum("bij,bij->bi", blocks, blocks)
    energies *= 1 / BLOCK
    return energies


_batchers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Batcher] = weakref.WeakKeyDictionary()


def batcher_of_running_loop(network: Network) -> Batcher:
    """The batcher that the streams of the running event loop share; a private one where no loop runs."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return Batcher(network, None)
    batcher = _batchers.get(loop)
    if batcher is None:
        for other in [other for other in _batchers if other.is_closed()]:
            del _batchers[other]  # a call that was scheduled and never ran would keep it alive
        batcher = _batchers[loop] = Batcher(network, loop)
    return batcher
