"""The recordings of a process, on a real store and real threads, in real time but short."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from antiphon.audio import AudioFrame
from antiphon.calls.recording import (
    RecordingInfo,
    RecordingNotFound,
    RecordingNotReady,
    Recordings,
    RecordingState,
    RecordingStorage,
    RecordingUnavailable,
    upload,
)
from antiphon.models.errors import ConfigurationError
from antiphon.rooms.local import LocalRooms
from antiphon.store import Store, StoreUnavailable, open_store

TONE = (8000 * np.sin(np.arange(16000) / 10)).astype(np.int16)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for in days is waited for in moments."""
    monkeypatch.setattr("antiphon.calls.recording.recovery.TOO_YOUNG", -1.0)
    monkeypatch.setattr("antiphon.calls.recording.recovery.TOO_FRESH", -1.0)
    monkeypatch.setattr(upload, "FIRST_PAUSE", 0.05)


@pytest.fixture
def bucket() -> str:
    """A storage in memory that no other test has."""
    return f"memory://bucket-{uuid.uuid4().hex[:8]}/recordings"


class Platform:
    """A store, rooms and recordings, as one process has them."""

    def __init__(self, store: Store, folder: Path, url: str | None = None, **options: Any) -> None:
        self.store = store
        self.rooms = LocalRooms()
        self.recordings = Recordings(store, RecordingStorage(folder, url, options=options))

    async def record(self, call_id: str, seconds: float = 0.1) -> RecordingInfo:
        """A call of a room of its own, with a second of a tone."""
        room = await self.rooms.join(call_id, "caller")
        source = room.publish_source("microphone", 16000)
        recorder = self.recordings.recorder(call_id, self.rooms, call_id, caller_identity="caller")
        await recorder.start()
        await asyncio.sleep(0)
        source.push(AudioFrame(TONE, 16000))
        await asyncio.sleep(seconds)
        info = await recorder.stop()
        await room.disconnect()
        return info

    async def document(self, call_id: str) -> dict[str, Any]:
        document = await self.store.find_one("recordings", {"call_id": call_id})
        assert document is not None
        return document

    async def uploaded(self, call_id: str) -> dict[str, Any]:
        for _ in range(500):
            document = await self.document(call_id)
            if document["upload"] == "done" and not self.recordings.uploads.count:
                return document
            await asyncio.sleep(0.02)
        raise AssertionError(f"not uploaded: {document}")


@asynccontextmanager
async def platform(tmp_path: Path, url: str | None = None, **options: Any) -> AsyncIterator[Platform]:
    async with open_store(f"sqlite:{tmp_path / 'store.db'}") as store:
        one = Platform(store, tmp_path / "recordings", url, **options)
        await one.recordings.start()
        try:
            yield one
        finally:
            await one.recordings.aclose()
            await one.rooms.aclose()


async def content(recordings: Recordings, call_id: str, start: int = 0, end: int | None = None) -> bytes:
    opened = await recordings.open(call_id)
    return b"".join([piece async for piece in opened.read(start, end)])


