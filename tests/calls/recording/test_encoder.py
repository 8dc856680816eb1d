"""Files: what threads, slow and full disks, and killed processes make of them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import pytest

from antiphon.calls.recording import encoder as module
from antiphon.calls.recording.encoder import Batch, RecordingEncoder, create_file
from antiphon.calls.recording.ogg_opus import OggOpusWriter
from antiphon.calls.recording.ogg_pages import mend
from antiphon.calls.recording.recovery import ids_of, name_of, recover
from antiphon.calls.recording.timeline import Channel, Heard

RATE = 24000


def tone(seconds: float, rate: int = RATE) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def batches(count: int, seconds: float = 0.5) -> list[Batch]:
    """A tone on the left, in batches."""
    return [
        Batch(
            (number + 1) * seconds,
            [Heard(0, Channel.CALLER, number * seconds, tone(seconds), RATE)],
        )
        for number in range(count)
    ]


def encode(path: Path, work: list[Batch], **options: Any) -> module.Encoded:
    with ThreadPoolExecutor(1) as threads:
        encoder = RecordingEncoder(path, threads, sample_rate=RATE, **options)
        for batch in work[:-1]:
            encoder.submit(batch)
        return encoder.finish(work[-1]).result(30)


def decoded(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def test_a_file_is_private_complete_and_exactly_as_long_as_the_call(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.ogg"
    encoded = encode(path, [*batches(9), Batch(4.567)])
    assert (encoded.seconds, encoded.error) == (4.567, "")
    assert encoded.size == path.stat().st_size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["a.ogg"]
    with av.open(str(path)) as container:
        [stream] = container.streams.audio
        assert (stream.codec_context.name, stream.channels) == ("opus", 2)
        assert container.duration == pytest.approx(4_567_000, abs=10_000)
    assert decoded(path).shape == (2, round(4.567 * 48000))


def test_the_file_on_the_disk_is_never_more_than_a_second_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    with create_file(path) as file:
        writer = OggOpusWriter(file)
        for _ in range(20):
            writer.write(np.repeat(tone(0.5), 2))
            if writer.seconds >= 1.5:
                copy = tmp_path / "copy.ogg"
                copy.write_bytes(path.read_bytes())
                assert writer.seconds - decoded(copy).shape[1] / 48000 <= 1.0
        writer.close()


@pytest.mark.parametrize("cut", [0, 1, 100, 3000])
def test_a_file_cut_off_anywhere_is_mended(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.ogg"
    with create_file(path) as file:
        writer = OggOpusWriter(file)
        writer.write(np.repeat(tone(10.0), 2))
        data = path.read_bytes()
        writer.close()
    broken = tmp_path / "broken.ogg"
    broken.write_bytes(data[: len(data) - cut])
    with broken.open("rb+") as file:
        mended = mend(file)
        assert mend(file) == mended
    assert mended.size == broken.stat().st_size
    assert 7.5 < mended.seconds <= 10.0
    audio = decoded(broken)
    assert audio.shape[1] / 48000 == pytest.approx(mended.seconds, abs=0.001)
    assert np.abs(audio[0, 48000:]).max() > 0.2


@pytest.mark.parametrize("content", [b"", b"OggS", b"nothing of the kind" * 100])
def test_what_is_no_recording_cannot_be_mended(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(content)
    with path.open("rb+") as file, pytest.raises(ValueError, match="no audio"):
        mend(file)


def test_a_damaged_last_page_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    encode(path, batches(20))
    data = bytearray(path.read_bytes())
    data[-10] ^= 0xFF
    path.write_bytes(data)
    with path.open("rb+") as file:
        assert 8.5 < mend(file).seconds < 10.0
    assert decoded(path).shape[1] > 8.5 * 48000


KILLED = """
import sys, time
import numpy as np
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from antiphon.calls.recording.encoder import Batch, RecordingEncoder
from antiphon.calls.recording.timeline import Channel, Heard

encoder = RecordingEncoder(Path(sys.argv[1]), ThreadPoolExecutor(1), sample_rate=24000)
sound = (8000 * np.sin(np.arange(12000) / 10)).astype(np.int16)
for number in range(16):
    encoder.submit(Batch((number + 1) / 2, [Heard(0, Channel.CALLER, number / 2, sound, 24000)]))
    time.sleep(0.05)
