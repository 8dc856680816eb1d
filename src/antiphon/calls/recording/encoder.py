"""From frames to a file, in threads: nothing here waits on the event loop, and the event loop never waits for a disk."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ...audio.frame import Int16Array
from .lock import lock
from .ogg_opus import OggOpusWriter
from .ogg_pages import mend
from .timeline import Heard, Losses, StereoTimeline

logger = logging.getLogger(__name__)

MOST_QUEUED = 10.0
"""Seconds that may wait for a slow disk; audio beyond that is lost, and silence takes its place."""


@dataclass(slots=True)
class Batch:
    """What was heard since the last one.

    Attributes:
        until: up to where the recording can be written, in seconds since it began.
        frames: in the order of their arrival.
        ended: numbers of the tracks that ended.
    """

    until: float
    frames: list[Heard] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Encoded:
    """How it went. `error` is empty if all of it is in the file."""

    seconds: float
    size: int
    losses: Losses
    error: str


class RecordingEncoder:
    """Writes one file, in order, on whichever thread of the executor is free."""

    def __init__(
        self,
        path: Path,
        executor: Executor,
        *,
        sample_rate: int,
        opened: Callable[[Path], BinaryIO] | None = None,
        on_failed: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare; the file is made with the first batch.

        Args:
            path: of the complete file; until then it has `.part` behind its name. It must not exist.
            executor: the threads, shared by all recordings.
            sample_rate: of the recording.
            opened: makes the file, unbuffered, for reading and writing.
            on_failed: called once, from a thread, with what is wrong.
        """
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._executor = executor
        self._open = opened or create_file
        self._on_failed = on_failed
        self._timeline = StereoTimeline(sample_rate)
        self._overflow = Losses()
        self._lock = threading.Lock()  # of the four below
        self._queue: deque[Batch] = deque()
        self._running = False
        self._finishing = False
        self._done: Future[Encoded] = Future()
        self._file: BinaryIO | None = None
        self._writer: OggOpusWriter | None = None
        self._written_until = 0.0
        self._queued_until = 0.0
        self._error = ""

    @property
    def error(self) -> str:
        """Why nothing is written any more; empty while all is well."""
        return self._error

    @property
    def waiting(self) -> float:
        """Seconds of the call that are not written yet."""
        with self._lock:
            return self._queued_until - self._written_until

    def submit(self, batch: Batch) -> None:
        """Queue a batch; never blocks."""
        with self._lock:
            if self._finishing:
                return
            waiting = self._queued_until - self._written_until
            if self._queue and waiting > MOST_QUEUED:
                self._overflow.add(max(0.0, batch.until - self._queued_until))
                last = self._queue[-1]
                last.until = batch.until
                last.ended.extend(batch.ended)
            else:
                self._queue.append(batch)
            self._queued_until = batch.until
        self._start()

    def finish(self, last: Batch) -> Future[Encoded]:
        """Queue the last batch; the future has the result once the file is closed. Again gives the same future."""
        self.submit(last)
        with self._lock:
            self._finishing = True
        self._start()
        return self._done

    def _start(self) -> None:
        with self._lock:
            if self._running or self._done.done():
                return
            self._running = True
        try:
            self._executor.submit(self._run)
        except RuntimeError as error:  # the executor was shut down
            self._fail(f"the recording was cut off: {error}")
            with self._lock:
                self._running = False
                over = self._finishing
            if over and not self._done.done():
                self._done.set_result(self._close())

    def _run(self) -> None:
        while True:
            with self._lock:
                batch = self._queue.popleft() if self._queue else None
                if batch is None:
                    self._running = self._finishing
                    if not self._finishing:
                        return
            if batch is None:
                self._done.set_result(self._close())
                return
            self._write(batch)

    def _write(self, batch: Batch) -> None:
        if not self._error:
            try:
                for heard in batch.frames:
                    self._timeline.add(heard)
                for track in batch.ended:
                    self._timeline.end(track)
                stereo = self._timeline.render(batch.until)
                if stereo.size:
                    self._append(stereo)
            except OSError as error:
                self._fail(_explained(error, self._path))
            except Exception as error:
                logger.exception("recording %s failed", self._path.name)
                self._fail(f"{type(error).__name__}: {error}")
        with self._lock:
            self._written_until = batch.until

    def _append(self, stereo: Int16Array) -> None:
        if self._writer is None:
            self._file = self._open(self._part)
            self._writer = OggOpusWriter(self._file)
        self._writer.write(stereo)

    def _close(self) -> Encoded:
        seconds, size = 0.0, 0
        if self._writer is not None and self._file is not None:
            try:
                seconds, size = self._complete(self._writer, self._file)
            except OSError as error:
                self._fail(_explained(error, self._path))
            except Exception as error:
                logger.exception("recording %s could not be completed", self._path.name)
                self._fail(f"{type(error).__name__}: {error}")
        late = self._timeline.losses
        losses = Losses(late.count + self._overflow.count, late.seconds + self._overflow.seconds)
        return Encoded(round(seconds, 3), size, losses, self._error)

    def _complete(self, writer: OggOpusWriter, file: BinaryIO) -> tuple[float, int]:
        """Seconds and bytes of the file that now has its name; 0 if there is nothing in it."""
        with contextlib.closing(file):
            try:
                writer.close()
            except OSError as error:
                self._fail(_explained(error, self._path))
            seconds, size = writer.seconds, file.seek(0, os.SEEK_END)
            if self._error:
                try:
                    mended = mend(file)
                except ValueError:  # not a page of it was written
                    seconds, size = 0.0, 0
                else:
                    seconds, size = mended.seconds, mended.size
            os.fsync(file.fileno())
        # No longer locked, but just written, so nobody takes it for one that was left behind.
        if size:
            self._part.rename(self._path)
        else:
            self._part.unlink(missing_ok=True)
        return seconds, size

    def _fail(self, error: str) -> None:
        if not self._error:
            self._error = error
            if self._on_failed is not None:
                self._on_failed(error)


def create_file(path: Path) -> BinaryIO:
    """A new file that only its owner can read, locked for as long as it is open.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0), 0o600)
    file = os.fdopen(descriptor, "rb+", buffering=0)
    lock(file)
    return file


_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, or record to another folder",
    errno.EDQUOT: "the disk quota is used up: raise it, or record to another folder",
    errno.EACCES: "the folder may not be written: give the server's user write permission, or record to another folder",
    errno.EPERM: "the folder may not be written: give the server's user write permission, or record to another folder",
    errno.EROFS: "the file system is read-only: record to another folder",
    errno.ENOTDIR: "the path leads through a file: record to another folder",
}


def _explained(error: OSError, path: Path) -> str:
    reason = _ADVICE.get(error.errno or 0) or error.strerror or str(error) or type(error).__name__
    return f"{path.parent}: {reason}"