def test_a_recording_is_filed_and_read(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with platform(tmp_path) as one:
            room = await one.rooms.join("room", "caller")
            recorder = one.recordings.recorder("call_1", one.rooms, "room")
            began = await recorder.start()
            assert began.state is RecordingState.RECORDING
            assert one.recordings.active == 1
            await asyncio.sleep(0.3)
            assert (await one.document("call_1"))["state"] == "recording"
            with pytest.raises(RecordingNotReady, match="call_1 is still"):
                await one.recordings.open("call_1")
            with pytest.raises(RecordingNotReady):
                await one.recordings.delete("call_1")
            info = await recorder.stop()
            await room.disconnect()

            assert info.state is RecordingState.STORED
            assert info.summary == {
                "id": recorder.id,
                "state": "stored",
                "seconds": info.seconds,
                "bytes": info.bytes,
                "error": None,
            }
            document = await one.document("call_1")
            assert document["id"] == recorder.id
            assert {name: document[name] for name in info.fields} == info.fields
            assert (document["sample_rate"], document["channels"], document["codec"]) == (24000, 2, "opus")
            assert document["seconds"] == pytest.approx(0.3, abs=0.2)

            opened = await one.recordings.open("call_1")
            whole = (tmp_path / "recordings" / document["file"]).read_bytes()
            assert (opened.size, opened.media_type, opened.filename) == (
                len(whole),
                "audio/ogg",
                "call_1.ogg",
            )
            assert opened.etag == f'"{recorder.id}-{len(whole)}"'
            for start, end in ((0, None), (0, 1), (10, 20), (len(whole) - 5, None), (5, 10**9), (7, 7)):
                assert await content(one.recordings, "call_1", start, end) == whole[start:end]

    run_clean(main())


def test_calls_without_a_recording(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with platform(tmp_path) as one:
            with pytest.raises(RecordingNotFound, match="call_9 has no recording"):
                await one.recordings.open("call_9")
            assert not await one.recordings.delete("call_9")
            await one.record("call_1")
            (tmp_path / "recordings" / (await one.document("call_1"))["file"]).unlink()
            with pytest.raises(RecordingUnavailable, match="another machine"):
                await one.recordings.open("call_1")

    run_clean(main())


def test_deleting_removes_file_and_document(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with platform(tmp_path) as one:
            await one.record("call_1")
            await one.record("call_2")
            assert await one.recordings.delete("call_1")
            assert os.listdir(tmp_path / "recordings") == [(await one.document("call_2"))["file"]]
            assert await one.store.count("recordings") == 1
            assert not await one.recordings.delete("call_1")

    run_clean(main())


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_recording_is_uploaded_read_from_there_and_deleted_there(
    tmp_path: Path, bucket: str, kind: str, run_clean: Any
) -> None:
    url = bucket if kind == "memory" else f"file://{tmp_path}/far/away"

    async def main() -> None:
        async with platform(tmp_path, url) as one:
            info = await one.record("call_1")
            assert info.state is RecordingState.STORED
            assert (await content(one.recordings, "call_1"))[:4] == b"OggS", "readable before it is uploaded"
            document = await one.uploaded("call_1")
            assert document["url"] == f"{url}/{document['file']}"
            assert os.listdir(tmp_path / "recordings") == []
            system, path = fsspec.core.url_to_fs(document["url"])
            whole = system.cat_file(path)
            assert len(whole) == info.bytes
            assert await content(one.recordings, "call_1") == whole
            assert await content(one.recordings, "call_1", 4, 100) == whole[4:100]
            assert await one.recordings.delete("call_1")
            assert not system.exists(path)

    run_clean(main())


def test_an_upload_that_fails_is_tried_again(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, run_clean: Any
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    attempts = []
    put = MemoryFileSystem.put_file

    def flaky(self: Any, *args: Any, **kwargs: Any) -> Any:
        attempts.append(args)
        if len(attempts) == 1:
            raise ConnectionResetError("connection reset")
        if len(attempts) == 2:
            raise FileNotFoundError("the bucket")
        return put(self, *args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "put_file", flaky)

    async def main() -> None:
        async with platform(tmp_path, bucket) as one:
            await one.record("call_1")
            await one.uploaded("call_1")
            assert len(attempts) == 3

    run_clean(main())


def test_an_upload_that_did_not_end_goes_on_at_the_next_start(
    tmp_path: Path, bucket: str, run_clean: Any
) -> None:
    async def main() -> None:
        async with platform(tmp_path, "memory://nowhere/x") as one:
            one.recordings.storage.remote.put = _unreachable  # type: ignore[union-attr, method-assign]
            await one.record("call_1")
            await one.recordings.aclose(0.2)
            assert (await one.document("call_1"))["upload"] == "pending"
        async with platform(tmp_path, bucket) as one:
            document = await one.uploaded("call_1")
            assert document["url"].startswith(bucket)
            assert (await content(one.recordings, "call_1"))[:4] == b"OggS"
        # Uploads go elsewhere now, and what was uploaded is read where it is.
        async with platform(tmp_path, "memory://elsewhere/x") as one:
            assert (await content(one.recordings, "call_1"))[:4] == b"OggS"

    run_clean(main())


def _unreachable(*_: object) -> None:
    raise ConnectionRefusedError("connection refused")


def test_a_recording_of_a_process_that_died_is_stored_with_what_there_is(
    tmp_path: Path, run_clean: Any
) -> None:
    async def main() -> None:
        folder = tmp_path / "recordings"
        async with platform(tmp_path) as one:
            await one.store.create("calls", {"status": "answered"}, id="call_1")
            info = await one.record("call_1", 1.5)
            document = await one.document("call_1")
            # As a killed process leaves it: an unfinished file, and a document that says that it records.
            complete = folder / document["file"]
            data = complete.read_bytes()
            complete.unlink()
            complete.with_name(complete.name + ".part").write_bytes(data[:-700])
            await one.store.update(
                "recordings", info.id, {"state": "recording", "seconds": 0.0, "bytes": 0, "upload": None}
            )
            await one.recordings.recover()
            document = await one.document("call_1")
            assert document["state"] == "stored"
            assert 0.4 <= document["seconds"] < info.seconds
            assert document["started_at"] == info.started_at
            assert document["bytes"] == complete.stat().st_size
            assert (await one.store.get("calls", "call_1"))["recording"] == {
                "id": info.id,
                "state": "stored",
                "seconds": document["seconds"],
                "bytes": document["bytes"],
                "error": None,
            }

    run_clean(main())


def test_a_document_of_a_process_that_died_at_the_last_moment_is_completed(
    tmp_path: Path, run_clean: Any
) -> None:
    async def main() -> None:
        async with platform(tmp_path) as one:
            info = await one.record("call_1", 0.6)
            await one.store.update("recordings", info.id, {"state": "recording", "seconds": 0.0, "bytes": 0})
            later = one.store.clock() + 100
            one.store.clock = lambda: later  # type: ignore[method-assign]
            await one.recordings.recover()
            document = await one.document("call_1")
            assert (document["state"], document["seconds"], document["bytes"]) == (
                "stored",
                info.seconds,
                info.bytes,
            )

    run_clean(main())


def test_a_recording_whose_disk_is_gone_fails_after_a_day(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with platform(tmp_path) as one:
            await one.store.create("calls", {"status": "answered"}, id="call_1")
            info = await one.record("call_1")
            document = await one.document("call_1")
            (tmp_path / "recordings" / document["file"]).unlink()
            await one.store.update("recordings", info.id, {"state": "recording", "bytes": 0})
            for hours, state in ((1, "recording"), (30, "failed")):
                later = document["updated_at"] + hours * 3600
                one.store.clock = lambda later=later: later  # type: ignore[method-assign, misc]
                await one.recordings.recover()
                assert (await one.document("call_1"))["state"] == state

    run_clean(main())


def test_a_call_that_somebody_else_ended_is_told_of_its_recording(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with platform(tmp_path) as one:
            await one.store.create("calls", {"status": "answered"}, id="call_1")
            room = await one.rooms.join("call_1", "caller")
            recorder = one.recordings.recorder("call_1", one.rooms, "call_1", caller_identity="caller")
            await recorder.start()
            await one.store.update(
                "calls", "call_1", {"status": "failed", "recording": recorder.info.summary}
            )
            await asyncio.sleep(0.3)
            await recorder.stop()
            for _ in range(200):
                call = await one.store.get("calls", "call_1")
                if call["recording"]["state"] == "stored":
                    break
                await asyncio.sleep(0.02)
            assert call["recording"] == recorder.info.summary
            await room.disconnect()

    run_clean(main())


def test_a_recording_that_went_with_its_machine_fails_soon_after_its_call_and_may_turn_up(
    tmp_path: Path, run_clean: Any
) -> None:
    async def main() -> None:
        async with platform(tmp_path) as one:
            await one.store.create("calls", {"status": "answered"}, id="call_1")
            info = await one.record("call_1", 0.6)
            path = tmp_path / "recordings" / (await one.document("call_1"))["file"]
            kept = path.read_bytes()
            path.unlink()
            await one.store.update("recordings", info.id, {"state": "recording", "bytes": 0})
            began = one.store.clock()

            async def state_after(minutes: float) -> str:
                one.store.clock = lambda: began + minutes * 60  # type: ignore[method-assign]
                await one.recordings.recover()
                return str((await one.document("call_1"))["state"])

            assert await state_after(30) == "recording", "the call goes on"
            await one.store.update("calls", "call_1", {"status": "failed", "ended_at": began})
            assert await state_after(35) == "recording", "its process may come back"
            assert await state_after(41) == "failed"
            assert (await one.store.get("calls", "call_1"))["recording"]["state"] == "failed"
            path.with_name(path.name + ".part").write_bytes(kept)
            assert await state_after(50) == "stored"
            assert (await one.store.get("calls", "call_1"))["recording"]["state"] == "stored"

    run_clean(main())


def test_an_unwritable_folder_fails_the_recording_and_not_the_call(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with platform(tmp_path) as one:
            folder = tmp_path / "recordings"
            folder.rmdir()
            folder.write_text("in the way")
            info = await one.record("call_1", 0.1)
            assert info.state is RecordingState.FAILED
            assert str(folder) in info.error
            assert (await one.document("call_1"))["state"] == "failed"
            with pytest.raises(RecordingNotFound, match="nothing of call call_1"):
                await one.recordings.open("call_1")
            assert await one.recordings.delete("call_1")

    run_clean(main())


def test_a_folder_that_cannot_be_written_is_found_at_the_start(tmp_path: Path, run_clean: Any) -> None:
    (tmp_path / "file").write_text("")

    async def main() -> None:
        async with open_store(f"sqlite:{tmp_path / 'store.db'}") as store:
            recordings = Recordings(store, RecordingStorage(tmp_path / "file" / "recordings"))
            with pytest.raises(ConfigurationError, match="cannot be recorded"):
                await recordings.start()
            await recordings.aclose()

    run_clean(main())


@pytest.mark.parametrize("url", ["nonsense://bucket", "just a text"])
def test_an_unknown_storage_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be stored at"):
        RecordingStorage(tmp_path, url)


def test_a_store_that_is_down_for_a_moment_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_clean: Any
) -> None:
    async def main() -> None:
        async with platform(tmp_path) as one:
            create, failures = one.store.create, []

            async def down(*args: Any, **kwargs: Any) -> Any:
                if len(failures) < 2:
                    failures.append(args)
                    raise StoreUnavailable("the database does not answer")
                return await create(*args, **kwargs)

            monkeypatch.setattr(one.store, "create", down)
            info = await one.record("call_1")
            assert info.state is RecordingState.STORED
            assert len(failures) == 2
            assert (await one.document("call_1"))["state"] == "stored"

    run_clean(main())


def test_closing_completes_what_is_being_recorded(tmp_path: Path, run_clean: Any) -> None:
    async def main() -> None:
        async with platform(tmp_path) as one:
            room = await one.rooms.join("room", "caller")
            recorder = one.recordings.recorder("call_1", one.rooms, "room")
            await recorder.start()
            await asyncio.sleep(0.2)
            await one.recordings.aclose()
            assert (await one.document("call_1"))["state"] == "stored"
            assert (await recorder.stop()).state is RecordingState.STORED
            await room.disconnect()

    run_clean(main())