print("8 seconds", flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_recorded_is_found_and_playable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.calls.recording.recovery.TOO_YOUNG", -1.0)
    name = name_of("call_1", "rec_2")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / name)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "8 seconds\n"
        assert recover(tmp_path) == [], "its writer is alive"
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    finally:
        process.kill()
        process.communicate(timeout=10)
    [found] = recover(tmp_path)
    assert (found.call_id, found.recording_id, found.name) == ("call_1", "rec_2", name)
    assert 7.0 <= found.seconds <= 8.0
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).stat().st_size == found.size
    assert decoded(tmp_path / name).shape[1] / 48000 == pytest.approx(found.seconds, abs=0.001)
    assert recover(tmp_path) == []


def test_a_file_without_audio_is_removed_when_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.calls.recording.recovery.TOO_YOUNG", -1.0)
    (tmp_path / (name_of("call_1", "rec_2") + ".part")).write_bytes(b"OggS")
    (tmp_path / "somebody else's.ogg.part").write_bytes(b"OggS")
    [found] = recover(tmp_path)
    assert (found.seconds, found.size) == (0.0, 0)
    assert os.listdir(tmp_path) == ["somebody else's.ogg.part"]


def test_a_name_says_whose_file_it_is() -> None:
    assert ids_of(name_of("call_0193", "rec_0194")) == ("call_0193", "rec_0194")
    assert ids_of(name_of("call_0193", "rec_0194") + ".part") == ("call_0193", "rec_0194")
    assert ids_of("other.ogg") is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    errors: list[str] = []
    encoded = encode(
        tmp_path / "a.ogg",
        batches(20),
        opened=lambda _: os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", buffering=0),
        on_failed=errors.append,
    )
    assert "disk is full" in encoded.error
    assert str(tmp_path) in encoded.error
    assert errors == [encoded.error]


class FillsUp:
    """A file on a disk that has room for `room` bytes."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self._file = file
        self._room = room

    def write(self, data: bytes) -> int:
        if self._file.tell() + len(data) > self._room:
            raise OSError(28, "No space left on device")
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_what_was_written_before_the_disk_was_full_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    opened: Callable[[Path], Any] = lambda part: FillsUp(create_file(part), 20_000)  # noqa: E731
    encoded = encode(path, batches(40), opened=opened)
    assert "disk is full" in encoded.error
    assert 2.0 < encoded.seconds < 10.0
    assert encoded.size == path.stat().st_size
    assert decoded(path).shape[1] / 48000 == pytest.approx(encoded.seconds, abs=0.001)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_folder_that_cannot_be_made_is_an_error_that_says_which(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    encoded = encode(tmp_path / "file" / "a.ogg", batches(3))
    assert str(tmp_path / "file") in encoded.error
    assert (encoded.seconds, encoded.size) == (0.0, 0)


class Slow:
    """A file whose disk takes no more until it is let go."""

    def __init__(self, file: BinaryIO, go: threading.Event) -> None:
        self._file = file
        self._go = go

    def write(self, data: bytes) -> int:
        self._go.wait(20)
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_disk_that_stands_still_costs_audio_but_neither_time_nor_place(tmp_path: Path) -> None:
    """30 s arrive while nothing is written: 10 s wait, the rest is silence, and what follows is where it belongs."""
    go = threading.Event()
    path = tmp_path / "a.ogg"
    work = batches(80)
    with ThreadPoolExecutor(1) as threads:
        opened: Callable[[Path], Any] = lambda part: Slow(create_file(part), go)  # noqa: E731
        encoder = RecordingEncoder(path, threads, sample_rate=RATE, opened=opened)
        began = time.monotonic()
        for batch in work[:60]:
            encoder.submit(batch)
        assert time.monotonic() - began < 5, "nobody waits for the disk"
        go.set()
        while encoder.waiting > 0:
            time.sleep(0.01)
        for batch in work[60:-1]:
            encoder.submit(batch)
        encoded = encoder.finish(work[-1]).result(30)
    assert encoded.error == ""
    assert encoded.seconds == 40.0
    assert 18.0 < encoded.losses.seconds <= 20.0
    left = decoded(path)[0]
    assert np.abs(left[: 9 * 48000]).max() > 0.2
    assert np.abs(left[12 * 48000 : 29 * 48000]).max() < 0.01
    assert np.abs(left[31 * 48000 :]).max() > 0.2


def test_an_executor_that_was_shut_down_is_an_error(tmp_path: Path) -> None:
    threads = ThreadPoolExecutor(1)
    encoder = RecordingEncoder(tmp_path / "a.ogg", threads, sample_rate=RATE)
    encoder.submit(batches(1)[0])
    threads.shutdown(wait=True)
    encoded = encoder.finish(Batch(1.0)).result(10)
    assert "cut off" in encoded.error
    assert encoder.finish(Batch(2.0)).result(0) is encoded
