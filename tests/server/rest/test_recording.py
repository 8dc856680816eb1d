"""Recordings over REST: whole, in ranges, not there, not ready, out of reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.needs("aiosqlite", "av", "fastapi", "fsspec", "httpx")

SOUND = b"OggS" + bytes(range(256)) * 4


async def stored(api: Any, folder: Path, **fields: Any) -> str:
    """A call whose recording lies in the folder."""
    call = await api.store.create("calls", {"status": "completed", "direction": "inbound"}, owner="x")
    name = f"{call['id']}.ogg"
    (folder / name).write_bytes(SOUND)
    document = {
        "call_id": call["id"],
        "state": "stored",
        "bytes": len(SOUND),
        "seconds": 1.0,
        "error": "",
        "file": name,
        "upload": None,
        "url": None,
        **fields,
    }
    await api.store.create("recordings", document)
    return str(call["id"])


@pytest.fixture
def recorded(rest: Any, run_clean: Any, tmp_path: Path) -> Any:
    """`recorded(scenario)` runs `scenario(api, folder)` with recordings of that folder."""
    from antiphon.calls.recording import Recordings, RecordingStorage

    def run(scenario: Any) -> None:
        async def main() -> None:
            folder = tmp_path / "recordings"
            folder.mkdir()
            async with rest() as api:
                recordings = Recordings(api.store, RecordingStorage(folder))
                object.__setattr__(api.state.services, "recordings", recordings)
                try:
                    await scenario(api, folder)
                finally:
                    await recordings.aclose()

        run_clean(main())

    return run


def test_a_recording_is_read(recorded: Any) -> None:
    async def scenario(api: Any, folder: Path) -> None:
        path = f"/calls/{await stored(api, folder)}/recording"
        whole = await api.get(path)
        assert (whole.status_code, whole.content) == (200, SOUND)
        assert whole.headers["content-type"] == "audio/ogg"
        assert whole.headers["accept-ranges"] == "bytes"
        assert whole.headers["content-length"] == str(len(SOUND))
        assert whole.headers["content-disposition"].endswith('.ogg"')
        head = await api("HEAD", path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(SOUND))
        assert (await api.client.get(path)).status_code == 401
        assert (await api.client.head(path)).status_code == 401
        etag = whole.headers["etag"]
        part = await api.get(path, headers={"Range": "bytes=0-3", "If-Range": etag})
        assert (part.status_code, part.content) == (206, b"OggS")
        other = await api.get(path, headers={"Range": "bytes=0-3", "If-Range": '"other"'})
        assert (other.status_code, other.content) == (200, SOUND)

    recorded(scenario)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=4-99", 4, 100),
        ("bytes=1000-", 1000, len(SOUND)),
        ("bytes=-10", len(SOUND) - 10, len(SOUND)),
        ("bytes=-99999", 0, len(SOUND)),
        ("bytes=1000-99999", 1000, len(SOUND)),
    ],
)
def test_a_part_of_a_recording(recorded: Any, asked: str, start: int, end: int) -> None:
    async def scenario(api: Any, folder: Path) -> None:
        path = f"/calls/{await stored(api, folder)}/recording"
        part = await api.get(path, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, SOUND[start:end])
        assert part.headers["content-range"] == f"bytes {start}-{end - 1}/{len(SOUND)}"

    recorded(scenario)


@pytest.mark.parametrize("asked", ["bytes=2000-", f"bytes={len(SOUND)}-", "bytes=-0"])
def test_a_part_beyond_the_end(recorded: Any, asked: str) -> None:
    async def scenario(api: Any, folder: Path) -> None:
        path = f"/calls/{await stored(api, folder)}/recording"
        refused = await api.get(path, headers={"Range": asked})
        assert (refused.status_code, refused.json()["code"]) == (416, "range_not_satisfiable")
        assert refused.headers["content-range"] == f"bytes */{len(SOUND)}"

    recorded(scenario)


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=0-1,4-5", "bytes=", "items=0-1", "bytes=a-b", "bytes=-"]
)
def test_what_is_no_range_is_ignored(recorded: Any, asked: str) -> None:
    async def scenario(api: Any, folder: Path) -> None:
        path = f"/calls/{await stored(api, folder)}/recording"
        whole = await api.get(path, headers={"Range": asked})
        assert (whole.status_code, whole.content) == (200, SOUND)

    recorded(scenario)


def test_recordings_that_cannot_be_read(recorded: Any) -> None:
    async def scenario(api: Any, folder: Path) -> None:
        for fields, status, code in (
            ({"state": "recording", "bytes": 0}, 409, "recording_in_progress"),
            ({"state": "failed", "bytes": 0, "error": "the disk is full"}, 404, "no_recording"),
            ({"file": "lost.ogg"}, 503, "recording_unavailable"),
        ):
            answer = await api.get(f"/calls/{await stored(api, folder, **fields)}/recording")
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert str(folder) not in answer.text
        call = await api.store.create("calls", {"status": "completed", "direction": "web"}, owner="x")
        answer = await api.get(f"/calls/{call['id']}/recording")
        assert (answer.status_code, answer.json()["code"]) == (404, "no_recording")
        answer = await api.get("/calls/nothing/recording")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    recorded(scenario)
